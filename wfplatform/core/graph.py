"""The definition of a workflow as data: nodes, their inputs, and what ties them together.

Pure and immutable. Refuses to know how a node is executed; a node type is only a name here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

from wfplatform.core.hook import Hook
from wfplatform.core.policy import OnFailure, OnSkip, Policy, WorkflowPolicy
from wfplatform.core.unwinds import Unwinds

__all__ = [
    "DEFAULT_PORT",
    "Binding",
    "Constant",
    "Definition",
    "DictOf",
    "Graph",
    "Guard",
    "Json",
    "Link",
    "ListOf",
    "Literal",
    "Node",
    "NodeKind",
    "OutputRef",
    "Parameter",
    "ParameterRef",
    "PathStep",
    "passed_on",
    "references",
    "size_key",
    "size_within",
]

type Json = bool | int | float | str | list[Json] | dict[str, Json] | None

DEFAULT_PORT: Final = "result"


class NodeKind:
    """Names of the node types the core itself knows; every other name is a strategy found on the worker."""

    PYTHON: Final = "python"
    CHOICE: Final = "choice"
    LOOP: Final = "loop"
    MERGE: Final = "merge"
    DELAY: Final = "delay"
    WORKFLOW: Final = "workflow"
    EVENT: Final = "event"
    APPROVAL: Final = "approval"

    ENGINE_SIDE: Final = frozenset({DELAY, WORKFLOW, EVENT, APPROVAL})
    """Handled by the engine: they wait and hold no worker."""


@dataclass(frozen=True, slots=True)
class PathStep:
    """One step into an output: `item` for `a["x"]` and `a[0]`, else an attribute."""

    key: str | int
    attribute: bool = False


@dataclass(frozen=True, slots=True)
class Literal:
    """A plain JSON value written in the definition."""

    value: Json


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that JSON cannot say; its bytes travel with the code and are opened on workers only."""

    digest: str
    preview: str = ""


