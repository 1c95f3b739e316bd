"""How many elements mapped nodes have, as far as the definition and the parameters tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from wfplatform.core.execution import Element
from wfplatform.core.graph import Graph, Json, ListOf, Literal, Node, ParameterRef
from wfplatform.errors import ParameterError

__all__ = ["known_sizes"]


def known_sizes(graph: Graph, parameters: Mapping[str, Json]) -> dict[str, list[tuple[Element, int]]]:
    """Node id -> (prefix, number of elements below it) each, for nodes mapped over values of the definition or over parameters.

    A prefix stands there once for each number that one of the node's inputs says.

    Raises:
        ParameterError: a parameter that a node is mapped over is no list.
    """
    found: dict[str, list[tuple[Element, int]]] = {}
    for node in graph.nodes:
        sizes: dict[tuple[Element, int], None] = {}
        for port, levels in node.over.items():
            sizes |= dict.fromkeys(_sizes(node, port, levels, parameters))
        if sizes:
            found[node.id] = list(sizes)
    return found


def _sizes(node: Node, port: str, levels: int, parameters: Mapping[str, Json]) -> Iterator[tuple[Element, int]]:
    match node.inputs[port]:
        case Literal(value):
            yield from _below(node, port, value, levels, ())
        case ParameterRef(name, path):
            value = parameters[name]
            for step in path:
                value = value[step.key]  # type: ignore[index]
            yield from _below(node, port, value, levels, ())
        case ListOf(items):
            yield (), len(items)
            if levels > 1:
                raise ParameterError(
                    "map_depth",
                    f"Node {node.id} is mapped over {levels} levels of {port}, a list with outputs in it.",
                    "Put the list together in a node, and map over its output.",
                    node=node.id,
                    port=port,
                )
        case _:
            return


def _below(node: Node, port: str, value: Any, levels: int, prefix: Element) -> Iterator[tuple[Element, int]]:
    if not isinstance(value, list):
        raise ParameterError(
            "map_over",
            f"Node {node.id} is mapped over {port}, which must be a list; it is {value!r}.",
            "Give a list, or wrap it in unmapped() if it is the same for all elements.",
            node=node.id,
            port=port,
        )
    yield prefix, len(value)
    if levels > 1:
        for index, item in enumerate(value):
            yield from _below(node, port, item, levels - 1, (*prefix, index))
