"""Reads a JSON document into a definition, from whoever drew it, and notes every problem with its place.

Refuses by noting: what cannot be read is left out, so that the rest can be judged too.
"""

from __future__ import annotations

import heapq
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any, Final

from wfplatform.authoring.document_hook import read_hooks
from wfplatform.authoring.document_policy import read_policy
from wfplatform.authoring.document_value import read_value
from wfplatform.authoring.problem import Problem, refuse, shown
from wfplatform.authoring.validation import MAX_NODES, sources_of
from wfplatform.core.canonical import json_problems, parse_json, pointer
from wfplatform.core.graph import (
    DEFAULT_PORT,
    Binding,
    Definition,
    Graph,
    Guard,
    Json,
    Node,
    OutputRef,
    Parameter,
    references,
)
from wfplatform.core.policy import Policy, WorkflowPolicy
from wfplatform.core.unwinds import UnwindOccasion, Unwinds
from wfplatform.errors import DefinitionError, UserError

__all__ = ["MAX_DOCUMENT_BYTES", "SCHEMA_VERSION", "EdgeType", "Reader", "natural_order", "parsed"]

SCHEMA_VERSION: Final = 1
MAX_DOCUMENT_BYTES: Final = 10 * 1024 * 1024

_ID: Final = re.compile(r"[\w-]{1,200}")
_TOP_KEYS: Final = (
    "$schema", "schemaVersion", "name", "description", "parameters", "policy", "hooks", "nodes", "edges", "result",
)  # fmt: skip
_DATA_KEYS: Final = (
    "label", "inputs", "order", "over", "outputs", "after", "guard", "unwinds", "config", "policy",
    "notes", "autoPosition",
)  # fmt: skip
_PARAMETER_KEYS: Final = ("name", "schema", "required", "default", "annotation")


class EdgeType:
    """Types of edges; an edge without a type carries a value."""

    VALUE: Final = "value"
    AFTER: Final = "after"
    GUARD: Final = "guard"


def natural_order(ports: Iterable[str]) -> list[str]:
    """The order of input ports where none is written down: short ones first, `2` before `10`."""
    return sorted(ports, key=lambda port: (len(port), port))


def parsed(document: Any) -> Any:
    """A document as plain JSON, its text judged before it is read.

    Args:
        document: JSON text, or what was read from it.

    Raises:
        DefinitionError: `too_large` or `not_json`.
    """
    if isinstance(document, str | bytes):
        try:
            return parse_json(document, max_bytes=MAX_DOCUMENT_BYTES)
        except UserError as error:
            raise DefinitionError(error.code, error.message, error.hint, **error.facts) from None
    problems = [Problem(place=p.place, code=p.code, message=p.message) for p in json_problems(document)]
    if problems:
        raise refuse(problems)
    return document


