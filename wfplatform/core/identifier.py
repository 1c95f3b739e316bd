"""Identifiers: UUIDv7 (RFC 9562), ordered by time and, within one process, by the order in which they were made.

Refuses: meaning. Nothing is read from an identifier but the instant at which it was made, which partitions go by.
"""

from __future__ import annotations

import os
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID

__all__ = ["DEFAULT_TENANT", "TimeOrderedIds", "lowest_id_at", "made_at"]

DEFAULT_TENANT: Final = UUID("00000000-0000-7000-8000-000000000001")
"""The tenant of who never heard of tenants; the first migration makes it."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_VERSION: Final = 0x7 << 76
_VARIANT: Final = 0b10 << 62
_COUNTER_LIMIT: Final = 1 << 42
_WORDS_AT_ONCE: Final = 256


class _Entropy:
    """Random bits of the system, fetched for many identifiers at once."""

    def __init__(self) -> None:
        self._words: list[int] = []

    def forget(self) -> None:
        """A forked process must not draw what its parent will draw."""
        self._words.clear()

    def bits(self, count: int) -> int:
        """A random integer of up to 64 bits."""
        try:
            return self._words.pop() >> (64 - count)
        except IndexError:
            fetched = os.urandom(8 * _WORDS_AT_ONCE)
            self._words.extend(int.from_bytes(fetched[at : at + 8]) for at in range(8, len(fetched), 8))
            return int.from_bytes(fetched[:8]) >> (64 - count)


_ENTROPY: Final = _Entropy()
os.register_at_fork(after_in_child=_ENTROPY.forget)


class TimeOrderedIds:
    """Makes UUIDv7 that only ever grow: 48 bits of milliseconds, a 42-bit counter that starts at random, 32 random bits.

    Safe to share between threads. When the clock is set back, identifiers keep the last instant and go on counting.

    Args:
        now_ms: milliseconds since 1970.
        random_bits: a random integer of that many bits.
    """

    def __init__(
        self, *, now_ms: Callable[[], int] | None = None, random_bits: Callable[[int], int] | None = None
    ) -> None:
        self._now_ms = now_ms or (lambda: time.time_ns() // 1_000_000)
        self._random_bits = random_bits or _ENTROPY.bits
        self._lock = threading.Lock()
        self._last_ms = -1
        self._counter = 0

    def new(self) -> UUID:
        """The next identifier."""
        with self._lock:
            now_ms = self._now_ms()
            if now_ms > self._last_ms:
                self._last_ms = now_ms
                self._counter = self._random_bits(41)  # the highest bit stays free: room to count
            else:
                self._counter += 1
                if self._counter >= _COUNTER_LIMIT:
                    self._last_ms += 1
                    self._counter = self._random_bits(41)
            at_ms, counter = self._last_ms, self._counter
        high, low = counter >> 30, counter & 0x3FFF_FFFF
        return UUID(int=at_ms << 80 | _VERSION | high << 64 | _VARIANT | low << 32 | self._random_bits(32))

    def chance(self) -> float:
        """A random number in [0, 1)."""
        return random.random()  # noqa: S311 - spreads retries, guards nothing


def lowest_id_at(instant: datetime) -> UUID:
    """What every identifier made at or after an instant is not below.

    Args:
        instant: aware, not before 1970.

    Returns:
        A bound to compare with, not an identifier.
    """
    return UUID(int=((instant - _EPOCH) // timedelta(milliseconds=1)) << 80)


def made_at(identifier: UUID) -> datetime:
    """The instant at which a UUIDv7 was made, to the millisecond."""
    return _EPOCH + timedelta(milliseconds=identifier.int >> 80)
