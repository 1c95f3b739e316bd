"""How many elements mapped nodes have, as far as the definition and the parameters tell."""

from __future__ import annotations

import reprlib
from collections.abc import Iterator, Mapping
from typing import Any

from wfplatform.core.execution import Element
from wfplatform.core.graph import Binding, Graph, Json, ListOf, Literal, Node, OutputRef, ParameterRef
from wfplatform.errors import ParameterError

__all__ = ["known_sizes"]


def known_sizes(graph: Graph, parameters: Mapping[str, Json]) -> dict[str, list[tuple[Element, int]]]:
    """Node id -> (prefix, number of elements below it) each, for nodes mapped over values of the definition or over parameters.

    A prefix stands there once for each number that one of the node's inputs says.

    Raises:
        ParameterError: what a node is mapped over is no list, or its length cannot be told.
    """
    found: dict[str, list[tuple[Element, int]]] = {}
    for node in graph.nodes:
        sizes: dict[tuple[Element, int], None] = {}
        for port, levels in node.over.items():
            sizes |= dict.fromkeys(_sizes(node, port, node.inputs[port], levels, parameters))
        if sizes:
            found[node.id] = list(sizes)
    return found


def _sizes(
    node: Node, port: str, binding: Binding, levels: int, parameters: Mapping[str, Json], prefix: Element = ()
) -> Iterator[tuple[Element, int]]:
    match binding:
        case Literal(value):
            yield from _below(node, port, value, levels, prefix)
        case ParameterRef():
            yield from _below(node, port, _given(node, port, binding, parameters), levels, prefix)
        case ListOf(items):
            yield prefix, len(items)
            if levels > 1:
                for index, item in enumerate(items):
                    yield from _sizes(node, port, item, levels - 1, parameters, (*prefix, index))
        case OutputRef() if not prefix:
            return  # told by the length that is recorded of it
        case _:
            raise ParameterError(
                "map_depth",
                f"Node {node.id} is mapped over {levels + len(prefix)} levels of {port}, and how long its item "
                f"{list(prefix)} is cannot be told before it runs.",
                "Put the list together in a node, and map over its output.",
                node=node.id,
                port=port,
            )


def _given(node: Node, port: str, ref: ParameterRef, parameters: Mapping[str, Json]) -> Any:
    value: Any = parameters[ref.name]
    for step in ref.path:
        try:
            value = value[step.key]
        except (LookupError, TypeError) as error:
            raise ParameterError(
                "map_over",
                f"Node {node.id} is mapped over {port}, a part of the parameter {ref.name}, which has no {step.key!r}; "
                f"it is {reprlib.repr(parameters[ref.name])}.",
                "Start the workflow with a value that has it.",
                node=node.id,
                port=port,
            ) from error
    return value


def _below(node: Node, port: str, value: Any, levels: int, prefix: Element) -> Iterator[tuple[Element, int]]:
    if not isinstance(value, list):
        below = f" at {list(prefix)}" if prefix else ""
        raise ParameterError(
            "map_over",
            f"Node {node.id} is mapped over {port}, which must be a list{below}; it is {reprlib.repr(value)}.",
            "Give a list, or wrap it in unmapped() if it is the same for all elements.",
            node=node.id,
            port=port,
        )
    yield prefix, len(value)
    if levels > 1:
        for index, item in enumerate(value):
            yield from _below(node, port, item, levels - 1, (*prefix, index))
