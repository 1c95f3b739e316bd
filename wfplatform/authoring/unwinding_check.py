"""Whether nodes that undo and clean up are sound: what they belong to, and that they read only what is there when they run.

A part of `validation`, which finds all problems at once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from wfplatform.authoring.problem import Problem, too_long
from wfplatform.core.canonical import pointer
from wfplatform.core.graph import Constant, Graph, Literal, Node, NodeKind, OutputRef, ParameterRef
from wfplatform.core.unwinds import UnwindOccasion, Unwinds

__all__ = ["unwinding_problems"]

_UNDONE = frozenset({NodeKind.PYTHON, NodeKind.LOOP, NodeKind.WORKFLOW})


def unwinding_problems(graph: Graph, places: Mapping[str, str], parameters: Collection[str]) -> Iterator[Problem]:
    """Everything that is wrong with the nodes that unwind.

    Args:
        graph: the definition.
        places: node id -> JSON Pointer.
        parameters: the names of the workflow's parameters.
    """
    work = {node.id: node for node in graph.nodes}
    seen: set[Unwinds] = set()
    for node in graph.unwinding:
        place = places[node.id]
        yield from too_long(place, "node", max(node.id, node.label, key=len))
        for within, code, message, port in _problems(node, work, seen, parameters):
            yield Problem(place=f"{place}/{within}", code=code, message=message, node=node.id, port=port)


def _problems(
    node: Node, work: Mapping[str, Node], seen: set[Unwinds], parameters: Collection[str]
) -> Iterator[tuple[str, str, str, str]]:
    unwinds = node.unwinds
    assert unwinds is not None
    undone = work.get(unwinds.node)
    if unwinds in seen:
        yield (
            "data/unwinds",
            "unwound_twice",
            f"Another node is the {unwinds.occasion} of {unwinds.node!r} already.",
            "",
        )
    seen.add(unwinds)
    function = node.config.get("function")
    if node.type != NodeKind.PYTHON:
        yield "type", "unwind_type", f"Only a python node can {_verb(unwinds)}, not one of type {node.type!r}.", ""
    elif not isinstance(function, str) or not function:
        message = f"A node of type 'python' needs `function` in its configuration, got {function!r}."
        yield "data/config/function", "missing_configuration", message, ""
    if node.guard is not None or node.after:
        yield (
            "data",
            "unwind_order",
            "When it runs is known from the node whose work it takes back: no guard, no after.",
            "",
        )
    for option in ("cache", "limit", "breaker"):
        if getattr(node.policy, option) is not None:
            yield f"data/policy/{option}", "unwind_option", f"What takes back work has no {option}: it is run.", ""
    if undone is None:
        yield (
            "data/unwinds/node",
            "edge_to_nowhere",
            f"There is no node {unwinds.node!r} whose work it could take back.",
            "",
        )
        return
    if undone.type not in _UNDONE or (undone.type == NodeKind.WORKFLOW and unwinds.occasion is UnwindOccasion.CLEANUP):
        yield (
            "data/unwinds/node",
            "unwind_type",
            f"There is nothing to {_verb(unwinds)} of a node of type {undone.type!r}.",
            "",
        )
    if node.rank != undone.rank:
        message = (
            f"It has elements of {node.rank} indices, and those of {undone.id!r} have {undone.rank}: map it alike."
        )
        yield "data/over", "map_rank", message, ""
    for port, binding in node.inputs.items():
        levels = node.over.get(port, 0)
        match binding:
            case OutputRef(node=source, port=output, path=()) if source == undone.id:
                fits = unwinds.occasion is UnwindOccasion.UNDO and levels == undone.rank and output in undone.outputs
            case Literal() | Constant() if not levels:
                fits = True
            case ParameterRef(name=name) if not levels:
                fits = name in parameters
            case _:
                fits = any(
                    binding == other and levels == undone.over.get(name, 0) for name, other in undone.inputs.items()
                )
        if not fits:
            message = f"It can have the inputs of {undone.id!r} as that has them, parameters and plain values" + (
                ", and each element's own output." if unwinds.occasion is UnwindOccasion.UNDO else "."
            )
            yield "data/inputs" + pointer(port), "unwind_input", message, port


def _verb(unwinds: Unwinds) -> str:
    return "undo" if unwinds.occasion is UnwindOccasion.UNDO else "clean up"
