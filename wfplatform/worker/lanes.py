"""The two lanes of a worker process: CPU-bound nodes one at a time, nodes that mostly wait many at once, and a suspect all alone.

Refuses to let anything start beside a suspect: when its process dies, nobody else can have done it.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from wfplatform.core.policy import Lane

__all__ = ["Lanes"]


class Lanes:
    """Who may run now. Safe to use from several threads.

    Args:
        io_slots: nodes of the I/O lane at the same moment.
    """

    def __init__(self, io_slots: int) -> None:
        self._room = {Lane.CPU: 1, Lane.IO: io_slots}
        self._running = 0
        self._alone = False
        self._suspects = 0
        self._changed = threading.Condition()

    @contextmanager
    def enter(self, lane: Lane, *, alone: bool = False) -> Iterator[None]:
        """Wait for a place in a lane and hold it.

        Args:
            lane: which.
            alone: wait until nothing else runs in either lane, and let nothing else start.
        """
        with self._changed:
            self._suspects += alone
            self._changed.wait_for(lambda: self._may_enter(lane, alone))
            self._suspects -= alone
            self._room[lane] -= 1
            self._running += 1
            self._alone = alone
        try:
            yield
        finally:
            with self._changed:
                self._room[lane] += 1
                self._running -= 1
                self._alone = False
                self._changed.notify_all()

    def _may_enter(self, lane: Lane, alone: bool) -> bool:
        if alone:
            return self._running == 0
        # Who waits to be alone goes first, else it might wait for ever.
        return not self._alone and not self._suspects and self._room[lane] > 0
