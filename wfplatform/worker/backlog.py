"""What has not begun inside the Dask tasks of this worker, and how it is given back when what is before it takes long: parts,
and elements of the parts that run.

Refuses to give back what has begun, and the only element of a task.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic

from wfplatform.compiler.payload import Part, SegmentOrder
from wfplatform.worker.agenda import Agenda
from wfplatform.worker.stream import OutcomeStream

__all__ = ["Backlog"]


class Backlog:
    """What waits inside the tasks that run here. Safe to use from several threads.

    Args:
        stream: where it is told what will not run here.
    """

    def __init__(self, stream: OutcomeStream) -> None:
        self._stream = stream
        self._lock = threading.Lock()
        self._waiting: dict[int, tuple[SegmentOrder, float, deque[Part]]] = {}
        self._agendas: dict[int, Agenda] = {}

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

    @contextmanager
    def open(self, agenda: Agenda) -> Iterator[None]:
        """While its part runs, elements of an agenda may be given back."""
        with self._lock:
            self._agendas[id(agenda)] = agenda
        try:
            yield
        finally:
            with self._lock:
                del self._agendas[id(agenda)]

    def give_back(self, now_s: float | None = None) -> None:
        """Give back what waits in tasks whose time is over: another worker may be free for it.

        Args:
            now_s: the present instant, if it is not to be that of the monotonic clock.
        """
        if not self._waiting and not self._agendas:
            return
        late: list[tuple[SegmentOrder, Part]] = []
        now_s = monotonic() if now_s is None else now_s
        with self._lock:
            for order, until_s, waiting in self._waiting.values():
                if waiting and now_s > until_s:
                    late += [(order, part) for part in waiting]
                    waiting.clear()
            agendas = list(self._agendas.values())
        for order, part in late:
            self._stream.add(order.engine, part.execution, part.epoch, part.segment, [], closed=True)
        for agenda in agendas:
            returned = agenda.give_back(now_s)
            if returned:
                # Should the part end before this is told, it is told too late and means nothing: its end says the same.
                part = agenda.part
                self._stream.add(agenda.order.engine, part.execution, part.epoch, part.segment, [], returned=returned)