@dataclass(frozen=True, slots=True)
class ParameterRef:
    """A parameter of the workflow."""

    name: str
    path: tuple[PathStep, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputRef:
    """An output of another node, or a part of it."""

    node: str
    port: str = DEFAULT_PORT
    path: tuple[PathStep, ...] = ()


@dataclass(frozen=True, slots=True)
class ListOf:
    """A list some items of which are bindings; `kind` is `list` or `tuple`."""

    items: tuple[Binding, ...]
    kind: str = "list"


@dataclass(frozen=True, slots=True)
class DictOf:
    """A dict some values of which are bindings."""

    items: tuple[tuple[str, Binding], ...]


type Binding = Literal | Constant | ParameterRef | OutputRef | ListOf | DictOf


def references(binding: Binding) -> Iterator[OutputRef]:
    """Every output a binding refers to, in order."""
    match binding:
        case OutputRef():
            yield binding
        case ListOf(items=items):
            for item in items:
                yield from references(item)
        case DictOf(items=pairs):
            for _, item in pairs:
                yield from references(item)
        case _:
            return


@dataclass(frozen=True, slots=True)
class Guard:
    """A node runs only if the choice node gave this verdict."""

    node: str
    verdict: bool


def size_key(ref: OutputRef) -> str:
    """The name under which the length of an output (or a part of it) is recorded."""
    return ref.port + "".join(f".{step.key}" if step.attribute else f"[{step.key}]" for step in ref.path)


def size_within(key: str, indices: tuple[int, ...]) -> str:
    """The name under which the length of an item of such an output is recorded, where items are mapped over in turn."""
    return key + "".join(f"/{index}" for index in indices)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A named, typed input of a workflow.

    Args:
        schema: its JSON Schema (what the server checks).
        required: whether a run must give it; else `default` is used.
    """

    name: str
    schema: Mapping[str, Json]
    required: bool
    default: Json = None
    annotation: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Node:
    """One step of a workflow.

    Args:
        id: unique in its graph; lower-case words, digits, `_`, `-`.
        type: the node type.
        inputs: port -> binding, in the order of the signature.
        over: port -> how many levels of its value are mapped; absent = the whole value (see `Graph.rank`).
        outputs: the names of the output ports.
        after: nodes that must have ended well before this one, without data.
        guard: the branch this node stands in.
        config: what the node type needs: for `python` the `function` key; for `workflow` its name.
        unwinds: whose work it takes back; None for a node that is part of the work.
    """

    id: str
    type: str = NodeKind.PYTHON
    label: str = ""
    inputs: Mapping[str, Binding] = field(default_factory=dict)
    over: Mapping[str, int] = field(default_factory=dict)
    outputs: tuple[str, ...] = (DEFAULT_PORT,)
    after: tuple[str, ...] = ()
    guard: Guard | None = None
    config: Mapping[str, Json] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    unwinds: Unwinds | None = None
    position: tuple[float, float] | None = None
    notes: str = ""
    rank: int = field(init=False, repr=False, compare=False)
    """Number of indices an element of this node has: 0 for a node that is not mapped."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "rank", max(self.over.values(), default=0))


@dataclass(frozen=True)
class Graph:
    """Nodes in topological order, what the workflow returns, and the nodes that run only while an execution unwinds.

    An element of a node of rank r is addressed by r indices. A port mapped over L levels that refers to a node of rank q gets,
    for element e: the value at e[:q] when q == L; the nested list below e[:L] when q > L (a reduction); the item e[q:L] of the
    value at e[:q] when q < L (an expansion, whose size is known only when that value is).
    """

    nodes: tuple[Node, ...]
    result: Binding = field(default_factory=lambda: Literal(None))
    parameters: tuple[Parameter, ...] = ()
    unwinding: tuple[Node, ...] = ()

    @cached_property
    def every(self) -> tuple[Node, ...]:
        """All nodes, those of the work first; a node's place here is its index wherever one is told."""
        return self.nodes + self.unwinding

    @cached_property
    def by_id(self) -> Mapping[str, Node]:
        """Node id -> node."""
        return {node.id: node for node in self.every}

    @cached_property
    def links(self) -> Mapping[str, tuple[Link, ...]]:
        """Node id -> what it depends on."""
        return {node.id: tuple(self._links_of(node)) for node in self.every}

    @cached_property
    def dependants(self) -> Mapping[str, tuple[Link, ...]]:
        """Node id -> the links that lead away from it, to other nodes of the work."""
        away: dict[str, list[Link]] = {node.id: [] for node in self.every}
        for node in self.nodes:
            for link in self.links[node.id]:
                away[link.source].append(link)
        return {name: tuple(links) for name, links in away.items()}

    @cached_property
    def sized(self) -> Mapping[str, tuple[OutputRef, ...]]:
        """Node id -> its outputs whose length must be recorded because a later node is mapped over their items."""
        return {name: tuple(ref for ref, _ in refs.values()) for name, refs in self._measured.items()}

    @cached_property
    def size_levels(self) -> Mapping[str, Mapping[str, int]]:
        """Node id -> the name of a recorded length -> how many levels of lengths are recorded: 2 if the items' own are too."""
        return {name: {key: levels for key, (_, levels) in refs.items()} for name, refs in self._measured.items()}

    @cached_property
    def _measured(self) -> Mapping[str, Mapping[str, tuple[OutputRef, int]]]:
        """Node id -> the name of a length -> of which output it is, and how many levels of it are wanted."""
        found: dict[str, dict[str, tuple[OutputRef, int]]] = {}

        def want(ref: OutputRef, levels: int) -> None:
            known = found.setdefault(ref.node, {})
            key = size_key(ref)
            known[key] = (ref, max(levels, known[key][1] if key in known else 0))

        for node in self.nodes:
            for port, levels in node.over.items():
                binding = node.inputs[port]
                if isinstance(binding, OutputRef) and levels > self.by_id[binding.node].rank:
                    want(binding, levels - self.by_id[binding.node].rank)
        for node in reversed(self.nodes):
            source = passed_on(self, node)
            if source is not None:
                for ref, levels in list(found.get(node.id, {}).values()):
                    want(OutputRef(source.node, source.port, source.path + ref.path), levels)
        return found

    @cached_property
    def careful(self) -> frozenset[str]:
        """Nodes of which more than one thing decides how they end, so that nothing is decided before all of it is known.

        Those with a policy of their own for failed or skipped inputs; those before such a node, if they have several inputs
        that could end them; and those mapped over collections whose lengths may disagree. All others are skipped with the
        first input that fails or is skipped.
        """
        found: set[str] = set()
        curious: set[str] = set()
        for node in reversed(self.nodes):
            has_own = node.policy.on_failure is OnFailure.FAIL or node.policy.on_skip is OnSkip.NONE
            watched = any(link.target in curious for link in self.dependants[node.id])
            if has_own or watched:
                curious.add(node.id)
            if has_own or (watched and len(self.links[node.id]) > 1):
                found.add(node.id)
        origins: dict[str, frozenset[tuple[str, str]]] = {}
        for node in self.nodes:
            mine: set[tuple[str, str]] = set()
            for port, levels in node.over.items():
                binding = node.inputs[port]
                rank = self.by_id[binding.node].rank if isinstance(binding, OutputRef) else 0
                if isinstance(binding, OutputRef):
                    mine |= origins[binding.node]
                if levels > rank:
                    mine.add((node.id, port))
                    if isinstance(binding, OutputRef):
                        found.add(node.id)
            origins[node.id] = frozenset(mine)
            if len(mine) > 1:
                found.add(node.id)
        return frozenset(found)

    @cached_property
    def watched(self) -> frozenset[str]:
        """Nodes on which careful nodes depend."""
        return frozenset(link.source for name in self.careful for link in self.links[name])

    @cached_property
    def releasing(self) -> frozenset[str]:
        """Nodes whose being skipped lets others begin: those that take None in its place, and those that only come after it."""
        found: set[str] = set()
        for node in self.nodes:
            found.update(node.after)
            if node.policy.on_skip is OnSkip.NONE:
                found.update(link.source for link in self.links[node.id])
        return frozenset(found)

    @cached_property
    def gates(self) -> frozenset[str]:
        """Nodes on which mapped nodes depend as a whole: as long as they are open, not even an empty map has ended."""
        links = (link for node in self.nodes for link in self.links[node.id])
        return frozenset(link.source for link in links if link.shared < self.by_id[link.target].rank)

    @cached_property
    def barriers(self) -> frozenset[str]:
        """Nodes whose end can make something ready that could not be planned before."""
        found = {node.id for node in self.nodes if node.type in NodeKind.ENGINE_SIDE or node.type == NodeKind.LOOP}
        found |= {node.id for node in self.nodes if node.policy.effect}
        found |= set(self.sized)
        for node in self.nodes:
            if node.type in NodeKind.ENGINE_SIDE or node.policy.cache is not None or node.policy.effect:
                found |= {link.source for link in self.links[node.id]}
        return frozenset(found)

    def _links_of(self, node: Node) -> Iterator[Link]:
        seen: set[Link] = set()
        if node.guard is not None:
            # First: where its branch is not taken, nothing else matters.
            shared = min(self.by_id[node.guard.node].rank, node.rank)
            yield Link(source=node.guard.node, target=node.id, port="", shared=shared, expands=False, guards=True)
        for port, binding in node.inputs.items():
            levels = node.over.get(port, 0)
            # Inside a list or dict the whole value is meant; only a port that is one output follows its elements.
            aligned = levels if isinstance(binding, OutputRef) else 0
            for ref in references(binding):
                rank = self.by_id[ref.node].rank
                link = Link(
                    source=ref.node,
                    target=node.id,
                    port=ref.port,
                    shared=min(rank, aligned),
                    expands=levels > rank and isinstance(binding, OutputRef),
                )
                if link not in seen:
                    seen.add(link)
                    yield link
        for name in node.after:
            yield Link(source=name, target=node.id, port="", shared=0, expands=False)


def passed_on(graph: Graph, node: Node) -> OutputRef | None:
    """The output that a delay hands on as it is, so that whoever made it can tell its length; None if there is none."""
    value = node.inputs.get("value") if node.type == NodeKind.DELAY else None
    if isinstance(value, OutputRef) and graph.by_id[value.node].rank == node.rank == 0:
        return value
    return None


@dataclass(frozen=True, slots=True)
class Link:
    """A dependency between two nodes: elements of `target` need those of `source` that agree in the first `shared` indices.

    `port` is empty where no data passes: `target` only comes after, or stands in a branch of the choice `source` (`guards`).
    """

    source: str
    target: str
    port: str
    shared: int
    expands: bool
    guards: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A workflow: its name, its graph, what holds for all its executions, and what is run to tell of them."""

    name: str
    graph: Graph
    description: str = ""
    policy: WorkflowPolicy = field(default_factory=WorkflowPolicy)
    hooks: tuple[Hook, ...] = ()
