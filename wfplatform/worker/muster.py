"""Which slots of a worker host have a worker, and how often in a row none came up.

Refuses: alarm as long as any worker is up; a node that kills its worker is no fault of the host.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

__all__ = ["Muster", "NoWorkerError"]

TRIES: Final = 2
"""So many starts a slot, none of which brought up a worker, are enough: another host begins with nothing loaded."""


class NoWorkerError(Exception):
    """No worker comes up; the text says what became of the last."""


class Muster:
    """Counts workers that are up, and starts that failed since one was. To be used in one thread.

    Args:
        slots: how many workers there are to be.
        on_first: called once, when the first worker is up.
    """

    def __init__(self, slots: int, *, on_first: Callable[[], None]) -> None:
        self._slots = slots
        self._on_first: Callable[[], None] | None = on_first
        self._present: set[int] = set()
        self._failed = 0
        self._last = ""

    def up(self, slot: int) -> None:
        """The worker of a slot is up."""
        self._present.add(slot)
        self._failed = 0
        call, self._on_first = self._on_first, None
        if call is not None:
            call()

    def ended(self, slot: int) -> bool:
        """The worker process of a slot has ended.

        Returns:
            whether the worker had been up.
        """
        was_up = slot in self._present
        self._present.discard(slot)
        return was_up

    def failed(self, why: str) -> None:
        """A slot has tried to start a worker in vain.

        Args:
            why: in words.
        """
        self._failed += 1
        self._last = why

    def check(self) -> None:
        """Go on while there is hope.

        Raises:
            NoWorkerError: no worker is up, and every slot has failed to start one often enough since one was.
        """
        if not self._present and self._failed >= TRIES * self._slots:
            raise NoWorkerError(f"{self._failed} starts in a row failed, the last with: {self._last}")
