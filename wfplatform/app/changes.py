"""Hearing that something changed."""

from __future__ import annotations

import threading
from typing import Final

__all__ = ["ChangeCounter"]

_FINAL: Final = ("completed", "failed", "cancelled")


class ChangeCounter:
    """Counts notifications, those of ended executions also apart; who waits is woken by the next one."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._version = 0
        self._ended = 0

    @property
    def version(self) -> int:
        """How many there were."""
        return self._version

    @property
    def ended(self) -> int:
        """How many said that an execution has ended."""
        return self._ended

    def count(self, channel: str = "", payload: str = "") -> None:
        """One more: an execution's id and its state. Without a payload, anything may have happened."""
        del channel
        with self._condition:
            self._version += 1
            if not payload or payload.endswith(_FINAL):
                self._ended += 1
            self._condition.notify_all()

    def wait(self, version: int, timeout_s: float) -> int:
        """Wait for one after `version`, at most `timeout_s` seconds; returns the count."""
        with self._condition:
            self._condition.wait_for(lambda: self._version > version, timeout_s)
            return self._version

    def wait_ended(self, ended: int, timeout_s: float) -> int:
        """Wait for an execution to end after the count `ended`, at most `timeout_s` seconds; returns the count."""
        with self._condition:
            self._condition.wait_for(lambda: self._ended > ended, timeout_s)
            return self._ended
