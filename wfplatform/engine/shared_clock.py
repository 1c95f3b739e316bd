"""The clock of the database, as far as it can be known here: engines whose machines have wrong clocks agree on what is due.

The offset is measured as Cristian (1989) does it: the answer is taken for the instant in the middle between question and answer,
and an answer that came slowly says less than an older one that came quickly.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

__all__ = ["SharedClock"]

ASK_EVERY_S: Final = 30.0
DRIFT: Final = 2e-4
"""Seconds by which a bad quartz goes wrong in a second."""


class SharedClock:
    """A clock.

    Args:
        ask: tells the instant of the database, aware UTC.
        monotonic_s: counts seconds between two questions.

    Raises:
        UnreachableError: the database does not answer.
    """

    def __init__(self, ask: Callable[[], datetime], monotonic_s: Callable[[], float]) -> None:
        self._ask = ask
        self._monotonic_s = monotonic_s
        self._at, self._at_s, self._error_s = self._asked()
        self._asked_s = self._at_s

    def now(self) -> datetime:
        """The present instant."""
        return self._at + timedelta(seconds=self._monotonic_s() - self._at_s)

    def monotonic_s(self) -> float:
        """Seconds that never run backwards."""
        return self._monotonic_s()

    def look_after(self) -> None:
        """Ask again, twice a minute; call it as often as you like.

        Raises:
            UnreachableError: the database does not answer; the clock goes on by what it knows.
        """
        now_s = self._monotonic_s()
        if now_s - self._asked_s < ASK_EVERY_S:
            return
        self._asked_s = now_s
        at, at_s, error_s = self._asked()
        if error_s <= self._error_s + (at_s - self._at_s) * DRIFT:
            self._at, self._at_s, self._error_s = at, at_s, error_s

    def _asked(self) -> tuple[datetime, float, float]:
        """What the database says, at which of our seconds, and by how many that may be wrong."""
        before_s = self._monotonic_s()
        at = self._ask()
        half_s = (self._monotonic_s() - before_s) / 2
        return at, before_s + half_s, half_s
