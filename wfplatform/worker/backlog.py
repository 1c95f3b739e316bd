"""Parts of Dask tasks that have not begun on this worker, and how they are given back when the one before them takes long.

Refuses to give back what has begun, and the only part of a task.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from time import monotonic

from wfplatform.compiler.payload import Part, SegmentOrder
from wfplatform.worker.stream import OutcomeStream

__all__ = ["Backlog"]


class Backlog:
    """What waits inside the tasks that run here. Safe to use from several threads.

    Args:
        stream: where it is told that a segment ends without having run.
    """

    def __init__(self, stream: OutcomeStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[SegmentOrder, float, deque[Part]]] = {}

    def parts(self, order: SegmentOrder) -> Iterator[Part]:
        """The parts of a task, one after the other, as long as they are not given back."""
        if len(order.parts) == 1 or not order.budget_s:
            yield from order.parts
            return
        waiting = deque(order.parts)
        with self._lock:
            self._waiting[id(order)] = (order, monotonic() + order.budget_s, waiting)
        try:
            while True:
                with self._lock:
                    if not waiting:
                        return
                    part = waiting.popleft()
                yield part
        finally:
            with self._lock:
                del self._waiting[id(order)]

    def give_back(self) -> None:
        """Give back what waits in tasks whose time is over: another worker may be free for it."""
        if not self._waiting:
            return
        late: list[tuple[SegmentOrder, Part]] = []
        now_s = monotonic()
        with self._lock:
            for order, until_s, waiting in self._waiting.values():
                if waiting and now_s > until_s:
                    late += [(order, part) for part in waiting]
                    waiting.clear()
        for order, part in late:
            self._stream.add(order.engine, part.execution, part.epoch, part.segment, [], closed=True)