class Reader:
    """One reading of one document.

    Args:
        document: plain JSON.
    """

    def __init__(self, document: Any) -> None:
        self._document = document
        self.problems: list[Problem] = []
        self.pointers: dict[str, str] = {}
        """Node id -> JSON Pointer."""

    def definition(self) -> Definition:
        """What could be read, nodes in the order of the document.

        Raises:
            DefinitionError: it is not a document of this schema version, or has too many nodes to be judged.
        """
        top = self._object(self._document, "")
        version = top.get("schemaVersion")
        if isinstance(self._document, dict) and (version != SCHEMA_VERSION or isinstance(version, bool)):
            message = f"Expected schemaVersion {SCHEMA_VERSION}, got {version!r}; this release reads no other."
            raise refuse([Problem(place="/schemaVersion", code="schema_version", message=message)])
        self._known_keys(top, _TOP_KEYS, "")
        name = self._text(top.get("name"), "/name")
        if not name.strip():
            self._note("/name", "no_name", "A workflow needs a name.")
        given = self._list(top.get("nodes"), "/nodes")
        if len(given) > MAX_NODES:
            message = f"Expected at most {MAX_NODES} nodes, got {len(given)}."
            raise refuse([Problem(place="/nodes", code="too_many_nodes", message=message)], name)
        nodes: dict[str, Node] = {}
        for index, item in enumerate(given):
            self._add_node(item, f"/nodes/{index}", nodes)
        self._add_edges(self._list(top.get("edges"), "/edges"), nodes)
        parameters = self._parameters(self._list(top.get("parameters"), "/parameters"))
        return Definition(
            name=name,
            description=self._text(top.get("description", ""), "/description"),
            policy=read_policy(WorkflowPolicy, top.get("policy", {}), "/policy", self._report),
            hooks=read_hooks(top.get("hooks"), "/hooks", self._report),
            graph=Graph(
                nodes=tuple(node for node in nodes.values() if node.unwinds is None),
                result=read_value(top.get("result"), "/result", self._report),
                parameters=parameters,
                unwinding=tuple(node for node in nodes.values() if node.unwinds is not None),
            ),
        )

    def sorted(self, definition: Definition) -> Definition:
        """The same with its nodes in topological order; a sound order is kept as it is."""
        nodes = definition.graph.nodes
        place = {node.id: index for index, node in enumerate(nodes)}
        waits = {node.id: set(sources_of(node)) for node in nodes}
        away: dict[str, list[str]] = {node.id: [] for node in nodes}
        for name, sources in waits.items():
            for source in sources:
                away[source].append(name)
        ready = [place[name] for name, sources in waits.items() if not sources]
        heapq.heapify(ready)
        order: list[Node] = []
        while ready:
            node = nodes[heapq.heappop(ready)]
            order.append(node)
            for name in away[node.id]:
                waits[name].discard(node.id)
                if not waits[name]:
                    heapq.heappush(ready, place[name])
        return replace(definition, graph=replace(definition.graph, nodes=tuple(order)))

    # -- nodes

    def _add_node(self, item: Any, at: str, nodes: dict[str, Node]) -> None:
        given = self._object(item, at)
        name, kind = given.get("id"), given.get("type")
        if not isinstance(name, str) or not _ID.fullmatch(name):
            message = f"Expected an id of letters, digits, _ and -, at most 200, got {shown(name)}."
            self._note(f"{at}/id", "node_id", message)
            return
        if name in nodes:
            message = f"Another node has the id {name!r} already, at {self.pointers[name]}."
            self._note(f"{at}/id", "duplicate_id", message, node=name)
            return
        self.pointers[name] = at
        data = self._object(given.get("data", {}), f"{at}/data")
        self._known_keys(data, _DATA_KEYS, f"{at}/data")
        inputs = {
            port: read_value(value, f"{at}/data/inputs{pointer(port)}", self._report)
            for port, value in self._object(data.get("inputs", {}), f"{at}/data/inputs").items()
        }
        over = self._object(data.get("over", {}), f"{at}/data/over")
        for port, levels in over.items():
            if not isinstance(levels, int) or isinstance(levels, bool) or levels < 0:
                message = f"Expected a number of levels, 0 or more, got {shown(levels)}."
                self._note(f"{at}/data/over{pointer(port)}", "over", message, node=name, port=port)
        outputs = self._words(data.get("outputs", [DEFAULT_PORT]), f"{at}/data/outputs")
        if len(set(outputs)) < len(outputs):
            self._note(f"{at}/data/outputs", "outputs", "Expected different names for the outputs.", node=name)
        nodes[name] = Node(
            id=name,
            type=self._text(kind, f"{at}/type"),
            label=self._text(data.get("label", ""), f"{at}/data/label"),
            inputs=_ordered(inputs, self._words(data.get("order", []), f"{at}/data/order")),
            over={port: levels for port, levels in over.items() if type(levels) is int and levels >= 0},
            outputs=outputs,
            after=self._words(data.get("after", []), f"{at}/data/after"),
            guard=self._guard(data.get("guard"), f"{at}/data/guard"),
            unwinds=self._unwinds(data.get("unwinds"), f"{at}/data/unwinds"),
            config=self._object(data.get("config", {}), f"{at}/data/config"),
            policy=read_policy(Policy, data.get("policy", {}), f"{at}/data/policy", self._report),
            position=None if data.get("autoPosition") is True else self._position(given.get("position"), at),
            notes=self._text(data.get("notes", ""), f"{at}/data/notes"),
        )

    def _guard(self, given: Any, at: str) -> Guard | None:
        if given is None:
            return None
        guard = self._object(given, at)
        node, verdict = guard.get("node"), guard.get("verdict")
        if not isinstance(node, str) or not isinstance(verdict, bool) or len(guard) != 2:
            self._note(at, "guard", f'Expected {{"node": id, "verdict": true or false}}, got {shown(given)}.')
            return None
        return Guard(node, verdict)

    def _unwinds(self, given: Any, at: str) -> Unwinds | None:
        if given is None:
            return None
        found = self._object(given, at)
        node, occasion = found.get("node"), found.get("occasion")
        if not isinstance(node, str) or occasion not in {str(one) for one in UnwindOccasion} or len(found) != 2:
            words = " or ".join(f'"{one}"' for one in UnwindOccasion)
            self._note(at, "unwinds", f'Expected {{"node": id, "occasion": {words}}}, got {shown(given)}.')
            return None
        return Unwinds(node, UnwindOccasion(str(occasion)))

    def _position(self, given: Any, at: str) -> tuple[float, float] | None:
        if given is None:
            return None
        place = self._object(given, f"{at}/position")
        x, y = place.get("x"), place.get("y")
        if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in (x, y)):
            message = f'Expected {{"x": number, "y": number}}, got {shown(given)}.'
            self._note(f"{at}/position", "position", message)
            return None
        assert x is not None
        assert y is not None
        return float(x), float(y)

    # -- edges

    def _add_edges(self, edges: list[Any], nodes: dict[str, Node]) -> None:
        orders = {name: self._order(name) for name in nodes}
        drawn: dict[str, dict[str, Binding]] = {}
        ids: set[str] = set()
        for index, item in enumerate(edges):
            at = f"/edges/{index}"
            edge = self._object(item, at)
            ends = {end: edge.get(end) for end in ("source", "target")}
            missing = [end for end, name in ends.items() if not isinstance(name, str) or name not in nodes]
            for end in missing:
                message = f"The edge's {end} is {shown(ends[end])}, and no node has that id."
                self._note(f"{at}/{end}", "edge_to_nowhere", message)
            name = edge.get("id")
            if isinstance(name, str) and name in ids:
                self._note(f"{at}/id", "duplicate_id", f"Another edge has the id {name!r} already.")
            ids.add(str(name))
            if not missing:
                self._add_edge(edge, at, nodes, drawn)
        for name, inputs in drawn.items():
            nodes[name] = replace(nodes[name], inputs=_ordered({**nodes[name].inputs, **inputs}, orders[name]))

    def _add_edge(
        self, edge: dict[str, Any], at: str, nodes: dict[str, Node], drawn: dict[str, dict[str, Binding]]
    ) -> None:
        source, target = str(edge["source"]), nodes[str(edge["target"])]
        port = edge.get("sourceHandle") or DEFAULT_PORT
        into = edge.get("targetHandle")
        kind = _edge_type(edge)
        if kind == EdgeType.AFTER:
            if source not in target.after:
                nodes[target.id] = replace(target, after=(*target.after, source))
            return
        if kind == EdgeType.GUARD:
            guard = Guard(source, port != "false")
            if target.guard is None:
                nodes[target.id] = replace(target, guard=guard)
            elif target.guard != guard:
                message = f"The node is guarded by {target.guard.node!r} already and can have one guard only."
                self._note(at, "two_guards", message, node=target.id)
            return
        if not isinstance(port, str) or not isinstance(into, str) or not into:
            message = f"Expected the names of two ports, got {shown(port)} and {shown(into)}."
            self._note(at, "edge_ports", message, node=target.id)
            return
        written = target.inputs.get(into)
        if written is not None:
            if any(ref.node == source and ref.port == port for ref in references(written)):
                return  # said in the inputs already, with more detail
            message = f"The edge from {source!r} leads into an input that has another value."
            self._note(at, "port_taken", message, node=target.id, port=into)
            return
        others = drawn.setdefault(target.id, {})
        found = OutputRef(source, port)
        if others.get(into, found) != found:
            message = f"More than one edge leads into this input; {source!r} is one too many."
            self._note(at, "port_taken", message, node=target.id, port=into)
            return
        others[into] = found

    def _order(self, name: str) -> tuple[str, ...]:
        node = self._document["nodes"][int(self.pointers[name].rpartition("/")[2])]
        order = node["data"].get("order", []) if isinstance(node.get("data"), dict) else []
        return tuple(port for port in order if isinstance(port, str)) if isinstance(order, list) else ()

    # -- the rest

    def _parameters(self, given: list[Any]) -> tuple[Parameter, ...]:
        found: dict[str, Parameter] = {}
        for index, item in enumerate(given):
            at = f"/parameters/{index}"
            entry = self._object(item, at)
            self._known_keys(entry, _PARAMETER_KEYS, at)
            name = self._text(entry.get("name"), f"{at}/name")
            required = entry.get("required", False)
            if not isinstance(required, bool):
                self._note(f"{at}/required", "wrong_type", f"Expected true or false, got {shown(required)}.")
            if not name:
                self._note(f"{at}/name", "no_name", "A parameter needs a name.")
            elif name in found:
                self._note(f"{at}/name", "duplicate_id", f"Another parameter is called {name!r} already.")
            else:
                found[name] = Parameter(
                    name=name,
                    schema=self._object(entry.get("schema", {}), f"{at}/schema"),
                    required=required is True,
                    default=entry.get("default"),
                    annotation=self._text(entry.get("annotation", ""), f"{at}/annotation"),
                )
        return tuple(found.values())

    # -- kinds

    def _object(self, given: Any, at: str) -> dict[str, Any]:
        if isinstance(given, dict):
            return given
        self._note(at, "wrong_type", f"Expected an object, got {shown(given)}.")
        return {}

    def _list(self, given: Any, at: str) -> list[Any]:
        if isinstance(given, list):
            return given
        if given is not None:
            self._note(at, "wrong_type", f"Expected a list, got {shown(given)}.")
        return []

    def _text(self, given: Any, at: str) -> str:
        if isinstance(given, str):
            return given
        self._note(at, "wrong_type", f"Expected text, got {shown(given)}.")
        return ""

    def _words(self, given: Any, at: str) -> tuple[str, ...]:
        items = self._list(given, at)
        for index, item in enumerate(items):
            if not isinstance(item, str):
                self._note(f"{at}/{index}", "wrong_type", f"Expected text, got {shown(item)}.")
        return tuple(item for item in items if isinstance(item, str))

    def _known_keys(self, given: Mapping[str, Json], known: tuple[str, ...], at: str) -> None:
        for key in given:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                meant = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(known)}."
                self._note(at + pointer(key), "unknown_key", f"Nothing is called {key!r} here; {meant}")

    def _report(self, place: str, code: str, message: str) -> None:
        self._note(place, code, message)

    def _note(self, place: str, code: str, message: str, *, node: str = "", port: str = "") -> None:
        self.problems.append(Problem(place=place, code=code, message=message, node=node, port=port))


def _edge_type(edge: Mapping[str, Any]) -> str:
    kind = edge.get("type")
    if kind in (EdgeType.VALUE, EdgeType.AFTER, EdgeType.GUARD):
        return str(kind)
    handles = edge.get("sourceHandle"), edge.get("targetHandle")
    if handles[1] == "after" and handles[0] in (None, "after"):
        return EdgeType.AFTER
    if handles[1] == "guard" and handles[0] in ("true", "false"):
        return EdgeType.GUARD
    return EdgeType.VALUE


def _ordered(inputs: Mapping[str, Binding], order: Iterable[str]) -> dict[str, Binding]:
    first = [port for port in dict.fromkeys(order) if port in inputs]
    return {port: inputs[port] for port in [*first, *natural_order(set(inputs) - set(first))]}
