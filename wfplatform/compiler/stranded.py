"""What flies although it cannot run any more, because a segment that it waits for gave back what it reads.

Refuses to judge that segment itself: it says what it gives back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from wfplatform.compiler.segment import Flights
from wfplatform.core.execution import Element, Span
from wfplatform.core.graph import Graph

__all__ = ["stranded"]


def stranded(graph: Graph, flights: Flights, segment: str, given: Iterable[Span]) -> Mapping[str, list[Span]]:
    """What waits in other segments for elements that were given back. When it comes to run it finds them missing and is left
    out, so it can be planned anew at once.

    Args:
        graph: the definition.
        flights: what flies, without what was given back.
        segment: which segment gave them back.
        given: what it gave back.

    Returns:
        segment -> what of it.
    """
    gone: dict[str, set[Element]] = {}
    found: dict[str, list[Span]] = {}

    def miss(name: str, element: Element) -> None:
        gone.setdefault(name, set()).update(element[:depth] for depth in range(len(element) + 1))

    for span in given:
        for element in span.elements():
            miss(span.node, element)
    for node in graph.nodes:
        links = [link for link in graph.links[node.id] if link.source in gone]
        if not links:
            continue
        for span, other in flights.of(node.id):
            if other == segment:
                continue
            for element in span.elements():
                if any(element[: link.shared] in gone[link.source] for link in links):
                    miss(node.id, element)
                    found.setdefault(other, []).append(Span.of(node.id, element))
    return found
