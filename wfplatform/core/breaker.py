"""Circuit breakers as data: what calls of a resource came to lately, and whether more may pass.

Pure: no clock. Source of the pattern: M. Nygard, Release It!, 2nd edition, 2018, chapter 5.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from wfplatform.core.policy import Breaker

__all__ = [
    "CLOSED",
    "BreakerKey",
    "BreakerRecord",
    "BreakerState",
    "BreakerStore",
    "Calls",
    "Position",
    "after",
    "position",
]

_BUCKETS: Final = 60
"""Calls are counted in so many parts of the window."""

type BreakerKey = tuple[UUID, str]
"""A tenant and the name of a breaker of theirs."""


class Position(StrEnum):
    """Closed lets all pass, open none, half open one to try."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half_open"


class Calls(NamedTuple):
    """What calls came to that ended within one part of the window. `at_s`: its beginning, seconds since 1970."""

    at_s: float
    completed: int
    failed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerState:
    """What is kept of a breaker.

    Args:
        opened_at: when it opened; None while it is closed.
        until_at: until when none may pass; None while it is closed.
        window: calls of the last seconds, oldest first; of an open one those that opened it.
    """

    opened_at: datetime | None = None
    until_at: datetime | None = None
    window: tuple[Calls, ...] = ()

    @property
    def counted(self) -> tuple[int, int]:
        """How many calls failed, and how many there were."""
        failed = sum(one.failed for one in self.window)
        return failed, failed + sum(one.completed for one in self.window)


@dataclass(frozen=True, slots=True, kw_only=True)
class BreakerRecord:
    """A circuit breaker as it is kept."""

    name: str
    state: BreakerState
    updated_at: datetime


CLOSED: Final = BreakerState()


def position(state: BreakerState, now: datetime) -> Position:
    """How a breaker stands at an instant."""
    if state.until_at is None:
        return Position.CLOSED
    return Position.OPEN if now < state.until_at else Position.HALF_OPEN


def after(state: BreakerState, breaker: Breaker, completed: int, failed: int, now: datetime) -> BreakerState:
    """How a breaker stands after calls that have just ended.

    Args:
        state: as it stood.
        breaker: what it goes by.
        completed, failed: how many did.
        now: the present instant.
    """
    match position(state, now):
        case Position.OPEN:
            return state  # these began before it opened
        case Position.HALF_OPEN if failed:
            return BreakerState(
                opened_at=state.opened_at, until_at=now + timedelta(seconds=breaker.open_s), window=state.window
            )
        case Position.HALF_OPEN:
            return CLOSED if completed else state
        case Position.CLOSED:
            pass
    at_s, part_s = now.timestamp(), breaker.window_s / _BUCKETS
    kept = [one for one in state.window if one.at_s + part_s > at_s - breaker.window_s]
    if kept and at_s < kept[-1].at_s + part_s:
        last = kept.pop()
        kept.append(Calls(last.at_s, last.completed + completed, last.failed + failed))
    else:
        kept.append(Calls(at_s, completed, failed))
    counted = BreakerState(window=tuple(kept))
    bad, total = counted.counted
    if total < breaker.calls or bad < breaker.failure_share * total:
        return counted
    return BreakerState(opened_at=now, until_at=now + timedelta(seconds=breaker.open_s), window=counted.window)


class BreakerStore(Protocol):
    """Where all engines count together."""

    def breakers(self, keys: Sequence[BreakerKey]) -> Mapping[BreakerKey, BreakerState]:
        """How some stand; what is closed may be left out."""
        ...

    def called(self, calls: Mapping[BreakerKey, tuple[Breaker, int, int]]) -> Mapping[BreakerKey, BreakerState]:
        """Count calls that have ended: breaker -> (what it goes by, how many completed, how many failed).

        Returns:
            how these breakers stand now.

        Raises:
            UnreachableError: the database does not answer; whether they were counted is unknown.
        """
        ...
