"""How long what nothing waits for may stay uncommitted, so that more is written at once. Refuses: keeping what is urgent."""

from __future__ import annotations

from wfplatform.core.ports import Clock

__all__ = ["Linger"]


class Linger:
    """The time that the oldest of what lingers has left.

    Args:
        clock: tells the time.
        linger_s: how long anything may linger.
    """

    def __init__(self, clock: Clock, linger_s: float) -> None:
        self._clock = clock
        self._linger_s = linger_s
        self.until_s: float | None = None

    def goes_on(self, *, urgent: bool) -> bool:
        """Whether what is to be committed may wait for more to come.

        Args:
            urgent: something waits for it, or there is nothing to commit.
        """
        now_s = self._clock.monotonic_s()
        if self.until_s is None and not urgent:
            self.until_s = now_s + self._linger_s
        if self.until_s is not None and not urgent and now_s < self.until_s:
            return True
        self.until_s = None
        return False
