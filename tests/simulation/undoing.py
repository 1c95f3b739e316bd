"""What must hold of executions that are undone, looked at from outside: by what began, and by what was committed.

It asks the graph in its own way what came after what, so as not to repeat a mistake of the code that it watches.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from uuid import UUID

from wfplatform.core.event import Recorded
from wfplatform.core.execution import Element, ExecutionState, NodeState
from wfplatform.core.graph import Graph, Node
from wfplatform.core.unwinds import UnwindOccasion
from wfplatform.engine.testing.memory_contents import StoredElement

__all__ = ["Undoing", "after"]

type Elements = Mapping[tuple[str, Element], StoredElement]


class Undoing:
    """Watches the undoing of all executions."""

    def __init__(self) -> None:
        self._done: Counter[tuple[UUID, str, Element]] = Counter()
        self._began: set[tuple[UUID, str, Element]] = set()

    def ran(self, execution: UUID, graph: Graph, node: Node, element: Element, elements: Elements) -> str:
        """An attempt began that undoes something; returns what is wrong with that, or nothing."""
        self._began.add((execution, node.id, element))
        assert node.unwinds is not None
        for other, place in after(graph, node.unwinds.node, element):
            for later in graph.unwinding:
                if later.unwinds is None or later.unwinds.node != other:
                    continue
                for (name, found), stored in elements.items():
                    if name == later.id and found[: len(place)] == place and not stored.run.state.final:
                        return f"and {later.id}{[*found]}, which came after it, is {stored.run.state}"
        return ""

    def recorded(self, execution: UUID, graph: Graph, what: Recorded, before: StoredElement | None) -> None:
        """Something is committed; the same may be committed again by who heard of no answer."""
        node = graph.by_id.get(what.node)
        key = (execution, what.node, what.element)
        if node is None or node.unwinds is None:
            return
        if what.run.state is NodeState.COMPLETED and (before is None or before.run != what.run):
            self._done[key] += 1
        elif what.run.state is NodeState.SKIPPED:
            del self._done[key]
            self._began.discard(key)

    def wrong(self, execution: UUID, graph: Graph, state: ExecutionState, elements: Elements) -> Iterator[str]:
        """What is wrong with how an execution ended."""
        for node in graph.unwinding:
            assert node.unwinds is not None
            work = graph.by_id[node.unwinds.node]
            mine = {place: stored.run for (name, place), stored in elements.items() if name == node.id}
            ran = {place for place, run in mine.items() if run.state is not NodeState.SKIPPED}
            if state is ExecutionState.COMPLETED:
                if ran or any(one[:2] == (execution, node.id) for one in self._began):
                    yield f"{node.id} ran, and the execution completed"
                continue
            theirs = {
                place: stored.run
                for (name, place), stored in elements.items()
                if name == work.id and len(place) == work.rank
            }
            completed = {place for place, run in theirs.items() if run.state is NodeState.COMPLETED}
            if node.unwinds.occasion is UnwindOccasion.CLEANUP:
                if ran & completed:
                    yield f"{node.id} cleaned up after {ran & completed}, which completed"
                continue
            if completed - ran:
                yield f"{node.id} did not undo {completed - ran}"
            unknown = ran - completed
            if unknown and not work.policy.effect:
                yield f"{node.id} undid {unknown}, which did not complete"
            for place in ran:
                count, ended = self._done[execution, node.id, place], mine[place].state
                if count != (ended is NodeState.COMPLETED):
                    yield f"{node.id}{[*place]} is {ended}, and {count} times it was committed that it is done"


def after(graph: Graph, name: str, element: Element) -> Iterator[tuple[str, Element]]:
    """Everything that came after an element: a node, and the prefix that its elements then have."""
    for link in graph.dependants[name]:
        place = element[: link.shared]
        yield link.target, place
        yield from after(graph, link.target, place)
