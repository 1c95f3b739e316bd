"""A retry of what was undone: it is not done any more, and neither is what was made of it. Used by `request` alone."""

from __future__ import annotations

from wfplatform.core.draft import Draft
from wfplatform.core.event import Recorded
from wfplatform.core.execution import NodeState, Run
from wfplatform.core.graph import Graph, Node, NodeKind, OutputRef
from wfplatform.core.unwinds import UnwindOccasion

__all__ = ["forget_undone"]


def forget_undone(draft: Draft) -> frozenset[str]:
    """Open again all nodes that were undone, and all that come after them, which read what these left.

    Returns:
        the nodes whose elements all are pending again.
    """
    if not draft.graph.unwinding:
        return frozenset()
    draft.changes["unwinding"] = False
    undone = [
        node.unwinds.node for node in draft.graph.unwinding if node.unwinds is not None and _has_undone(draft, node)
    ]
    found = _with_dependants(draft.graph, undone)
    for node in draft.graph.nodes:
        if node.id in found:
            _open_again(draft, node)
    tainted: set[str] = set()
    for node in draft.graph.nodes:
        if node.rank and _is_sized_by(draft.graph, node, found, tainted):
            tainted.add(node.id)
            draft.forget_sizes(node.id)
    for node in draft.graph.unwinding:
        for element, run in list(draft.known(node.id).items()) if node.id in draft.base.nodes else ():
            draft.put(node.id, element, Run(NodeState.SKIPPED, run.attempt, reason="it was tried again"))
    return found


def _has_undone(draft: Draft, node: Node) -> bool:
    """Whether anything was undone by a node, or was to be: in what state that left the world, nobody knows."""
    if node.unwinds is None or node.unwinds.occasion is not UnwindOccasion.UNDO or node.id not in draft.base.nodes:
        return False
    return any(run.state is not NodeState.SKIPPED for run in draft.known(node.id).values())


def _with_dependants(graph: Graph, names: list[str]) -> frozenset[str]:
    found: set[str] = set()
    todo = list(names)
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += [link.target for link in graph.dependants[name]]
    return frozenset(found)


def _open_again(draft: Draft, node: Node) -> None:
    runs = draft.runs(node.id)
    for element, run in list(runs.items()):
        again = Run(NodeState.PENDING, run.attempt, edit=run.edit)
        if len(element) < node.rank:
            del runs[element]
        else:
            runs[element] = again
            if node.type == NodeKind.LOOP:  # it begins anew: from here on its turns are not those of this attempt
                draft.recorded.append(Recorded(node.id, (*element, 0), again, None, fresh=False))
        draft.recorded.append(Recorded(node.id, element, again, None, fresh=False))
    draft.recount(node.id)


def _is_sized_by(graph: Graph, node: Node, opened: frozenset[str], tainted: set[str]) -> bool:
    """Whether it is by what an opened node will return that one knows how many elements there are."""
    for port, levels in node.over.items():
        binding = node.inputs[port]
        if isinstance(binding, OutputRef):
            expands = levels > graph.by_id[binding.node].rank
            if binding.node in tainted or (expands and binding.node in opened):
                return True
    return False
