"""Hearing that something changed."""

from __future__ import annotations

import threading

__all__ = ["ChangeCounter"]


class ChangeCounter:
    """Counts notifications; who waits is woken by the next one."""

    def __init__(self) -> None:
        self._condition = threading.Condition()
        self._version = 0

    @property
    def version(self) -> int:
        """How many there were."""
        return self._version

    def count(self, channel: str = "", payload: str = "") -> None:
        """One more."""
        del channel, payload
        with self._condition:
            self._version += 1
            self._condition.notify_all()

    def wait(self, version: int, timeout_s: float) -> int:
        """Wait for one after `version`, at most `timeout_s` seconds; returns the count."""
        with self._condition:
            self._condition.wait_for(lambda: self._version > version, timeout_s)
            return self._version
