"""Makes golden histories: simulations in which much goes wrong, watched where the engine asks the state machine.

What no simulation brings about (a deadline, a retry by hand, elements given back) is told by hand, on branches. Adds histories
only for what those that are there do not show. Refuses to touch one that is there.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from functools import cached_property
from importlib.metadata import version
from random import Random
from typing import Any, Final
from unittest.mock import patch
from uuid import UUID

from tests.golden.history import FOLDER, History, Life, Step, decided, differences
from tests.simulation.bench import Bench, bench
from tests.simulation.simulation import Simulation
from wfplatform.authoring.document import from_document
from wfplatform.core.draft import Transition
from wfplatform.core.event import (
    Claimed,
    DeadlinePassed,
    Event,
    GivenBack,
    Outcomes,
    Refused,
    Rejected,
    Repeated,
    Retried,
    Reused,
    SegmentLost,
)
from wfplatform.core.execution import Element, Execution, NodeState, Outcome, OutcomeKind, Span
from wfplatform.core.graph import Graph, NodeKind
from wfplatform.core.lifecycle import advance
from wfplatform.core.ports import Claim
from wfplatform.engine.restore import restore

__all__ = ["record", "shown"]

TWICE: Final = 2
"""Everything is shown by so many histories."""
ERROR: Final = {"type": "WfError", "code": "engine_error", "message": "It was told by hand.", "retryable": False}


class _Watch:
    """Stands between an engine and its state machine, and writes down what passes."""

    def __init__(self) -> None:
        self.lives: dict[UUID, list[Life]] = {}
        self.versions: dict[UUID, UUID] = {}
        self._known: dict[int, tuple[Execution, Life]] = {}

    def restore(
        self, claim: Claim, graph: Graph, given: Mapping[str, Sequence[tuple[Element, int]]] | None = None
    ) -> Execution:
        made = restore(claim, graph, given)
        life = Life(claim=claim, sizes=given)
        self.lives.setdefault(claim.id, []).append(life)
        self.versions[claim.id] = claim.version_id
        self._known[id(made)] = (made, life)
        return made

    def advance(self, execution: Execution, graph: Graph, event: Event, now: Any, chance: float = 0.5) -> Transition:
        _, life = self._known[id(execution)]
        step = advance(execution, graph, event, now, chance)
        life.steps.append(Step(event=event, at=now, chance=chance, came=decided(step)))
        self._known[id(step.execution)] = (step.execution, life)
        return step


class _Told(History):
    """A history being made."""

    @cached_property
    def graph(self) -> Graph:
        return from_document(dict(self.document)).graph

    def branch(self, random: Random) -> None:
        """Add what no simulation brings about, where it can be told."""
        last = len(self.lives) - 1
        life = random.randint(0, last)
        steps = len(self.lives[life].steps)
        if steps:
            self._tell(life, random.randint(1, steps), random)
        self._tell(last, len(self.lives[last].steps), random)

    def _tell(self, life: int, count: int, random: Random) -> None:
        own = self.lives[life]
        assert own.claim is not None
        execution = restore(own.claim, self.graph, own.sizes)
        for step in own.steps[:count]:
            execution = advance(execution, self.graph, step.event, step.at, step.chance).execution
        branch = Life(after=(life, count))
        at = own.steps[count - 1].at if count else own.claim.created_at
        for event in self._events(execution, own, random):
            at += timedelta(seconds=1)
            chance = random.random()
            step_ = advance(execution, self.graph, event, at, chance)
            branch.steps.append(Step(event=event, at=at, chance=chance, came=decided(step_)))
            execution = step_.execution
        if branch.steps:
            self.lives.append(branch)

    def _events(self, execution: Execution, life: Life, random: Random) -> Iterator[Event]:
        if execution.state.final:
            yield Claimed(life.sizes or {})
            yield Rejected(ERROR)
            yield Retried("user")
            return
        spans = [
            Span.of(name, element)
            for name, runs in execution.nodes.items()
            for element, run in runs.runs.items()
            if run.state is NodeState.RUNNING and len(element) == runs.rank
        ]
        if spans:
            yield GivenBack("segment", tuple(spans))
            yield SegmentLost("segment", tuple(spans[:1]), "worker", "It was told by hand.", started=True)
        yield from _seldom(execution, self.graph)
        for node in self.graph.nodes:
            if node.policy.effect and not node.rank:
                yield Repeated(node.id, ())
            if node.type == NodeKind.WORKFLOW and not node.rank and random.random() < 0.5:
                yield Refused(node.id, (), ERROR)
        yield random.choice((DeadlinePassed(3600.0), Rejected(ERROR), Rejected(ERROR, _begun(execution))))
        yield Claimed(life.sizes or {})
        yield Retried("user")


def _seldom(execution: Execution, graph: Graph) -> Iterator[Event]:
    """A result that is lost, and one that need not be computed."""
    python = [node.id for node in graph.nodes if node.type == NodeKind.PYTHON]
    completed = [
        (name, element, run.attempt)
        for name in python
        for element, run in execution.nodes[name].runs.items()
        if run.state is NodeState.COMPLETED and len(element) == execution.nodes[name].rank
    ]
    for name, element, attempt in completed[:1]:
        error = {"type": "ArtifactLost", "code": "artifact_lost", "message": "It was told by hand."}
        yield Outcomes((Outcome(name, element, attempt, OutcomeKind.UNREADABLE, error=error),))
    fresh = [name for name in python if not execution.nodes[name].rank and not execution.nodes[name].runs]
    for name in fresh[:1]:
        yield Reused(name, (), {}, None, UUID(int=1))


def _begun(execution: Execution) -> tuple[tuple[str, Element], ...]:
    begun = [(name, element) for name, runs in execution.nodes.items() for element in runs.runs]
    return tuple(begun[:1])


def shown(history: History) -> set[str]:
    """What a history shows: kinds of events, of nodes and their ends, of errors, and what else is rare."""
    found: set[str] = set()
    policies = {node["id"]: node for node in history.document["nodes"]}
    epochs = {life.claim.epoch for life in history.lives if life.claim is not None}
    found |= {"take-over"} if len(epochs) > 1 else set()
    found |= {"branch"} if any(life.after for life in history.lives) else set()
    for life in history.lives:
        if life.claim is not None:
            found |= {f"claimed {run.run.state}" for run in life.claim.runs}
            found |= {"claimed with mail"} if life.claim.mailbox else set()
            found |= {"woken"} if life.claim.woken else set()
            found |= {f"sizes {len(prefix)}" for listed in (life.sizes or {}).values() for prefix, _ in listed}
        for step in life.steps:
            name = type(step.event).__name__
            changed, effects, state = step.came
            found |= {name, f"{name} {'changes' if changed else 'changes nothing'}", f"{name} -> {state}"}
            found |= {effect[0] for effect in effects}
            if isinstance(step.event, Outcomes):
                found |= {f"outcome {one.kind}" for one in step.event.items}
                found |= {f"error {one.error.get('type')}" for one in step.event.items if one.error}
            for node, element, became, attempt in changed:
                kind = policies[node]["type"]
                found |= {f"{kind} {became}", f"rank {len(element)} {became}", f"{name} {became}"}
                found |= {f"attempt {attempt}"} if attempt < 4 else set()
                found |= {f"policy {key} {became}" for key in policies[node]["data"].get("policy", {})}
                found |= {"guarded " + became} if "guard" in policies[node]["data"] else set()
    return found


def record(seeds: int, first: int = 0) -> list[History]:
    """Simulate, and keep what shows something new in the fewest bytes; returns what was kept."""
    FOLDER.mkdir(exist_ok=True)
    known: Counter[str] = Counter()
    for file in FOLDER.glob("*.json"):
        known.update(shown(History.from_file(file)))
    found: list[tuple[History, str, set[str]]] = []
    logging.disable(logging.CRITICAL)
    with bench() as runner:
        for seed in range(first, first + seeds):
            made = [one for one in _histories(seed, runner) if not (FOLDER / f"{one.name}.json").exists()]
            found += [(one, one.to_json(), shown(one)) for one in made]
    kept: list[History] = []
    while found:
        worth = [sum(known[thing] < TWICE for thing in things) / len(text) for _, text, things in found]
        best = max(range(len(found)), key=worth.__getitem__)
        if not worth[best]:
            break
        history, text, things = found.pop(best)
        known.update(things)
        file = FOLDER / f"{history.name}.json"
        file.write_text(text, encoding="utf-8")
        assert not list(differences(History.from_file(file)))
        kept.append(history)
    return kept


def _histories(seed: int, runner: Bench) -> Iterator[History]:
    watch = _Watch()
    with (
        patch("wfplatform.engine.orchestrator.advance", watch.advance),
        patch("wfplatform.engine.adoption.restore", watch.restore),
    ):
        world = Simulation(seed, runner)
        world.run()
    random = Random(seed)
    for number, (execution, lives) in enumerate(watch.lives.items()):
        document = world._store.contents.versions[watch.versions[execution]].document
        made = _Told(
            name=f"{version('wfplatform')}-{seed:04d}-{number}",
            release=version("wfplatform"),
            document=document,
            lives=lives,
        )
        made.branch(random)
        yield made
