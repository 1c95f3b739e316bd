"""When the values of a segment's nodes are read for the last time, so that a long segment does not hold all it ever made.

Refuses to judge values that other segments read: those are exported.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wfplatform.compiler.payload import Part
from wfplatform.core.graph import Graph
from wfplatform.worker.inputs import Scope

__all__ = ["forget", "last_reads"]


def last_reads(graph: Graph, part: Part) -> Mapping[int, Sequence[int]]:
    """Of the nodes that a part runs and that no other segment reads: who reads them last.

    Args:
        graph: the definition.
        part: what is run.

    Returns:
        place in `part.members` -> nodes whose values nobody needs once that member has run.
    """
    members = part.members
    own = {graph.every[index].id: index for index, _, _ in members if index not in part.exports}
    last: dict[int, int] = {}
    for place, (index, _, _) in enumerate(members):
        # The node itself, if nobody here reads it at all.
        for name in (graph.every[index].id, *(link.source for link in graph.links[graph.every[index].id])):
            if name in own:
                last[own[name]] = place
    found: dict[int, list[int]] = {}
    for index, place in last.items():
        found.setdefault(place, []).append(index)
    return found


def forget(part: Part, scope: Scope, node: int) -> None:
    """Drop the values of a node.

    Args:
        part: what is run.
        scope: where its values are.
        node: index of the node.
    """
    for index, span, _ in part.members:
        if index == node:
            for element in span.elements():
                scope.values.pop((index, element), None)
                scope.digests.pop((index, element), None)
