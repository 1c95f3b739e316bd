"""Whether a definition is sound: no cycles, no edges to nowhere, known types and ports, maps that agree.

Finds all problems at once. Refuses to look into code: what a function takes is known if its node says so.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from wfplatform.authoring.port_type import json_types, may_fit
from wfplatform.authoring.problem import Problem, too_long
from wfplatform.authoring.unwinding_check import unwinding_problems
from wfplatform.authoring.wait_config import WAIT_PORTS, wait_problems
from wfplatform.core.canonical import pointer
from wfplatform.core.graph import (
    Binding,
    Constant,
    Definition,
    DictOf,
    ListOf,
    Literal,
    Node,
    NodeKind,
    OutputRef,
    Parameter,
    ParameterRef,
    references,
)

__all__ = ["MAX_NODES", "WARN_NODES", "definition_problems", "definition_warnings", "sources_of"]

MAX_NODES: Final = 10_000
WARN_NODES: Final = 500

_BUILT_IN: Final = NodeKind.ENGINE_SIDE | {NodeKind.PYTHON, NodeKind.CHOICE, NodeKind.LOOP, NodeKind.MERGE}
_MAX_TURNS: Final = 1_000_000
_ROUNDS: Final = 50


def definition_problems(
    definition: Definition,
    pointers: Mapping[str, str] | None = None,
    known_types: Collection[str] | None = None,
) -> list[Problem]:
    """Everything that is wrong with a definition.

    Args:
        definition: its nodes in any order.
        pointers: node id -> JSON Pointer of the node in its document; None: as `to_document` places it.
        known_types: names of the node types there are, besides the core's own; None = any.

    Returns:
        the problems; empty if it is sound.
    """
    nodes = definition.graph.every
    places = {node.id: f"/nodes/{index}" for index, node in enumerate(nodes)} | dict(pointers or {})
    return list(_Check(definition, places, known_types).problems())


def definition_warnings(definition: Definition) -> list[Problem]:
    """What is allowed, but hardly meant.

    Args:
        definition: a sound one.

    Returns:
        the warnings; at present: more than 500 nodes.
    """
    size = len(definition.graph.nodes)
    if size <= WARN_NODES:
        return []
    message = f"{size} nodes are more than the {WARN_NODES} that stay easy to look at."
    hint = "Map a node over a list, or move a part into a workflow of its own."
    return [Problem(place="/nodes", code="many_nodes", message=f"{message} {hint}")]


def sources_of(node: Node) -> Iterator[str]:
    """The nodes that a node waits for; one may be named more than once."""
    for binding in node.inputs.values():
        for ref in references(binding):
            yield ref.node
    yield from node.after
    if node.guard is not None:
        yield node.guard.node


class _Check:
    def __init__(self, definition: Definition, places: Mapping[str, str], known_types: Collection[str] | None) -> None:
        self._graph = definition.graph
        self._name = definition.name
        self._nodes = {node.id: node for node in definition.graph.nodes}
        self._places = places
        self._known_types = known_types
        self._parameters = {parameter.name: parameter for parameter in definition.graph.parameters}

    def problems(self) -> Iterator[Problem]:
        yield from too_long("/name", "workflow", self._name)
        for node in self._graph.nodes:
            yield from too_long(self._places[node.id], "node", max(node.id, node.label, key=len))
            yield from self._type(node)
            yield from self._configuration(node)
            yield from self._inputs(node)
            yield from self._ordering(node)
            yield from self._mapping(node)
        yield from self._binding(None, "result", self._graph.result, "/result")
        yield from unwinding_problems(self._graph, self._places, self._parameters)
        yield from self._cycles()
        yield from self._lengths()

    # -- one node

    def _type(self, node: Node) -> Iterator[Problem]:
        known = self._known_types
        if not node.type:
            yield self._problem(node, "type", "unknown_type", "A node needs a type.")
        elif known is not None and node.type not in known and node.type not in _BUILT_IN:
            names = ", ".join(sorted({*known, *_BUILT_IN}))
            message = f"There is no node type {node.type!r}; there are {names}."
            yield self._problem(node, "type", "unknown_type", message)

    def _configuration(self, node: Node) -> Iterator[Problem]:
        needed: list[str] = []
        ports: tuple[str, ...] | None = None
        match node.type:
            case NodeKind.PYTHON:
                needed = ["function"]
            case NodeKind.WORKFLOW:
                needed = ["workflow"]
            case NodeKind.LOOP:
                needed = ["function", "while"]
                limit = node.config.get("limit")
                if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= _MAX_TURNS:
                    message = f"Expected a number of turns from 1 to {_MAX_TURNS}, got {limit!r}."
                    yield self._problem(node, "data/config/limit", "missing_configuration", message)
                if "state" not in node.inputs:
                    message = "A loop needs the input `state`, its first state."
                    yield self._problem(node, "data/inputs", "missing_input", message, port="state")
            case NodeKind.DELAY | NodeKind.EVENT | NodeKind.APPROVAL:
                ports = WAIT_PORTS[node.type]
                for name, message in wait_problems(node):
                    yield self._problem(
                        node, "/".join(filter(None, ("data/config", name))), "missing_configuration", message
                    )
            case NodeKind.CHOICE:
                ports = ("condition",)
                if "condition" not in node.inputs and not isinstance(node.config.get("condition"), str):
                    message = "A choice needs its condition, as an input or in the configuration."
                    yield self._problem(node, "data/inputs", "missing_input", message, port="condition")
            case NodeKind.MERGE:
                if not node.inputs:
                    message = "A merge needs at least one input."
                    yield self._problem(node, "data/inputs", "missing_input", message)
            case _:  # what other types need, their strategies say
                pass
        for name in needed:
            value = node.config.get(name)
            if not isinstance(value, str) or not value:
                message = f"A node of type {node.type!r} needs `{name}` in its configuration, got {value!r}."
                yield self._problem(node, f"data/config/{name}", "missing_configuration", message)
        if ports is not None:
            for port in node.inputs:
                if port not in ports:
                    message = f"A node of type {node.type!r} has no input {port!r}, only {', '.join(ports)}."
                    yield self._input_problem(node, port, "unknown_port", message)

    def _inputs(self, node: Node) -> Iterator[Problem]:
        known = _port_schemas(node, "inputs")
        for port, binding in node.inputs.items():
            place = self._places[node.id] + "/data/inputs" + pointer(port)
            yield from self._binding(node, port, binding, place)
            if known and port not in known:
                message = f"The node has no input {port!r}, only {', '.join(known)}."
                yield self._input_problem(node, port, "unknown_port", message)
            elif known:
                yield from self._fit(node, port, binding, known[port])

    def _binding(self, node: Node | None, port: str, binding: Binding, place: str) -> Iterator[Problem]:
        name = node.id if node else ""
        match binding:
            case OutputRef(node=source_id, port=source_port):
                source = self._nodes.get(source_id)
                if source is None:
                    message = f"There is no node {source_id!r} to take a value from."
                    yield Problem(place=place, code="edge_to_nowhere", message=message, node=name, port=port)
                elif source_port not in source.outputs:
                    outputs = ", ".join(source.outputs) or "none"
                    message = f"Node {source_id!r} has no output {source_port!r}; its outputs: {outputs}."
                    yield Problem(place=place, code="unknown_port", message=message, node=name, port=port)
            case ParameterRef(name=parameter) if parameter not in self._parameters:
                known = ", ".join(self._parameters) or "none"
                message = f"The workflow has no parameter {parameter!r}; its parameters: {known}."
                yield Problem(place=place, code="unknown_parameter", message=message, node=name, port=port)
            case ListOf(items=items, kind=kind):
                for index, item in enumerate(items):
                    yield from self._binding(node, port, item, f"{place}/${kind}/{index}")
            case DictOf(items=pairs):
                for key, item in pairs:
                    yield from self._binding(node, port, item, f"{place}/$dict{pointer(key)}")
            case _:
                return

    def _fit(self, node: Node, port: str, binding: Binding, schema: Mapping[str, Any]) -> Iterator[Problem]:
        """Whether the value can be of the type the port says, if both ends say one."""
        if not isinstance(binding, OutputRef) or binding.path or binding.node not in self._nodes:
            return
        source = self._nodes[binding.node]
        given = _port_schemas(source, "outputs").get(binding.port)
        if given is None:
            return
        levels, rank = node.over.get(port, 0), source.rank
        for _ in range(rank - levels):  # results of a mapped node, as nested lists
            given = {"type": "array", "items": given}
        for _ in range(levels - rank):  # its items
            types = json_types(given)
            if types is not None and "array" not in types:
                message = f"{binding.node}.{binding.port} is mapped over, but gives {_named(given)} and not a list."
                yield self._input_problem(node, port, "type_mismatch", message)
                return
            items = given.get("items")
            given = items if isinstance(items, dict) else {}
        if not may_fit(given, schema):
            message = f"Expected {_named(schema)}, got {_named(given)} from {binding.node}.{binding.port}."
            yield self._input_problem(node, port, "type_mismatch", message)

    def _ordering(self, node: Node) -> Iterator[Problem]:
        for index, name in enumerate(node.after):
            if name not in self._nodes:
                message = f"There is no node {name!r} to wait for."
                yield self._problem(node, f"data/after/{index}", "edge_to_nowhere", message)
        if node.guard is None:
            return
        choice = self._nodes.get(node.guard.node)
        if choice is None:
            message = f"There is no node {node.guard.node!r} to decide about this one."
            yield self._problem(node, "data/guard", "edge_to_nowhere", message)
        elif choice.type != NodeKind.CHOICE:
            message = f"Only a choice can decide about a node; {choice.id!r} is of type {choice.type!r}."
            yield self._problem(node, "data/guard", "guard_not_choice", message)
        elif choice.rank > node.rank:
            message = f"The choice {choice.id!r} gives a verdict for each element, the node runs as one."
            yield self._problem(node, "data/guard", "map_rank", message)

    def _mapping(self, node: Node) -> Iterator[Problem]:
        for port, levels in node.over.items():
            binding = node.inputs.get(port)
            if binding is None:
                message = f"It is mapped over {port!r}, which is none of its inputs."
                yield self._problem(node, f"data/over{pointer(port)}", "over_missing_port", message, port=port)
            elif levels and not self._can_be_mapped(binding, levels):
                message = f"It is mapped over {levels} level{'s' * (levels > 1)}, but the value is not such a list."
                yield self._input_problem(node, port, "map_rank", message)
            elif isinstance(binding, ListOf) and (place := _untold(binding, levels)) is not None:
                message = (
                    f"It is mapped over {levels} levels of a list, whose item {list(place)} has a length that is not "
                )
                message += "known before it runs. Put the list together in a node, and map over its output."
                yield self._input_problem(node, port, "map_depth", message)

    def _can_be_mapped(self, binding: Binding, levels: int) -> bool:
        match binding:
            case Literal(value=value):
                return _is_nested_list(value, levels)
            case ListOf(items=items):
                return levels == 1 or all(self._can_be_mapped(item, levels - 1) for item in items)
            case DictOf():
                return False
            case ParameterRef(name=name, path=()) if name in self._parameters:
                return _is_list(self._parameters[name], levels)
            case _:  # known when it runs
                return True

    # -- the whole

    def _cycles(self) -> Iterator[Problem]:
        left = {node.id: {name for name in sources_of(node) if name in self._nodes} for node in self._graph.nodes}
        away: dict[str, list[str]] = {name: [] for name in left}
        for name, sources in left.items():
            for source in sources:
                away[source].append(name)
        ready = [name for name, sources in left.items() if not sources]
        while left:
            while ready:
                name = ready.pop()
                if left.pop(name, None) is None:
                    continue
                for after in away[name]:
                    if after in left:
                        left[after].discard(name)
                        if not left[after]:
                            ready.append(after)
            if not left:
                return
            cycle = _one_cycle(left)
            first = self._nodes[cycle[0]]
            message = f"The nodes wait for each other: {' -> '.join([*cycle, cycle[0]])}."
            yield self._problem(first, "", "cycle", message)
            ready.extend(cycle)  # cut out, so that further cycles are found

    def _lengths(self) -> Iterator[Problem]:
        """Ports that are mapped together must have one length, as far as lengths are known before it runs."""
        known: dict[str, int] = {}
        for _ in range(_ROUNDS):  # more than one: nodes may stand before their sources in the document
            changed = False
            for node in self._graph.nodes:
                sizes = self._sizes(node, known)
                if sizes and node.id not in known:
                    known[node.id] = next(iter(sizes.values()))
                    changed = True
            if not changed:
                break
        for node in self._graph.nodes:
            sizes = self._sizes(node, known)
            if len(set(sizes.values())) > 1:
                lengths = ", ".join(f"{port} has {size}" for port, size in sizes.items())
                message = f"What is mapped together must have the same number of items: {lengths}."
                yield self._problem(node, "data/over", "map_lengths", message)

    def _sizes(self, node: Node, known: Mapping[str, int]) -> dict[str, int]:
        sizes: dict[str, int] = {}
        for port, levels in node.over.items():
            match node.inputs.get(port):
                case Literal(value=list() as value) if levels:
                    sizes[port] = len(value)
                case ListOf(items=items) if levels:
                    sizes[port] = len(items)
                case OutputRef(node=source) if levels and source in known:
                    sizes[port] = known[source]
                case _:
                    continue
        return sizes

    def _input_problem(self, node: Node, port: str, code: str, message: str) -> Problem:
        return self._problem(node, "data/inputs" + pointer(port), code, message, port=port)

    def _problem(self, node: Node, within: str, code: str, message: str, *, port: str = "") -> Problem:
        place = self._places[node.id] + (f"/{within}" if within else "")
        return Problem(place=place, code=code, message=message, node=node.id, port=port)


def _one_cycle(left: Mapping[str, set[str]]) -> list[str]:
    """A cycle among nodes that all wait for another of them, in the direction of its edges."""
    current = next(iter(left))
    trail: dict[str, int] = {}
    while current not in trail:
        trail[current] = len(trail)
        current = min(left[current] & left.keys())
    cycle = list(trail)[trail[current] :][::-1]
    start = cycle.index(min(cycle))
    return cycle[start:] + cycle[:start]


def _port_schemas(node: Node, side: str) -> dict[str, Mapping[str, Any]]:
    """JSON Schemas of a node's ports by name, if its configuration tells them under `ports`."""
    ports = node.config.get("ports")
    found = ports.get(side) if isinstance(ports, dict) else None
    if not isinstance(found, dict):
        return {}
    return {name: schema for name, schema in found.items() if isinstance(schema, dict)}


def _is_nested_list(value: Any, levels: int) -> bool:
    if levels == 0:
        return True
    return isinstance(value, list) and all(_is_nested_list(item, levels - 1) for item in value)


def _untold(binding: ListOf, levels: int, above: tuple[int, ...] = ()) -> tuple[int, ...] | None:
    """Where in a list that is mapped over stands an output or a constant, whose length no engine knows before it runs."""
    if levels < 2:
        return None
    for index, item in enumerate(binding.items):
        place = (*above, index)
        match item:
            case OutputRef() | Constant():
                return place
            case ListOf() if (found := _untold(item, levels - 1, place)) is not None:
                return found
            case _:
                continue
    return None


def _is_list(parameter: Parameter, levels: int) -> bool:
    schema: Any = parameter.schema
    for _ in range(levels):
        types = json_types(schema)
        if types is None:
            return True
        if "array" not in types:
            return False
        items = schema.get("items")
        schema = items if isinstance(items, dict) else {}
    return True


def _named(schema: Mapping[str, Any]) -> str:
    types = json_types(schema)
    return " or ".join(sorted(types)) if types else "anything"
