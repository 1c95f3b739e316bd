"""How many elements mapped nodes have, as far as the definition and the parameters tell."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfplatform.core.graph import Graph, Json, Literal, Node, ParameterRef
from wfplatform.errors import ParameterError

__all__ = ["known_sizes"]


def known_sizes(graph: Graph, parameters: Mapping[str, Json]) -> dict[str, int]:
    """Node id -> number of elements, for nodes mapped over values of the definition or over parameters.

    Raises:
        ParameterError: a parameter that a node is mapped over is no list, or two of them have different lengths.
    """
    found: dict[str, int] = {}
    for node in graph.nodes:
        for port in node.over:
            size = _size(node, port, parameters)
            if size is None:
                continue
            known = found.setdefault(node.id, size)
            if known != size:
                raise ParameterError(
                    "map_sizes",
                    f"Node {node.id} is mapped over collections of different lengths: {known}, and {size} for {port}.",
                    "Give lists of the same length, or wrap what is the same for all elements in unmapped().",
                    node=node.id,
                    port=port,
                )
    return found


def _size(node: Node, port: str, parameters: Mapping[str, Json]) -> int | None:
    value: Any
    match node.inputs[port]:
        case Literal(value):
            pass
        case ParameterRef(name, path):
            value = parameters[name]
            for step in path:
                value = value[step.key]
        case _:
            return None
    if not isinstance(value, list):
        raise ParameterError(
            "map_over",
            f"Node {node.id} is mapped over {port}, which must be a list; it is {value!r}.",
            "Give a list, or wrap it in unmapped() if it is the same for all elements.",
            node=node.id,
            port=port,
        )
    return len(value)
