"""Hearing that something changed."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Set
from typing import Final
from uuid import UUID

from wfplatform.core.announcement import ended_in

__all__ = ["ChangeCounter"]

_REMEMBERED: Final = 256


class ChangeCounter:
    """Counts announcements, those of ended executions also apart; who waits is woken by the next one that concerns it."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._version = 0
        self._ended = 0
        # The last of those that told of an end, with its number; None: any may have ended.
        self._told: deque[tuple[int, frozenset[UUID] | None]] = deque(maxlen=_REMEMBERED)

    @property
    def ended(self) -> int:
        """How many said that an execution has ended."""
        return self._ended

    def count(self, channel: str = "", payload: str = "") -> None:
        """One more; without a payload, anything may have happened."""
        del channel
        ended = ended_in(payload)
        with self._condition:
            self._version += 1
            if ended is None or ended:
                self._ended += 1
                self._told.append((self._ended, ended))
            self._condition.notify_all()

    def wait(self, version: int, timeout_s: float) -> int:
        """Wait for one after `version`, at most `timeout_s` seconds; returns the count."""
        with self._condition:
            self._condition.wait_for(lambda: self._version > version, timeout_s)
            return self._version

    def wait_ended(self, ended: int, among: Set[UUID], timeout_s: float) -> bool:
        """Wait for one of some executions to end.

        Args:
            ended: how many ends were told of when they were last looked at.
            among: which executions.
            timeout_s: seconds to wait at most.

        Returns:
            whether one may have ended.
        """
        with self._condition:
            return self._condition.wait_for(lambda: self._may_have_ended(ended, among), timeout_s)

    def _may_have_ended(self, ended: int, among: Set[UUID]) -> bool:
        if self._ended - ended > len(self._told):
            return True  # more was told than is remembered
        for number, executions in reversed(self._told):
            if number <= ended:
                return False
            if executions is None or not executions.isdisjoint(among):
                return True
        return False
