"""States that executions reach, for the tests of the core: a graph, what happens to it, and where it stands then."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

from hypothesis import strategies as st

from wfplatform.core.event import Began, Claimed, Effect, Event, Outcomes, Recorded, TimerDue
from wfplatform.core.execution import Element, Execution, Outcome, OutcomeKind
from wfplatform.core.graph import Binding, Graph, Guard, Literal, Node, NodeKind, OutputRef
from wfplatform.core.lifecycle import advance, new_execution
from wfplatform.core.policy import Lane, OnFailure, OnSkip, Policy

__all__ = ["NOW", "Reached", "failed", "finish", "graph_of", "graphs", "n", "ok"]

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def n(
    id: str,
    *sources: str,
    over: Mapping[str, int] | None = None,
    after: tuple[str, ...] = (),
    guard: tuple[str, bool] | None = None,
    type: str = "python",
    on_failure: str = "skip",
    on_skip: str = "skip",
    inputs: Mapping[str, Binding] | None = None,
    **policy: Any,
) -> Node:
    """A node; each source is an input of the same name, `over` says which are mapped."""
    ports: dict[str, Binding] = {source: OutputRef(source) for source in sources} | dict(inputs or {})
    return Node(
        id=id,
        type=type,
        inputs=ports,
        over=over or {},
        after=after,
        guard=Guard(*guard) if guard else None,
        config={"limit": 3} if type == "loop" else {},
        policy=Policy(on_failure=OnFailure(on_failure), on_skip=OnSkip(on_skip), **policy),
    )


def graph_of(*nodes: Node) -> Graph:
    """The graph of some nodes."""
    return Graph(nodes=nodes)


def ok(name: str, *element: int, attempt: int = 1, sizes: Any = None, verdict: bool | None = None) -> Outcome:
    """An attempt completed."""
    return Outcome(name, element, attempt, OutcomeKind.COMPLETED, outputs={}, sizes=sizes, verdict=verdict)


def failed(name: str, *element: int, attempt: int = 1, **error: Any) -> Outcome:
    """An attempt failed, with a ValueError if nothing else is said."""
    told = {"type": "ValueError", "kinds": ["builtins.ValueError", "builtins.Exception"], "message": "no", **error}
    return Outcome(name, element, attempt, OutcomeKind.FAILED, error=told)


class Reached:
    """An execution to which things happen one after the other."""

    def __init__(self, *nodes: Node, **sizes: int | list[tuple[Element, int]]) -> None:
        self.graph = graph_of(*nodes)
        self.now = NOW
        self.chance = 0.5
        self.execution: Execution = new_execution(UUID(int=1), self.graph, epoch=1)
        self.recorded: list[Recorded] = []
        self.effects: list[Effect] = []
        self.sizes = {name: [((), said)] if isinstance(said, int) else said for name, said in sizes.items()}
        self.see(Claimed(self.sizes))

    def see(self, *events: Event | Outcome) -> Reached:
        """Let events happen; outcomes stand for themselves. Keeps what the last one recorded and caused."""
        for event in events:
            wrapped = Outcomes((event,)) if isinstance(event, Outcome) else event
            step = advance(self.execution, self.graph, wrapped, self.now, self.chance)
            self.execution = step.execution
            self.recorded, self.effects = list(step.recorded), list(step.effects)
        return self

    def later(self, seconds: float) -> Reached:
        """Time passes."""
        self.now += timedelta(seconds=seconds)
        return self

    def at_once(self, *outcomes: Outcome) -> Reached:
        """Outcomes that arrive in one message."""
        return self.see(Outcomes(outcomes))

    @property
    def states(self) -> dict[str, Any]:
        """Node -> state, or element -> state; what is simply pending is left out."""
        found: dict[str, Any] = {}
        for name, runs in self.execution.nodes.items():
            if runs.runs:
                by_element = {element: str(run.state) for element, run in sorted(runs.runs.items())}
                found[name] = by_element[()] if set(by_element) == {()} else by_element
        return found

    @property
    def state(self) -> str:
        """Of the execution."""
        return str(self.execution.state)

    def run(self, name: str, *element: int) -> Any:
        """Where one element stands."""
        return self.execution.nodes[name].run(element)

    def fork(self) -> Reached:
        """The same, to go on differently."""
        other = object.__new__(Reached)
        other.__dict__ |= self.__dict__ | {"execution": replace(self.execution)}
        return other


POLICIES: tuple[dict[str, Any], ...] = (
    {},
    {},
    {},
    {"effect": True},
    {"on_failure": "fail"},
    {"on_skip": "none"},
    {"lane": Lane.IO},
)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[tuple[Node, ...], dict[str, int]]:
    """A random graph with maps, branches, waits, loops and policies, and the sizes of what is mapped over the definition."""
    nodes: list[Node] = []
    sizes: dict[str, int] = {}
    choices: list[str] = []
    for number in range(draw(st.integers(1, 8))):
        id = f"n{number}"
        names = [one.id for one in nodes]
        sources: list[str] = draw(st.lists(st.sampled_from(names), max_size=2, unique=True)) if names else []
        rank = {one.id: one.rank for one in nodes}
        levels = {s: draw(st.integers(0, min(rank[s] + 1, 2))) for s in sources}
        inputs = {}
        if draw(st.booleans()) and not any(levels.values()):
            inputs["x"] = Literal([])
            levels["x"] = 1
            sizes[id] = draw(st.integers(0, 3))
        mapped = any(levels.values())
        kinds = ["python"] * 5 + ([] if mapped else ["choice", "loop", "delay"])
        kind = draw(st.sampled_from(kinds))
        verdict: bool | None = draw(st.sampled_from([None, True, False]))
        guard = (draw(st.sampled_from(choices)), verdict) if choices and verdict is not None else None
        policy = draw(st.sampled_from(POLICIES))
        after = (draw(st.sampled_from([one.id for one in nodes])),) if nodes and draw(st.integers(0, 5)) == 0 else ()
        over = {port: level for port, level in levels.items() if level}
        nodes.append(n(id, *sources, over=over, inputs=inputs, type=kind, guard=guard, after=after, **policy))
        if kind == "choice":
            choices.append(id)
    return tuple(nodes), sizes


def finish(reached: Reached, node: Node, element: Element, random: Random) -> None:
    """Let an element end in one way or another."""
    if node.type == NodeKind.DELAY:
        lengths = _lengths(reached, node, random)
        reached.see(Began(node.id, element, "waits", reached.now), TimerDue(node.id, element, {}, lengths))
    elif random.random() < 0.15:
        reached.see(failed(node.id, *element))
    else:
        verdict = random.random() < 0.5 if node.type == NodeKind.CHOICE else None
        reached.see(ok(node.id, *element, sizes=_lengths(reached, node, random), verdict=verdict))


def _lengths(reached: Reached, node: Node, random: Random) -> dict[str, int] | None:
    levels = reached.graph.size_levels.get(node.id)
    if levels is None:
        return None
    found = {"result": random.randint(0, 2)}
    if levels["result"] > 1:
        found |= {f"result/{index}": random.randint(0, 2) for index in range(found["result"])}
    return found
