"""What of a part has not begun, and what of it is given back while one of its elements takes long: another worker may be free.

Refuses to give back what has begun, what waits for it anyway, and anything before all that was computed here is safe: who runs
it elsewhere reads that.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Final

from wfplatform.compiler.payload import Part, SegmentOrder
from wfplatform.core.execution import Element, Span
from wfplatform.core.graph import Graph

__all__ = ["Agenda", "Returned"]

type Returned = tuple[int, Element, int, int]
"""Elements that will not run here: index of the node, prefix, start, stop."""


class Agenda:
    """The elements of a part, in the order in which they run. Safe to use from several threads.

    Args:
        order: the task.
        part: of which part.
        graph: its definition.
        is_safe: whether everything that was computed so far is stored and told.
    """

    def __init__(self, order: SegmentOrder, part: Part, graph: Graph, is_safe: Callable[[], bool]) -> None:
        self.order: Final = order
        self.part: Final = part
        self._graph = graph
        self._is_safe = is_safe
        self._lock = threading.Lock()
        self._given: set[tuple[int, Element]] = set()
        self._place = 0
        self._element: Element | None = None
        self._began_s = 0.0

    def begin(self, place: int, element: Element, now_s: float) -> bool:
        """An element is about to begin, which is not given back from then on; False if it was before.

        Args:
            place: which of the part's members it is in.
            element: which of that member's.
            now_s: the present instant of the monotonic clock.
        """
        with self._lock:
            if self._given and (self.part.members[place][0], element) in self._given:
                return False
            self._place, self._element, self._began_s = place, element, now_s
            return True

    def give_back(self, now_s: float) -> list[Returned]:
        """Give back what has not begun and does not wait for what runs, if that has run as long as a task should.

        A shorter one is left in peace: when it ends, the part gives back what is left by ending itself.
        """
        with self._lock:
            running = self._element
            if running is None or now_s - self._began_s <= self.order.budget_s or not self._is_safe():
                return []
            self._element = None  # of the same one it is not asked again
            return self._rest(running)

    def _rest(self, running: Element) -> list[Returned]:
        """What has not begun and does not depend on what runs, which is given back with that."""
        nodes, links = self._graph.every, self._graph.links
        held: set[tuple[str, Element]] = set()
        found: list[Returned] = []

        def hold(name: str, element: Element) -> None:
            held.update((name, element[:depth]) for depth in range(len(element) + 1))

        hold(nodes[self.part.members[self._place][0]].id, running)
        for place in range(self._place, len(self.part.members)):
            index, span, _ = self.part.members[place]
            name = nodes[index].id
            for element in span.elements():
                if (place == self._place and element <= running) or (index, element) in self._given:
                    continue
                if any((link.source, element[: link.shared]) in held for link in links[name]):
                    hold(name, element)
                    continue
                self._given.add((index, element))
                one = Span.of("", element)
                if found and found[-1][:2] == (index, one.prefix) and found[-1][3] == one.start:
                    found[-1] = (index, one.prefix, found[-1][2], one.stop)
                else:
                    found.append((index, one.prefix, one.start, one.stop))
        return found
