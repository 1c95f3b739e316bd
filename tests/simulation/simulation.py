"""One simulation: random workflows; engines, a cluster and a store that fail; and what must hold all the same."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from random import Random
from typing import Any, Final, NamedTuple
from uuid import UUID

from tests.contract.drawn import Step, brought, drawn
from tests.simulation.bench import Bench
from tests.simulation.mending import Mender, edited
from tests.simulation.told import broken_promises, with_hooks
from tests.simulation.undoing import Undoing
from wfplatform import Workflow, answering
from wfplatform.app.changes import ChangeCounter
from wfplatform.app.executions import Executions
from wfplatform.authoring.document import definition_digest
from wfplatform.authoring.ending import Completed, Failed, Skipped
from wfplatform.compiler.tree import open_output
from wfplatform.core.event import Recorded
from wfplatform.core.execution import Element, ExecutionState, NodeState, Run
from wfplatform.core.graph import Json, NodeKind
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.core.policy import OnSkip
from wfplatform.core.ports import Commit, ExecutionChange, NewCommand, Publication
from wfplatform.core.start import NewExecution
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.testing.faulty_store import StoreFaults
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_catalog import MemoryCatalog, MemoryReader
from wfplatform.engine.testing.memory_contents import StoredElement
from wfplatform.engine.testing.memory_past import MemoryPast
from wfplatform.engine.testing.memory_sharing import MemoryShared
from wfplatform.engine.testing.simulated_cluster import SimulatedCluster
from wfplatform.engine.testing.simulated_engine import Habits, SimulatedEngine
from wfplatform.engine.testing.simulated_worker import Ran
from wfplatform.engine.testing.world import World, WorldIds

__all__ = ["BrokenPromiseError", "Simulation", "simulate"]

STORM_S: Final = 8.0
"""For so long things go wrong."""
CALM_S: Final = 600.0
"""And within this time after it everything must have ended."""
REST_S: Final = 30.0
"""For what is still on its way then."""
WORDS: Final = {Completed: "completed", Failed: "failed", Skipped: "skipped"}
KINDS: Final = (
    *("call", "saga") * 2,
    "call",
    *("map",) * 4,
    *("shared",) * 4,
    *("pair", "part", "zip", "loop", "delay", "effect", "event", "approval", "child", "children", "choice"),
)
SHOWN: Final = 6


class BrokenPromiseError(AssertionError):
    """Something that must hold does not."""


class Started(NamedTuple):
    """An execution that a user asked for."""

    flow: Workflow[..., Any]
    parameters: Mapping[str, Any]


class _Silence:
    def notify(self, channel: str, payloads: Iterable[str]) -> None:
        """Engines are called by the simulation itself."""


class Simulation:
    """A world from a seed.

    Args:
        seed: decides everything.
        bench: runs orders.
    """

    def __init__(self, seed: int, bench: Bench) -> None:
        world = self.world = World(seed)
        random = world.random
        self._bench = bench
        self._tastes = Random(seed)
        self._ids = WorldIds(world)
        self._store = MemoryStore(now=lambda: world.now)
        self._catalog = MemoryCatalog(self._store, ids=self._ids)
        self._executions = Executions(
            catalog=self._catalog,
            records=MemoryReader(self._store),
            past=MemoryPast(self._store),
            shared=MemoryShared(self._store.sharing, self._store.now),
            changes=ChangeCounter(),
            notifier=_Silence(),
            open_value=lambda output: open_output(output, bench.artifacts.load),
            ids=self._ids,
            tenant_id=DEFAULT_TENANT,
            actor="user",
        )
        self._started: dict[UUID, Started] = {}
        self._cancelled: set[UUID] = set()
        self._retried: set[UUID] = set()
        self._undoing = Undoing()
        self._killed: Counter[tuple[UUID, int, Element]] = Counter()
        self._writers: dict[tuple[UUID, int], UUID] = {}
        self._ends: defaultdict[UUID, dict[int, ExecutionState]] = defaultdict(dict)
        self._begun: set[tuple[UUID, str, Element, int]] = set()
        self._over: set[tuple[UUID, str, Element]] = set()
        self._writer = UUID(int=0)
        self._watch_writers()
        self._is_rough = world.chance(0.85)
        self._mends = world.chance(0.6)
        self._mender = Mender(world, self._store, self._executions, self._started, lambda: self.call("", []), STORM_S)
        self._cluster = SimulatedCluster(
            world,
            bench,
            workers=random.randint(1, 3),
            on_ran=self._ran,
            on_killed=self._was_killed,
            doubled=0.1 if self._is_rough else 0.0,
            longest_s=random.choice((0.05, 0.3, 1.0)),
        )
        share = random.choice((0.0, 0.01, 0.05)) if self._is_rough else 0.0
        faults = StoreFaults(
            silent=share, unsaid=share, slow=share, crash=share / 2, slowest_s=random.choice((0.1, 1.0, 4.0))
        )
        habits = Habits(
            options=EngineOptions(linger_s=random.choice((0.0, 0.03)), sleep_after_s=random.choice((0.0, 0.2, 2.0))),
            faults=faults,
        )
        self._engines = [
            SimulatedEngine(
                f"engine-{number}",
                world,
                self._store,
                self._cluster,
                self._ids,
                self,
                habits,
                rate=random.choice((0.9998, 1.0, 1.0002)),
            )
            for number in range(random.randint(1, 3))
        ]

    def run(self) -> None:
        """Let it happen, and check what must hold.

        Raises:
            BrokenPromiseError: something does not.
        """
        world = self.world
        for _ in range(world.random.randint(1, 3)):
            world.after(world.between(0.0, STORM_S / 2), "user", self._start)
        world.after(0.0, "user", self._decide)
        if self._mends:
            world.after(0.0, "user", self._mender.look)
        if self._is_rough:
            for _ in range(world.random.randint(0, 10)):
                world.after(world.between(0.0, STORM_S), "fate", self._strike)
        world.run(lambda: False, STORM_S)
        for engine in self._engines:
            engine.be_calm()
        for execution in self._started:
            self._ask(execution, "resume")
        if not world.run(self._all_ended, CALM_S):
            rows = self._store.contents.executions
            raise BrokenPromiseError(
                f"not ended: {', '.join(f'{_short(id)} {rows[id].state}' for id in self._started)}"
            )
        world.run(lambda: False, REST_S)
        self._check()

    # -- what engines share

    def publish(self, digest: str, body: bytes) -> None:
        """Put a program where workers find it."""
        self._bench.publish(digest, body)

    def call(self, channel: str, payloads: Iterable[str]) -> None:
        """Tell engines; some do not hear it."""
        del channel, payloads
        for engine in self._engines:
            if self.world.chance(0.9):
                self.world.after(self.world.between(0.0, 0.02), "network", engine.wake)

    def written(self, engine: UUID, commit: Commit) -> None:
        """A commit is about to be done."""
        self._writer = engine
        changed = [f"{r.recorded.node}{[*r.recorded.element]} {r.recorded.run.state}" for r in commit.nodes[:SHOWN]]
        more = f" and {len(commit.nodes) - SHOWN} more" if len(commit.nodes) > SHOWN else ""
        ended = [f"{_short(change.id)} {change.state}" for change in commit.executions]
        self.world.note(f"store/{engine.hex[-4:]}", f"commit: {', '.join([*ended, *changed])}{more}")

    # -- what is watched

    def _watch_writers(self) -> None:
        record = self._store.contents.record

        def recorded(execution: UUID, epoch: int, what: Recorded) -> None:
            first = self._writers.setdefault((execution, epoch), self._writer)
            if first != self._writer:
                raise BrokenPromiseError(f"two engines wrote into {_short(execution)} at epoch {epoch}")
            self._check_wait(execution, what)
            if execution in self._started:
                before = self._store.contents.elements.get(execution, {}).get((what.node, what.element))
                self._undoing.recorded(execution, self._started[execution].flow.graph, what, before)
            record(execution, epoch, what)
            if what.run.state is NodeState.RUNNING:
                self._begun.add((execution, what.node, what.element, what.run.attempt))
            elif what.run.state.final:
                self._over.add((execution, what.node, what.element))

        self._store.contents.record = recorded  # type: ignore[method-assign]
        change = self._store.contents.change

        def changed(what: ExecutionChange) -> None:
            in_vain = (
                self._store.contents.executions[what.id].state.final and (what.id, what.epoch) not in self._writers
            )
            if what.state.final and not in_vain:
                self._ends[what.id][what.epoch] = what.state
            change(what)

        self._store.contents.change = changed  # type: ignore[method-assign]

    def _check_wait(self, execution: UUID, what: Recorded) -> None:
        """What waits for an instant goes on afterwards, by true time. What somebody replaced stays replaced."""
        before = self._store.contents.elements.get(execution, {}).get((what.node, what.element))
        forgotten = before is not None and before.run.edit is not None and what.run.edit is None
        _promise(not forgotten, f"{what.node}{[*what.element]} of {_short(execution)} has its old inputs again")
        due_at = before.run.due_at if before is not None else None
        if due_at is not None and what.run.state is not NodeState.WAITING and not self._cancelled:
            early_s = (due_at - self.world.now).total_seconds()
            _promise(
                early_s < 0.05, f"{what.node}{[*what.element]} of {_short(execution)} went on {early_s:.3f} s early"
            )

    def _ran(self, ran: Ran) -> None:
        words = f"runs {_short(ran.execution)} node {ran.place}{[*ran.element]} try {ran.attempt}"
        self.world.note(ran.worker, words)
        known = self._started.get(ran.execution)
        if known is None or not ran.wanted or self._store.contents.executions[ran.execution].state.final:
            return
        graph = known.flow.graph
        node = graph.every[ran.place].id
        self._check_effects(known.flow, ran, node, words)
        self._check_slots(known.flow, ran, node, words)
        if graph.every[ran.place].unwinds is not None:
            elements = self._store.contents.elements[ran.execution]
            early = self._undoing.ran(ran.execution, graph, graph.every[ran.place], ran.element, elements)
            _promise(not early, f"{ran.worker} {words}, {early}")
        stored = self._store.contents.elements.get(ran.execution, {}).get((node, ran.element))
        if stored is not None and stored.run.state is NodeState.COMPLETED:
            raise BrokenPromiseError(f"{ran.worker} {words}, though that is committed")

    def _check_effects(self, flow: Workflow[..., Any], ran: Ran, node: str, words: str) -> None:
        """An effect runs once it is committed that it does, and what needs it once its end is."""
        graph = flow.graph
        if graph.by_id[node].policy.effect and (ran.execution, node, ran.element, ran.attempt) not in self._begun:
            raise BrokenPromiseError(f"{ran.worker} {words}, which is an effect, and it is not committed that it runs")
        for link in graph.links[node]:
            source = graph.by_id[link.source]
            place = ran.element[: link.shared]
            if source.policy.effect and len(place) == source.rank:
                over = any((ran.execution, source.id, place[:cut]) in self._over for cut in range(len(place) + 1))
                if not over:
                    raise BrokenPromiseError(
                        f"{ran.worker} {words}, and the end of the effect {source.id} is not committed"
                    )

    def _check_slots(self, flow: Workflow[..., Any], ran: Ran, node: str, words: str) -> None:
        """What needs a slot of what executions share runs only while it holds one."""
        limit = flow.graph.by_id[node].policy.limit
        if limit is None or limit.is_own:
            return
        held = [
            one
            for (id, name, element, _), one in self._store.sharing.slots.items()
            if (id, name, element) == (ran.execution, node, ran.element) and one.number
        ]
        if not held:
            raise BrokenPromiseError(f"{ran.worker} {words}, and it has no slot of {limit.name}")

    def _was_killed(self, execution: UUID, place: int, element: Element) -> None:
        self._killed[execution, place, element] += 1

    # -- what happens

    def _start(self) -> None:
        random = self.world.random
        steps = _sagas(random) if self.world.chance(0.2) else _steps(random, 2, 4)
        flow = drawn(steps, random.randint(0, 2), random.choice((0.0, 0.5, 4.0)))
        flow = with_hooks(flow, self._tastes)
        given = {"n": random.randint(-3, 3), "xs": [random.randint(0, 5) for _ in range(random.randint(0, 3))]}
        own = definition_digest(flow.as_definition(), self._bench.code.digest)
        others = [*flow.children.values(), *{one.workflow.name: one.workflow for one in flow.hooks}.values()]
        versions = [*((one, one.version, one.code) for one in others), (flow, own, self._bench.code)]
        for one, digest, code in versions:
            publication = Publication(
                name=one.name, digest=digest, document=one.definition, code=code.to_bytes(), code_digest=code.digest
            )
            version = self._catalog.publish(DEFAULT_TENANT, publication)
        new = NewExecution(
            id=self._ids.new(),
            version_id=version.id,
            workflow_name=flow.name,
            parameters=flow.parameters.to_json(given),
            timeout_s=3600.0,
            late_after_s=flow.policy.late_after_s,
        )
        self._started[new.id] = Started(flow, given)
        self.world.note("user", f"starts {_short(new.id)} with {json.dumps(given)}")
        self._catalog.insert(DEFAULT_TENANT, [new])
        self.call("", [])
        self._bring_events(new.id)

    def _bring_events(self, execution: UUID) -> None:
        for node in self._started[execution].flow.graph.nodes:
            if node.type == NodeKind.EVENT:
                self.world.after(self.world.between(0.0, STORM_S), "user", partial(self._signal, execution, node.id))

    def _signal(self, execution: UUID, event: str) -> None:
        """Bring an event; sometimes another one of the same name, which is not waited for, comes before it."""
        data = [{"event": "another"}] if self.world.chance(0.3) else []
        for one in [*data, brought(event)]:
            self._ask(execution, "signal", {"event": event, "data": one})

    def _decide(self) -> None:
        """Somebody looks what there is to decide, decides it, and comes again."""
        for one in self._executions.awaited("approval"):
            if self.world.chance(0.7):
                given: dict[str, Json] = {"approved": True, "form": brought(one.node), "comment": ""}
                self._ask(one.execution_id, "decide", {"node": one.node, "element": list(one.element), **given})
        self.world.after(self.world.between(0.3, 4.0), "user", self._decide)

    def _ask(self, execution: UUID, kind: str, payload: Mapping[str, Json] | None = None) -> None:
        is_over = self._store.contents.executions[execution].state.final
        if kind == "signal" and is_over and self._is_retried(execution):
            self.world.after(0.5, "user", lambda: self._ask(execution, kind, payload))
        elif kind == "retry" or not is_over:
            self.world.note("user", f"asks {_short(execution)} to {kind} {json.dumps(payload) if payload else ''}")
            self._store.contents.ask(
                NewCommand(
                    tenant_id=DEFAULT_TENANT,
                    execution_id=execution,
                    kind=kind,
                    payload=payload or {},
                    created_by="user",
                )
            )
            self.call("", [])

    def _strike(self) -> None:
        """Something goes wrong, or a user wants something."""
        world = self.world
        blows: tuple[Callable[[], None], ...] = (
            self._cluster.kill_worker,
            self._cluster.kill_worker,
            self._cluster.kill_worker,
            lambda: world.random.choice(self._engines).kill(),
            lambda: world.random.choice(self._engines).kill(),
            lambda: world.random.choice(self._engines).freeze(world.between(0.5, 6.0)),
            lambda: self._cluster.stall_worker(world.between(0.5, 10.0)),
            lambda: self._cluster.kill_scheduler(world.between(0.5, 4.0)),
            lambda: self._cluster.cut(world.between(0.2, 5.0)),
            lambda: self._take_store_away(world.between(0.3, 5.0)),
            self._pause,
            self._cancel,
            self._cancel,
            self._retry,
        )
        world.random.choice(blows)()

    def _take_store_away(self, duration_s: float) -> None:
        self.world.note("store", f"is away for {duration_s:.1f} s")
        for engine in self._engines:
            engine.lose_store(duration_s)

    def _pause(self) -> None:
        if self._started:
            execution = self.world.random.choice(list(self._started))
            self._ask(execution, "pause")
            self.world.after(self.world.between(0.1, 3.0), "user", lambda: self._ask(execution, "resume"))

    def _cancel(self) -> None:
        if self._started and self.world.chance(0.4):
            execution = self.world.random.choice(list(self._started))
            self._cancelled.add(execution)
            self._ask(execution, "cancel")

    def _retry(self) -> None:
        """Somebody tries again what ended badly."""
        rows = self._store.contents.executions
        bad = [id for id in self._started if rows[id].state in (ExecutionState.FAILED, ExecutionState.CANCELLED)]
        if bad:
            execution = self.world.random.choice(bad)
            self._retried.add(execution)
            self._ask(execution, "retry")
            self._bring_events(execution)

    def _all_ended(self) -> bool:
        contents = self._store.contents
        wanted = any(not one.done and one.command.kind == "retry" for one in contents.commands.values())
        return not wanted and all(contents.executions[id].state.final for id in self._started)

    def _is_retried(self, execution: UUID) -> bool:
        """Whether it is to be tried again, and no engine has taken that up so far."""
        commands = self._store.contents.commands.values()
        return any(
            one.command.execution_id == execution and one.command.kind == "retry" and not one.done for one in commands
        )

    # -- what must hold

    def _check(self) -> None:
        contents = self._store.contents
        for id, row in contents.executions.items():
            _promise(row.state.final, f"the child {_short(id)} is {row.state}")
            graph = self._executions.graph(row.version_id)
            for (node, element), stored in contents.elements.get(id, {}).items():
                if len(element) < graph.by_id[node].rank and stored.run.state is NodeState.PENDING:
                    continue  # a whole branch that had ended, until a replay opened it again
                _promise(stored.run.state.final, f"{node}{[*element]} of {_short(id)} is {stored.run.state} in the end")
        _promise(not self._store.sharing.owned(), f"slots are held: {self._store.sharing.slots}")
        for engine in self._engines:
            _promise(not engine.orchestrator.live, f"{engine.name} still holds executions")
            _promise(not engine.executor.known, f"{engine.name} still holds tasks {engine.executor.known}")
            _promise(engine.orchestrator.next_timer_at is None, f"{engine.name} still holds a timer")
        _promise(not self._cluster.tasks, f"the scheduler still holds tasks {self._cluster.tasks}")
        _promise(not self._cluster.kept, "workers still hold messages that nobody acknowledged")
        for id, known in self._started.items():
            self._check_ending(id, known)
            rows = contents.executions
            ends = self._ends[id].values()
            wrong = broken_promises(known.flow, rows[id], rows.values(), ends, is_rough=self._is_rough)
            _promise(not wrong, f"{_short(id)}: {wrong}")

    def _check_ending(self, id: UUID, known: Started) -> None:
        """It ended as it would have without any trouble, unless trouble was the reason."""
        row, flow = self._store.contents.executions[id], known.flow
        elements = self._store.contents.elements.get(id, {})
        for wrong in self._undoing.wrong(id, flow.graph, row.state, elements):
            raise BrokenPromiseError(f"of {_short(id)}, which {row.state}, {wrong}")
        if row.state is ExecutionState.CANCELLED:
            _promise(id in self._cancelled, f"{_short(id)} was cancelled, and nobody had asked for it")
            return
        index = {node.id: number for number, node in enumerate(flow.graph.every)}
        for (node, element), stored in elements.items():
            if _code(stored) == "worker_lost" and flow.graph.by_id[node].type == NodeKind.PYTHON:
                words = f"{node}{[*element]} of {_short(id)} is blamed for the loss of workers that it was not on"
                _promise(self._killed[id, index[node], element] >= 2, words)
        if self._was_unlucky(flow, elements) or id in self._retried:
            return
        edits = {place: stored.run.edited for place, stored in elements.items() if stored.run.edit is not None}
        if edits and any(node.policy.on_skip is OnSkip.NONE for node in flow.graph.nodes):
            return  # what took None in place of something that failed, and completed, is not computed again
        with answering(**{node.id: brought(node.id) for node in flow.graph.nodes}), edited(flow, edits):
            here = flow.local_execution(**known.parameters)
        expected = {
            (name, element): WORDS[type(ending)]
            for name, found in here.nodes.items()
            for element, ending in found.endings.items()
        }
        states = _states(flow, elements)
        keys = [key for key in {**states, **expected} if states.get(key) != expected.get(key)]
        differing = {key: (states.get(key), expected.get(key)) for key in keys}
        _promise(not differing, f"{_short(id)} ended differently, node -> (there, expected): {differing}")
        if not here.failures:
            found = self._executions.result(id, 0.0)
            _promise(found == here.result, f"{_short(id)} returned {found!r}, expected {here.result!r}")

    def _was_unlucky(self, flow: Workflow[..., Any], elements: Mapping[tuple[str, Element], StoredElement]) -> bool:
        """Whether trouble itself is part of how it ended: a node that lost two workers failed, here or in a child; or one that
        fails in its first tries lost one of them, and so failed less often.
        """
        lost = any(
            _code(stored) == "worker_lost"
            for id, known in self._store.contents.elements.items()
            if known is elements or (id not in self._started and self._store.contents.executions[id].hook is None)
            for stored in known.values()
        )
        return lost or any(
            _has_lost(stored.run) and flow.graph.by_id[node].policy.attempts > 1
            for (node, _), stored in elements.items()
        )


def simulate(seed: int, bench: Bench) -> tuple[World, Exception | None]:
    """Run one.

    Returns:
        its world, and what was wrong.
    """
    made = Simulation(seed, bench)
    try:
        made.run()
    except Exception as error:
        return made.world, error
    return made.world, None


def _sagas(random: Random) -> tuple[Step, ...]:
    """Many things one after the other that can be undone, so that often there is something to be undone in an order."""
    return tuple(
        Step(
            "saga",
            random.randint(0, 7),
            (random.randint(1, 5), random.randint(1, 5)),
            tuple(random.choices(range(6), k=4)),
        )
        for _ in range(random.randint(3, 6))
    )


def _steps(random: Random, depth: int, most: int) -> tuple[Step, ...]:
    return tuple(_step(random, depth) for _ in range(random.randint(1 if depth == 2 else 0, most)))


def _step(random: Random, depth: int) -> Step:
    kind = random.choice(KINDS if depth else KINDS[:-1])
    inner = (_steps(random, depth - 1, 3), _steps(random, depth - 1, 3)) if kind == "choice" else ((), ())
    few = [random.randint(0, 11) for _ in range(6)]
    return Step(kind, random.randint(0, 7), tuple(few[:2]), tuple(few[2:]), inner)


def _states(
    flow: Workflow[..., Any], elements: Mapping[tuple[str, Element], StoredElement]
) -> dict[tuple[str, Element], str]:
    """The states of elements; those below a branch that ended as a whole are part of it, and turns of loops are not counted."""
    nodes = flow.graph.by_id
    seen = {
        (name, element): stored
        for (name, element), stored in elements.items()
        # What had nothing to undo is not mentioned where there is no platform.
        if (len(element) == nodes[name].rank or (len(element) < nodes[name].rank and stored.run.state.final))
        and (nodes[name].unwinds is None or stored.run.state is not NodeState.SKIPPED)
    }
    return {
        (name, element): str(stored.run.state)
        for (name, element), stored in seen.items()
        if not any((name, element[:cut]) in seen for cut in range(len(element)))
    }


def _promise(holds: object, words: str) -> None:
    if not holds:
        raise BrokenPromiseError(words)


def _code(stored: StoredElement) -> object:
    """Why an element failed."""
    error = stored.run.error or (stored.outcome.error if stored.outcome is not None else None)
    return (error or {}).get("code")


def _has_lost(run: Run) -> bool:
    """Whether an attempt was lost: those that ended by themselves are fewer."""
    return run.attempt > run.tries + (run.state is NodeState.COMPLETED)


def _short(execution: UUID) -> str:
    return execution.hex[-4:]
