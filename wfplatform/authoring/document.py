"""Workflows as JSON documents: what the canvas shows and the platform stores. Both ways without loss.

Reading is in `document_read`, what makes a definition sound in `validation`. Refuses documents that are not.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import count
from typing import Any, Final

from wfplatform.authoring.document_hook import hook_problems, write_hooks
from wfplatform.authoring.document_policy import plain_number, write_policy
from wfplatform.authoring.document_read import (
    MAX_DOCUMENT_BYTES,
    SCHEMA_VERSION,
    EdgeType,
    Reader,
    natural_order,
    parsed,
)
from wfplatform.authoring.document_schema import document_schema
from wfplatform.authoring.document_value import write_value
from wfplatform.authoring.problem import Problem, refuse
from wfplatform.authoring.validation import MAX_NODES, definition_problems, definition_warnings
from wfplatform.core.canonical import canonical_json, digest
from wfplatform.core.graph import (
    DEFAULT_PORT,
    Binding,
    Definition,
    Literal,
    Node,
    OutputRef,
    Parameter,
    references,
)

__all__ = [
    "MAX_DOCUMENT_BYTES",
    "MAX_NODES",
    "SCHEMA_VERSION",
    "Problem",
    "definition_digest",
    "definition_warnings",
    "document_schema",
    "from_document",
    "to_document",
]

_COLUMN: Final = 220
_ROW: Final = 120


def to_document(definition: Definition) -> dict[str, Any]:
    """A definition as a JSON document.

    Args:
        definition: any, sound or not.

    Returns:
        the document; nodes without a position get one by their place in the graph, marked `autoPosition`.
    """
    graph = definition.graph
    document: dict[str, Any] = {"schemaVersion": SCHEMA_VERSION, "name": definition.name}
    if definition.description:
        document["description"] = definition.description
    document["parameters"] = [_parameter(parameter) for parameter in graph.parameters]
    if policy := write_policy(definition.policy):
        document["policy"] = policy
    if definition.hooks:
        document["hooks"] = write_hooks(definition.hooks)
    places = _layout(graph.every)
    document["nodes"] = [_node(node, places[node.id]) for node in graph.every]
    document["edges"] = [edge for node in graph.every for edge in _edges(node)]
    if graph.result != Literal(None):
        document["result"] = write_value(graph.result)
    return document


def from_document(document: dict[str, Any] | str | bytes, *, known_types: Collection[str] | None = None) -> Definition:
    """A definition from a JSON document, drawn on a canvas or written by `to_document`.

    Nodes may stand in any order; an edge into a port without an entry is that input.

    Args:
        document: JSON text or what was read from it.
        known_types: names of the node types there are; None = any.

    Returns:
        the definition, its nodes in topological order.

    Raises:
        DefinitionError: `too_large` (before anything is parsed), `not_json` or `invalid_definition`;
            `facts["problems"]` has every problem, each with `place` (JSON Pointer), `code`, `message`, and
            `node` and `port` where it concerns one.
    """
    reader = Reader(parsed(document))
    definition = reader.definition()
    problems = [
        *reader.problems,
        *definition_problems(definition, reader.pointers, known_types),
        *hook_problems(definition.hooks, definition.policy),
    ]
    if problems:
        raise refuse(problems, definition.name)
    return reader.sorted(definition)


def definition_digest(definition: Definition, code_digest: str) -> str:
    """The identity of a workflow version.

    Args:
        definition: positions, notes, labels, the order of nodes, and previews of constants do not count.
        code_digest: of the code that travels with it.

    Returns:
        SHA-256, 64 hexadecimal digits.
    """
    document = to_document(definition)
    for node in document["nodes"]:
        del node["position"]
        for looks in ("label", "notes", "autoPosition"):
            node["data"].pop(looks, None)
    document["nodes"].sort(key=lambda node: node["id"])
    document["edges"].sort(key=lambda edge: edge["id"])
    stripped = _without_previews(document)
    return digest(canonical_json({"code": code_digest, "document": stripped}))


def _without_previews(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_previews(item) for item in value]
    if isinstance(value, dict):
        looks = {"preview"} if "$constant" in value else set()
        return {key: _without_previews(item) for key, item in value.items() if key not in looks}
    return value


def _parameter(parameter: Parameter) -> dict[str, Any]:
    written: dict[str, Any] = {"name": parameter.name, "schema": dict(parameter.schema)}
    if parameter.required:
        written["required"] = True
    if parameter.default is not None:
        written["default"] = parameter.default
    if parameter.annotation:
        written["annotation"] = parameter.annotation
    return written


def _node(node: Node, place: tuple[float, float]) -> dict[str, Any]:
    data: dict[str, Any] = {}
    if node.label:
        data["label"] = node.label
    inputs = {port: write_value(binding) for port, binding in node.inputs.items() if not _is_edge(binding)}
    if inputs:
        data["inputs"] = inputs
    if list(node.inputs) != natural_order(node.inputs):
        data["order"] = list(node.inputs)
    if node.over:
        data["over"] = dict(node.over)
    if node.outputs != (DEFAULT_PORT,):
        data["outputs"] = list(node.outputs)
    if node.after:
        data["after"] = list(node.after)
    if node.guard is not None:
        data["guard"] = {"node": node.guard.node, "verdict": node.guard.verdict}
    if node.unwinds is not None:
        data["unwinds"] = {"node": node.unwinds.node, "occasion": str(node.unwinds.occasion)}
    if node.config:
        data["config"] = dict(node.config)
    if policy := write_policy(node.policy):
        data["policy"] = policy
    if node.notes:
        data["notes"] = node.notes
    if node.position is None:
        data["autoPosition"] = True
    x, y = node.position or place
    return {
        "id": node.id,
        "type": node.type,
        "data": data,
        "position": {"x": plain_number(float(x)), "y": plain_number(float(y))},
    }


def _is_edge(binding: Binding) -> bool:
    """Whether an input is exactly one whole output, which the edge says already."""
    return isinstance(binding, OutputRef) and not binding.path


def _edges(node: Node) -> Iterator[dict[str, str]]:
    seen: set[tuple[str, str, str]] = set()
    for port, binding in node.inputs.items():
        for ref in references(binding):
            if (ref.node, ref.port, port) in seen:
                continue
            seen.add((ref.node, ref.port, port))
            edge = {
                "id": f"e:{ref.node}.{ref.port}>{node.id}.{port}",
                "source": ref.node,
                "target": node.id,
                "sourceHandle": ref.port,
                "targetHandle": port,
            }
            if port in (EdgeType.AFTER, EdgeType.GUARD):  # else it would be taken for an edge without a value
                edge["type"] = EdgeType.VALUE
            yield edge
    for name in dict.fromkeys(node.after):
        yield {
            "id": f"after:{name}>{node.id}",
            "type": EdgeType.AFTER,
            "source": name,
            "target": node.id,
            "sourceHandle": "after",
            "targetHandle": "after",
        }
    if node.guard is not None:
        yield {
            "id": f"guard:{node.guard.node}>{node.id}",
            "type": EdgeType.GUARD,
            "source": node.guard.node,
            "target": node.id,
            "sourceHandle": "true" if node.guard.verdict else "false",
            "targetHandle": "guard",
        }


def _layout(nodes: tuple[Node, ...]) -> dict[str, tuple[float, float]]:
    """Column by the longest way from a start, row by the order in the column."""
    columns: dict[str, int] = {}
    rows: dict[int, Iterator[int]] = {}
    places: dict[str, tuple[float, float]] = {}
    for node in nodes:
        before = [ref.node for binding in node.inputs.values() for ref in references(binding)]
        before += [*node.after, *([node.guard.node] if node.guard else [])]
        column = max((columns.get(name, -1) + 1 for name in before), default=0)
        columns[node.id] = column
        places[node.id] = (column * _COLUMN, next(rows.setdefault(column, count())) * _ROW)
    return places
