"""Where a node's arguments come from, worked out once per node and used for each of its elements.

Refuses to invent: an input whose source did not run makes the element absent too.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from wfplatform.authoring.call import follow, handed, items_of
from wfplatform.core.execution import Element
from wfplatform.core.graph import (
    Binding,
    Constant,
    DictOf,
    Graph,
    ListOf,
    Literal,
    Node,
    OutputRef,
    ParameterRef,
    PathStep,
    references,
)
from wfplatform.core.policy import OnSkip

__all__ = ["Absent", "Inputs", "Scope"]


class Absent(Enum):
    """Stands where a value would be."""

    SKIPPED = "skipped"
    GONE = "gone"
    """Failed, not run, or not here: whoever needs it cannot run now."""


type Key = tuple[int, Element]
type Resolve = Callable[[Scope, Element], Any]
type Describe = Callable[[Scope, Element], str]


class Scope:
    """The values a part of a segment can see: (index of the node, element) -> value and digest; and inputs replaced by hand."""

    __slots__ = ("constant", "digests", "edits", "parameters", "sizes", "tokens", "values")

    def __init__(
        self,
        parameters: Mapping[str, Any],
        tokens: Mapping[str, str],
        sizes: Mapping[int, Mapping[Element, int]],
        constant: Callable[[str], Any],
        edits: Sequence[tuple[int, Element, Mapping[str, Any]]] = (),
    ) -> None:
        self.edits = {(index, element): inputs for index, element, inputs in edits}
        self.values: dict[Key, Any] = {}
        self.digests: dict[Key, Any] = {}
        self.parameters = parameters
        self.tokens = tokens
        self.sizes = sizes
        self.constant = constant


_AS_BOUND: Final[Mapping[str, Any]] = MappingProxyType({})
_GONE: Final = Absent.GONE
_SKIPPED: Final = Absent.SKIPPED


class _StopError(Exception):
    """An input is absent; carries which way."""

    def __init__(self, absent: Absent) -> None:
        self.absent = absent


class Inputs:
    """The arguments of one node.

    Args:
        graph: the definition.
        node: whose inputs they are.
    """

    def __init__(self, graph: Graph, node: Node) -> None:
        self._graph = graph
        self._index = {other.id: number for number, other in enumerate(graph.every)}
        self._own = self._index[node.id]
        self._keep_skipped = node.policy.on_skip is OnSkip.NONE
        self._ports = [(port, *self._compile(binding, node.over.get(port, 0))) for port, binding in node.inputs.items()]
        self._gates: list[tuple[int, int, bool | None]] = []
        if node.guard is not None:
            source = self._index[node.guard.node]
            self._gates.append((source, min(graph.every[source].rank, node.rank), node.guard.verdict))
        self._links = [
            (self._index[link.source], link.shared, node.guard.verdict if link.guards and node.guard else None)
            for link in graph.links[node.id]
            if link.guards or (link.port and not self._keep_skipped)
        ]
        self._after = [(self._index[name], graph.by_id[name].rank) for name in node.after]

    def resolve(self, scope: Scope, element: Element) -> dict[str, Any] | Absent:
        """Port -> value, or that the element is absent."""
        values = scope.values
        for source, shared, verdict in self._gates:
            said = values.get((source, element[:shared]), _GONE)
            if said is Absent.GONE:
                return Absent.GONE
            if said is _SKIPPED or bool(said) is not verdict:
                return _SKIPPED
        if self._after and any(_is_gone(scope, source, (), rank) for source, rank in self._after):
            return _GONE
        try:
            if scope.edits and (edited := scope.edits.get((self._own, element))):
                return {
                    port: copy.deepcopy(edited[port]) if port in edited else resolve(scope, element)
                    for port, resolve, _ in self._ports
                }
            return {port: resolve(scope, element) for port, resolve, _ in self._ports}
        except _StopError as stop:
            return stop.absent

    def skipped_at(self, scope: Scope, element: Element) -> Element:
        """The shortest prefix of a skipped element below which all is skipped for the same reason."""
        values, links = scope.values, self._links
        for depth in range(len(element)):
            at = element[:depth]
            for source, shared, verdict in links:
                if shared < depth:
                    continue
                said = values.get((source, at), _GONE)
                if said is _SKIPPED or (shared == depth and verdict is not None and bool(said) is not verdict):
                    return at
                if (
                    shared == depth
                    and verdict is None
                    and _is_skipped(scope, source, at, self._graph.every[source].rank)
                ):
                    return at
        return element

    def digest(self, scope: Scope, element: Element) -> str:
        """SHA-256 over what the inputs are: digests of outputs, and the JSON of everything else."""
        edited = scope.edits.get((self._own, element), _AS_BOUND) if scope.edits else _AS_BOUND
        lines = [
            f"{port}={_told(edited[port]) if port in edited else describe(scope, element)}"
            for port, _, describe in self._ports
        ]
        text = "\n".join(lines)
        return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    def _compile(self, binding: Binding, levels: int) -> tuple[Resolve, Describe]:
        match binding:
            case Literal(value):
                return _literal(value, levels)
            case ParameterRef(name, path):
                return _parameter(name, path, levels)
            case Constant(digest):
                if levels:
                    return (
                        lambda scope, element: _item(scope.constant(digest), element[:levels]),
                        lambda scope, element: f"{digest}{list(element[:levels])}",
                    )
                return (lambda scope, element: scope.constant(digest), lambda scope, element: digest)
            case OutputRef():
                return self._output(binding, levels)
            case ListOf(items, kind):
                parts = [self._compile(item, 0) for item in items]
                make: Callable[[list[Any]], Any] = tuple if kind == "tuple" else list
                return (
                    lambda scope, element: _item(make([r(scope, element) for r, _ in parts]), element[:levels]),
                    lambda scope, element: f"[{','.join(d(scope, element) for _, d in parts)}]{element[:levels]}",
                )
            case DictOf(pairs):
                named = [(key, *self._compile(item, 0)) for key, item in pairs]
                return (
                    lambda scope, element: _item({k: r(scope, element) for k, r, _ in named}, element[:levels]),
                    lambda scope, element: (
                        "{" + ",".join(f"{k}:{d(scope, element)}" for k, _, d in named) + f"}}{element[:levels]}"
                    ),
                )

    def _output(self, ref: OutputRef, levels: int) -> tuple[Resolve, Describe]:
        source = self._index[ref.node]
        node = self._graph.every[source]
        rank, several, port, path = node.rank, len(node.outputs) > 1, ref.port, ref.path
        keep_skipped = self._keep_skipped
        is_shared = _readers(self._graph, ref.node) > 1
        suffix = f"/{port}{path}" if several or path else ""

        def whole(scope: Scope, key: Key) -> Any:
            value = scope.values.get(key, _GONE)
            if value is _GONE:
                raise _StopError(_GONE)
            if value is _SKIPPED:
                if keep_skipped:
                    return None
                raise _StopError(_SKIPPED)
            if several:
                value = value[port]
            return follow(value, path, f"`{node.id}`") if path else value

        def own(value: Any) -> Any:
            return handed(value) if is_shared and type(value) not in _SAFE else value

        def leaf(scope: Scope, key: Key) -> Any:
            return own(whole(scope, key))

        def leaf_digest(scope: Scope, key: Key) -> str:
            return f"{scope.digests.get(key)}{suffix}"

        if rank == levels:
            if not several and not path and not keep_skipped:
                return _plain(
                    source, rank, is_shared
                ), lambda scope, element: f"{scope.digests.get((source, element[:rank]))}"
            return (
                lambda scope, element: leaf(scope, (source, element[:rank])),
                lambda scope, element: leaf_digest(scope, (source, element[:rank])),
            )
        if rank < levels:
            return (
                lambda scope, element: (
                    None
                    if keep_skipped and scope.values.get((source, element[:rank])) is _SKIPPED
                    else own(_item(whole(scope, (source, element[:rank])), element[rank:levels]))
                ),
                lambda scope, element: leaf_digest(scope, (source, element[:rank])) + f"{list(element[rank:levels])}",
            )

        def gather(scope: Scope, prefix: Element) -> Any:
            size = _size(scope, source, prefix, rank)
            if size is None:
                return leaf(scope, (source, prefix))
            return [gather(scope, (*prefix, index)) for index in range(size)]

        def gather_digest(scope: Scope, prefix: Element) -> str:
            size = _size(scope, source, prefix, rank)
            if size is None:
                return leaf_digest(scope, (source, prefix))
            return f"[{','.join([gather_digest(scope, (*prefix, index)) for index in range(size)])}]"

        return (
            lambda scope, element: gather(scope, element[:levels]),
            lambda scope, element: sha256(gather_digest(scope, element[:levels]).encode()).hexdigest(),
        )


def _told(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _plain(source: int, rank: int, is_shared: bool) -> Resolve:
    """The commonest input: one whole output of the same element."""

    def resolve(scope: Scope, element: Element) -> Any:
        value = scope.values.get((source, element[:rank]), _GONE)
        if value is _GONE or value is _SKIPPED:
            raise _StopError(value)
        # With several readers each gets a value of its own: what one does to it in place must not depend on who shares a segment.
        return handed(value) if is_shared and type(value) not in _SAFE else value

    return resolve


def _readers(graph: Graph, source: str) -> int:
    """How many elements may read one value of a node, or a part of it; 2 stands for many."""
    count = 0
    for link in graph.dependants[source]:
        target = graph.by_id[link.target]
        for port, binding in target.inputs.items():
            for ref in references(binding):
                if ref.node == source and ref.port == link.port:
                    count += 1 if target.over.get(port, 0) == target.rank else 2
    return count


def _literal(value: Any, levels: int) -> tuple[Resolve, Describe]:
    if not levels:
        text = json.dumps(value, sort_keys=True)
        # Every element gets a value of its own: user code may change what it is given.
        if isinstance(value, list | dict):
            return lambda scope, element: json.loads(text), lambda scope, element: text
        return lambda scope, element: value, lambda scope, element: text
    if levels == 1 and all(item is None or isinstance(item, bool | int | float | str) for item in value):
        return lambda scope, element: value[element[0]], lambda scope, element: f"{value[element[0]]!r}"
    return (
        lambda scope, element: json.loads(json.dumps(_item(value, element[:levels]))),
        lambda scope, element: json.dumps(_item(value, element[:levels]), sort_keys=True),
    )


def _parameter(name: str, path: tuple[PathStep, ...], levels: int) -> tuple[Resolve, Describe]:
    suffix = f"{path}" if path else ""
    return (
        lambda scope, element: _own(
            _item(follow(scope.parameters[name], path, f"parameter `{name}`"), element[:levels])
        ),
        lambda scope, element: f"{scope.tokens[name]}{suffix}{list(element[:levels]) if levels else ''}",
    )


def _own(value: Any) -> Any:
    """A copy of what user code could change: what one node does to a parameter reaches no other node."""
    return value if isinstance(value, _SAFE) else copy.deepcopy(value)


_SAFE: Final = (type(None), bool, int, float, str, bytes)


def _item(value: Any, indices: Element) -> Any:
    for index in indices:
        value = items_of(value, "the input")[index]
    return value


def _size(scope: Scope, source: int, prefix: Element, rank: int) -> int | None:
    """How many elements there are below a prefix; None of one element, and of a branch that ended as a whole."""
    if len(prefix) == rank or (source, prefix) in scope.values:
        return None
    return scope.sizes.get(source, {}).get(prefix)


def _is_gone(scope: Scope, source: int, prefix: Element, rank: int) -> bool:
    size = _size(scope, source, prefix, rank)
    if size is None:
        return scope.values.get((source, prefix), _GONE) is _GONE
    return any(_is_gone(scope, source, (*prefix, index), rank) for index in range(size))


def _is_skipped(scope: Scope, source: int, prefix: Element, rank: int) -> bool:
    """Whether anything below a prefix was skipped."""
    size = _size(scope, source, prefix, rank)
    if size is None:
        return scope.values.get((source, prefix)) is _SKIPPED
    return any(_is_skipped(scope, source, (*prefix, index), rank) for index in range(size))
