"""The engine's one thread: takes what happened, lets `core.lifecycle` decide, commits, and only then carries out what follows.

Everything between two commits is one batch; while a commit waits for the disk, the next batch gathers. Refuses to act on anything that is
not committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from wfplatform.compiler.bind import bind
from wfplatform.compiler.expand import known_sizes
from wfplatform.compiler.order import Loaded, bundle, known_elements, make_part
from wfplatform.compiler.payload import Delivery, KnownOutput, Part, read_outcomes, unpack_delivery
from wfplatform.compiler.plan import plan
from wfplatform.compiler.segment import Limits, Planned, Segment
from wfplatform.core.event import (
    Began,
    CancelRequested,
    CancelSegments,
    ChildEnded,
    Claimed,
    DeadlinePassed,
    Event,
    Finish,
    Outcomes,
    PauseRequested,
    Plan,
    Refused,
    ResumeRequested,
    Retried,
    SegmentClosed,
    SegmentLost,
    SetTimer,
    TimerDue,
)
from wfplatform.core.execution import Element, ExecutionState, NodeRuns, NodeState, Outcome, OutcomeKind, Span
from wfplatform.core.graph import DEFAULT_PORT, NodeKind
from wfplatform.core.lifecycle import advance
from wfplatform.core.ports import (
    Claim,
    Clock,
    Command,
    Commit,
    EngineStore,
    ExecutionChange,
    Ids,
    NewCommand,
    NewExecution,
    NodeRecord,
    Notifier,
    VersionStore,
)
from wfplatform.engine.cluster import ClusterBack, ClusterReport, Executor, OutcomesArrived, TaskLost
from wfplatform.engine.costs import Costs
from wfplatform.engine.live import Live
from wfplatform.engine.restore import restore
from wfplatform.engine.shape import shape_sources, sizes_of_runs
from wfplatform.engine.timers import Timer, Timers
from wfplatform.engine.values import EngineInputs
from wfplatform.engine.versions import Versions
from wfplatform.errors import WfError

__all__ = ["ENGINE_CHANNEL", "EXECUTION_CHANNEL", "MAX_DEPTH", "EngineOptions", "Orchestrator"]

logger = logging.getLogger(__name__)

ENGINE_CHANNEL: Final = "wfp_engine"
EXECUTION_CHANNEL: Final = "wfp_execution"
MAX_DEPTH: Final = 10
_TELL_EVERY_S: Final = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How an engine works.

    Args:
        max_executions: executions with work on the cluster at the same moment; more wait their turn.
        claim_at_once: taken in one transaction.
        poll_s: how often the database is looked at although nobody called.
        budget_s: time after which a segment of several nodes gives the rest back.
    """

    max_executions: int = 1000
    claim_at_once: int = 200
    poll_s: float = 1.0
    budget_s: float = 1.0
    limits: Limits = Limits()


class Orchestrator:
    """One engine.

    Args:
        engine_id: its lease.
        store: where executions are claimed and committed.
        versions: published workflows.
        costs: what nodes take.
        executor: the cluster.
        clock: tells the time.
        ids: makes identifiers.
        notifier: tells who watches.
    """

    def __init__(
        self,
        *,
        engine_id: UUID,
        store: EngineStore,
        versions: VersionStore,
        publish: Callable[[str, bytes], None],
        costs: Costs,
        executor: Executor,
        clock: Clock,
        ids: Ids,
        notifier: Notifier,
        options: EngineOptions,
    ) -> None:
        self.engine_id = engine_id
        self._store = store
        self._versions = Versions(versions, publish)
        self._costs = costs
        self._executor = executor
        self._clock = clock
        self._ids = ids
        self._notifier = notifier
        self._options = options
        self._name = engine_id.hex
        self._segments = 0
        self.live: dict[UUID, Live] = {}
        self._timers = Timers()
        self._tasks: dict[str, list[tuple[UUID, str]]] = {}
        # What the batch that is being put together will commit, and what follows from it.
        self._records: list[NodeRecord] = []
        self._changed: dict[UUID, Live] = {}
        self._children: list[tuple[UUID, NewExecution]] = []
        self._commands_done: list[int] = []
        self._new_commands: list[NewCommand] = []
        self._to_plan: dict[UUID, Live] = {}
        self._to_cancel: list[tuple[UUID, int]] = []
        self._to_release: list[str] = []
        self._received: dict[tuple[str, str], list[int]] = {}
        self._finished: list[Live] = []
        self.look_again = False

    # -- one turn

    def turn(self, reports: Sequence[ClusterReport] = (), *, look: bool = False) -> bool:
        """Take in reports and whatever is due; look into the database if told.

        Returns:
            whether there may be more to do at once.
        """
        self._take(reports)
        now = self._clock.now()
        for timer in self._timers.due(now, 1000):
            self._wake(timer, now)
        look, self.look_again = look or self.look_again, False
        claimed = self._look() if look else 0
        self._check_deadlines(now)
        self._settle()
        return self.look_again or claimed >= self._options.claim_at_once

    @property
    def next_timer_at(self) -> datetime | None:
        """When a waiting element is due, or None."""
        return self._timers.next_at

    @property
    def busy(self) -> int:
        """Executions with work on the cluster."""
        return sum(1 for live in self.live.values() if len(live.flights))

    def release_all(self) -> None:
        """Give all executions back, for others to claim; used at a clean end."""
        released = list(self.live)
        self._store.commit(Commit(engine_id=self.engine_id, released=released))
        self._executor.cancel([(live.id, live.claim.epoch) for live in self.live.values()], list(self._tasks))
        self.live.clear()

    # -- what comes in

    def _take(self, reports: Iterable[ClusterReport]) -> None:
        arrived: dict[UUID, list[tuple[Delivery, str]]] = {}
        for report in reports:
            match report:
                case OutcomesArrived(body):
                    message = unpack_delivery(body)
                    self._received.setdefault((message.worker, message.stream), []).append(message.number)
                    for delivery in message.deliveries:
                        arrived.setdefault(delivery.execution, []).append((delivery, message.worker))
                case TaskLost():
                    self._lose(report)
                case ClusterBack():
                    for live in self.live.values():
                        self._to_plan[live.id] = live
        for execution, deliveries in arrived.items():
            found = self.live.get(execution)
            if found is not None:
                self._deliver(found, deliveries)

    def _deliver(self, live: Live, deliveries: Sequence[tuple[Delivery, str]]) -> None:
        outcomes: list[Outcome] = []
        closed: list[str] = []
        for delivery, worker in deliveries:
            if delivery.epoch != live.claim.epoch:
                logger.info("stale outcome refused", extra={"execution": str(live.id), "epoch": delivery.epoch})
                continue
            outcomes.extend(read_outcomes(live.graph, delivery, worker))
            if delivery.closed:
                closed.append(delivery.segment)
        if outcomes:
            self._costs.see(live.version.stored.id, tuple(outcomes))
            self._apply(live, Outcomes(tuple(outcomes)))
        for segment in closed:
            spans = live.flights.remove(segment)
            if not spans:
                continue
            self._land(live, segment)
            if not live.execution.state.final and _any_open(live.execution.nodes, spans):
                self._apply(live, SegmentClosed(segment, spans))
        live.note_work(self._clock.now())

    def _land(self, live: Live, segment: str) -> None:
        """A segment flies no more; its task is released when none of its segments does."""
        key = live.keys.pop(segment, None)
        if key is None:
            return
        left = self._tasks.get(key)
        if left is None:
            return
        left.remove((live.id, segment))
        if not left:
            del self._tasks[key]
            self._to_release.append(key)

    def _lose(self, report: TaskLost) -> None:
        lost = self._tasks.pop(report.key, [])
        for execution, segment in lost:
            owner = self.live.get(execution)
            if owner is None:
                continue
            live = owner
            spans = live.flights.remove(segment)
            live.keys.pop(segment, None)
            if not spans:
                continue
            logger.warning(
                "segment lost",
                extra={"execution": str(execution), "segment": segment, "reason": report.reason},
            )
            self._apply(
                live,
                SegmentLost(
                    segment,
                    spans,
                    report.worker,
                    report.reason,
                    started=len(lost) == 1,
                    blameless=report.blameless,
                ),
            )
            live.note_work(self._clock.now())

    def _wake(self, timer: Timer, now: datetime) -> None:
        live = self.live.get(timer.execution)
        if live is None:
            return
        node = live.graph.by_id[timer.node]
        if node.type == NodeKind.DELAY:
            self._apply(live, self._delay_over(live, timer))
        else:
            self._apply(live, TimerDue(timer.node, timer.element))

    def _look(self) -> int:
        """Claim what is to run and fetch what users want."""
        for command in self._store.commands(self.engine_id, limit=1000):
            self._command(command)
        room = self._options.max_executions - self.busy
        if room <= 0:
            return 0
        claims = self._store.claim(self.engine_id, limit=min(room, self._options.claim_at_once))
        for claim in claims:
            self._adopt(claim)
        return len(claims)

    def _adopt(self, claim: Claim) -> None:
        """An execution is this engine's now."""
        version = self._versions.get(claim.version_id)
        execution = restore(claim, version.graph)
        live = Live(
            claim=claim,
            version=version,
            execution=execution,
            loaded=Loaded(
                execution=claim.id,
                epoch=claim.epoch,
                version=version.stored.digest,
                graph=version.graph,
                index=version.index,
                parameters=claim.parameters,
            ),
            worked_s=claim.worked_s,
        )
        for runs in execution.nodes.values():
            live.ended += runs.ended
            live.failed += sum(1 for run in runs.runs.values() if run.state is NodeState.FAILED)
        self.live[claim.id] = live
        try:
            sizes = known_sizes(version.graph, claim.parameters)
        except WfError as error:
            self._fail_whole(live, error)
            return
        self._apply(live, Claimed(sizes))
        if claim.cancel_requested_at is not None:
            self._apply(live, CancelRequested())

    def _fail_whole(self, live: Live, error: WfError) -> None:
        first = live.graph.nodes[0].id if live.graph.nodes else ""
        described = {"type": type(error).__name__, "code": error.code, "message": error.message, "retryable": False}
        self._apply(live, Claimed())
        if first:
            self._apply(live, Refused(first, (), described))

    def _command(self, command: Command) -> None:
        self._commands_done.append(command.id)
        live = self.live.get(command.execution_id)
        if live is None:
            return
        event: Event
        match command.kind:
            case "cancel":
                event = CancelRequested(command.created_by)
            case "pause":
                event = PauseRequested(command.created_by)
            case "resume":
                event = ResumeRequested(command.created_by)
            case "retry":
                event = Retried(command.created_by)
            case "child_ended":
                event = self._child_ended(live, command)
            case _:
                logger.warning("unknown command", extra={"kind": command.kind, "command": command.id})
                return
        self._apply(live, event)

    def _check_deadlines(self, now: datetime) -> None:
        for live in list(self.live.values()):
            if live.working_since is not None and live.worked(now) > live.claim.timeout_s:
                self._apply(live, DeadlinePassed(live.claim.timeout_s))

    # -- deciding

    def _apply(self, live: Live, event: Event) -> None:
        """Let the state machine decide, and note what is to be committed and done."""
        step = advance(live.execution, live.graph, event, self._clock.now(), self._ids.chance())
        was = live.execution.state
        live.execution = step.execution
        epoch = live.claim.epoch
        for recorded in step.recorded:
            self._records.append(NodeRecord(live.id, epoch, recorded))
            if recorded.run.state.final and len(recorded.element) <= live.execution.nodes[recorded.node].rank:
                live.ended += 1
                live.failed += recorded.run.state is NodeState.FAILED
        if step.recorded or step.effects or was is not step.execution.state:
            self._changed[live.id] = live
        for effect in step.effects:
            match effect:
                case Plan():
                    self._to_plan[live.id] = live
                case SetTimer(node, element, due_at):
                    self._timers.set(Timer(due_at, live.id, node, element))
                case CancelSegments():
                    self._to_cancel.append((live.id, epoch))
                case Finish():
                    self._finished.append(live)
                    self._tell_parent(live)

    # -- committing, and what follows

    def _settle(self) -> None:
        """Commit, carry out, and again while carrying out made something new to commit."""
        while True:
            self._commit()
            self._finish()
            planned = self._plan()
            if not planned and not self._records and not self._children:
                break
        if self._received:
            received, self._received = self._received, {}
            self._executor.acknowledge(received)

    def _commit(self) -> None:
        now_s = self._clock.monotonic_s()
        now = self._clock.now()
        changes = []
        for live in self._changed.values():
            final = live.execution.state.final
            if not final and live.execution.state is live.claim.state and now_s - live.told_at_s < _TELL_EVERY_S:
                continue
            live.told_at_s = now_s
            changes.append(self._change(live, now))
        if not (changes or self._records or self._children or self._commands_done):
            return
        self._store.commit(
            Commit(
                engine_id=self.engine_id,
                nodes=self._records,
                executions=changes,
                children=self._children,
                commands=self._new_commands,
                commands_done=self._commands_done,
            )
        )
        if self._changed:
            self._notifier.notify(EXECUTION_CHANNEL, [str(execution) for execution in self._changed])
        if self._children or self._new_commands:
            self._notifier.notify(ENGINE_CHANNEL, ["new"])
            # This engine is told too: what it wrote for others may be for itself.
            self.look_again = True
        self._records, self._children, self._commands_done, self._new_commands = [], [], [], []
        self._changed = {}

    def _change(self, live: Live, now: datetime) -> ExecutionChange:
        execution = live.execution
        totals = [runs.total() for runs in execution.nodes.values()]
        return ExecutionChange(
            id=live.id,
            epoch=live.claim.epoch,
            state=execution.state,
            started_at=execution.started_at,
            finished_at=execution.finished_at,
            cancel_requested_at=execution.cancel_requested_at,
            paused_at=execution.paused_at,
            waiting_for=live.waiting_for,
            error=execution.error,
            worked_s=live.worked(now),
            nodes_total=None if None in totals else sum(total or 0 for total in totals),
            nodes_ended=live.ended,
            nodes_failed=live.failed,
        )

    def _finish(self) -> None:
        if self._to_cancel:
            cancelled, self._to_cancel = self._to_cancel, []
            keys = []
            for execution, _ in cancelled:
                live = self.live.get(execution)
                if live is None:
                    continue
                for segment in list(live.flights):
                    live.flights.remove(segment)
                    key = live.keys.get(segment)
                    self._land(live, segment)
                    if key is not None and key not in self._tasks:
                        keys.append(key)
            self._executor.cancel(cancelled, keys)
        for live in self._finished:
            for segment in list(live.flights):
                live.flights.remove(segment)
                self._land(live, segment)
            self.live.pop(live.id, None)
            self._to_plan.pop(live.id, None)
        self._finished = []
        if self._to_release:
            released, self._to_release = self._to_release, []
            self._executor.release(released)

    # -- planning

    def _plan(self) -> bool:
        """Plan what may have become ready; True if anything new is to be committed for it."""
        waiting, self._to_plan = self._to_plan, {}
        parts: list[tuple[Segment, Part]] = []
        owners: dict[str, Live] = {}
        began = False
        limits = self._limits()
        for live in waiting.values():
            if live.execution.state.final or live.execution.paused_at is not None or live.id not in self.live:
                continue
            planned = plan(
                live.graph,
                live.execution,
                live.flights,
                self._costs.of(live.version.stored.id),
                limits,
                self._new_segment,
            )
            began = self._act(live, planned) or began
            for segment, part in self._parts(live, planned):
                parts.append((segment, part))
                owners[segment.id] = live
            live.note_work(self._clock.now())
        if parts:
            self._submit(parts, owners, limits)
        return began

    def _limits(self) -> Limits:
        limits = self._options.limits
        slots = self._executor.slots()
        if slots == limits.slots:
            return limits
        return Limits(slots=slots)

    def _new_segment(self) -> str:
        self._segments += 1
        return f"{self._name[-12:]}-{self._segments}"

    def _parts(self, live: Live, planned: Planned) -> list[tuple[Segment, Part]]:
        wanted = [
            element for segment in planned.segments for element in known_elements(live.execution, segment)
        ]
        loops = self._unfinished_loops(live, planned)
        outputs: dict[tuple[str, Element], Mapping[str, Any] | None] = {}
        if wanted or loops:
            wanted += [(node, (*element, turns - 1)) for (node, element), turns in loops.items()]
            for stored in self._store.outputs(live.id, dict.fromkeys(wanted)):
                done = stored.run.state is NodeState.COMPLETED
                outputs[stored.node, stored.element] = stored.outputs if done else None
        made = []
        for segment in planned.segments:
            known = [
                KnownOutput(live.version.index[node], element, outputs.get((node, element)))
                for node, element in known_elements(live.execution, segment)
            ]
            turns = [
                (live.version.index[member.span.node], element, count, dict(outputs[member.span.node, (*element, count - 1)] or {}))
                for member in segment.members
                for element in (member.span.elements() if loops else ())
                if (count := loops.get((member.span.node, element), 0))
            ]
            part = make_part(live.loaded, live.execution, segment, known, turns)
            live.flights.add(segment.id, segment.spans)
            made.append((segment, part))
        return made

    def _unfinished_loops(self, live: Live, planned: Planned) -> dict[tuple[str, Element], int]:
        found: dict[tuple[str, Element], int] = {}
        for segment in planned.segments:
            for member in segment.members:
                if live.graph.by_id[member.span.node].type != NodeKind.LOOP:
                    continue
                for element in member.span.elements():
                    run = live.execution.nodes[member.span.node].run(element)
                    turns = (run.sizes or {}).get("turns", 0) if run else 0
                    if turns:
                        found[member.span.node, element] = turns
        return found

    def _submit(self, parts: list[tuple[Segment, Part]], owners: Mapping[str, Live], limits: Limits) -> None:
        keys: dict[str, str] = {}
        for segment, _ in parts:
            keys |= {need: owners[segment.id].keys[need] for need in segment.needs if need in owners[segment.id].keys}
        tasks = bundle(self._name, parts, keys, limits, self._options.budget_s)
        for segment, _ in parts:
            live, key = owners[segment.id], keys[segment.id]
            live.keys[segment.id] = key
            self._tasks.setdefault(key, []).append((live.id, segment.id))
        self._executor.submit(tasks)

    # -- nodes the engine handles itself

    def _act(self, live: Live, planned: Planned) -> bool:
        if not planned.actions:
            return False
        wanted: dict[tuple[str, Element], None] = {}
        for node, element in planned.actions:
            for link in live.graph.links[node]:
                runs = live.execution.nodes[link.source]
                wanted |= dict.fromkeys((link.source, e) for e in runs.elements(element[: link.shared]))
        inputs = self._engine_inputs(live, list(wanted))
        for node, element in planned.actions:
            try:
                if live.graph.by_id[node].type == NodeKind.DELAY:
                    event = self._begin_delay(live, node, element, inputs)
                else:
                    event = self._begin_child(live, node, element, inputs)
            except WfError as error:
                described = {"type": type(error).__name__, "code": error.code, "message": str(error), "retryable": False}
                event = Refused(node, element, described)
            self._apply(live, event)
        return True

    def _engine_inputs(self, live: Live, wanted: Sequence[tuple[str, Element]]) -> EngineInputs:
        outputs: dict[tuple[str, Element], Mapping[str, Any] | None] = {}
        if wanted:
            for stored in self._store.outputs(live.id, wanted):
                done = stored.run.state is NodeState.COMPLETED
                outputs[stored.node, stored.element] = stored.outputs if done else None
        sizes = {name: runs.sizes for name, runs in live.execution.nodes.items()}
        return EngineInputs(live.graph, live.claim.parameters, outputs, sizes)

    def _begin_delay(self, live: Live, node: str, element: Element, inputs: EngineInputs) -> Event:
        found = live.graph.by_id[node]
        if "until" in found.inputs:
            until = datetime.fromisoformat(str(inputs.read(node, "until", element)))
        else:
            seconds = inputs.read(node, "seconds", element)
            if not isinstance(seconds, int | float) or isinstance(seconds, bool) or not 0 <= seconds < 1e10:
                raise WfError("delay_time", f"The delay {node} expects a number of seconds of 0 or more, got {seconds!r}.")
            until = self._clock.now() + timedelta(seconds=seconds)
        return Began(node, element, f"waits until {until:%Y-%m-%d %H:%M:%S} UTC", until)

    def _delay_over(self, live: Live, timer: Timer) -> Event:
        node, element = timer.node, timer.element
        found = live.graph.by_id[node]
        if "value" not in found.inputs:
            return TimerDue(node, element, {DEFAULT_PORT: _NOTHING})
        wanted = [
            (link.source, e)
            for link in live.graph.links[node]
            for e in live.execution.nodes[link.source].elements(element[: link.shared])
        ]
        inputs = self._engine_inputs(live, wanted)
        try:
            output = inputs.output(node, "value", element)
        except WfError as error:
            described = {"type": type(error).__name__, "code": error.code, "message": str(error), "retryable": False}
            return Refused(node, element, described)
        value = output.get("value")
        sizes = {DEFAULT_PORT: len(value)} if isinstance(value, list) and node in live.graph.sized else None
        return TimerDue(node, element, {DEFAULT_PORT: output}, sizes)

    def _begin_child(self, live: Live, node: str, element: Element, inputs: EngineInputs) -> Event:
        found = live.graph.by_id[node]
        name = str(found.config["workflow"])
        if live.claim.depth + 1 > MAX_DEPTH:
            raise WfError(
                "too_deep",
                f"Node {node} would start {name} at depth {live.claim.depth + 1}; at most {MAX_DEPTH} workflows may call each other.",
                "Look for a workflow that calls itself without an end.",
            )
        child = self._versions.named(live.claim.tenant_id, name, found.config.get("version"))
        given = {port: inputs.read(node, port, element) for port in found.inputs}
        parameters = bind(child.graph.parameters, given)
        self._children.append(
            (
                live.claim.tenant_id,
                NewExecution(
                    id=self._ids.new(),
                    version_id=child.stored.id,
                    workflow_name=child.stored.name,
                    parameters=parameters,
                    priority=live.claim.priority,
                    timeout_s=child.definition.policy.timeout_s,
                    parent=(live.id, node, element),
                    depth=live.claim.depth + 1,
                ),
            )
        )
        return Began(node, element, f"waits for a child execution of {name}")

    def _tell_parent(self, live: Live) -> None:
        """A child ends: whoever owns its parent finds that as a command, committed together with the end."""
        if live.claim.parent is None:
            return
        parent_id, node, element = live.claim.parent
        state = live.execution.state
        payload: dict[str, Any] = {"node": node, "element": list(element), "child": str(live.id), "state": state}
        payload |= {"version": str(live.claim.version_id), "parameters": dict(live.claim.parameters)}
        if state is not ExecutionState.COMPLETED:
            error = dict(live.execution.error or {})
            error.setdefault("type", "ChildEnded")
            error["message"] = f"The child execution {live.id} {state}: {error.get('message', '')}".rstrip(": ")
            payload["error"] = error
        self._new_commands.append(
            NewCommand(tenant_id=live.claim.tenant_id, execution_id=parent_id, kind="child_ended", payload=payload)
        )

    def _child_ended(self, parent: Live, command: Command) -> Event:
        payload: Mapping[str, Any] = command.payload
        node, element = str(payload["node"]), tuple(payload["element"])
        state = ExecutionState(payload["state"])
        if state is not ExecutionState.COMPLETED:
            return ChildEnded(node, element, state, error=payload.get("error"))
        child = self._versions.get(UUID(payload["version"]))
        result = child.graph.result
        stored = self._store.outputs(
            UUID(payload["child"]), [(name, None) for name in shape_sources(child.graph, result)]
        )
        inputs = EngineInputs(
            child.graph,
            payload["parameters"],
            {(run.node, run.element): run.outputs for run in stored},
            sizes_of_runs(child.graph, stored),
        )
        output = inputs.gathered(result)
        sizes = {DEFAULT_PORT: len(output["items"])} if output.get("kind") == "list" else None
        if isinstance(output.get("value"), list):
            sizes = {DEFAULT_PORT: len(output["value"])}
        return ChildEnded(node, element, state, outputs={DEFAULT_PORT: output}, sizes=sizes)


_NOTHING: Final = {"codec": "json", "size": 4, "digest": "74234e98afe7498fb5daf1f36ac2d78acc339464f950703b8c019892f982b90b", "value": None}


def _any_open(nodes: Mapping[str, NodeRuns], spans: Sequence[Span]) -> bool:
    for span in spans:
        runs = nodes[span.node]
        if runs.complete:
            continue
        known = runs.runs
        for element in span.elements():
            run = known.get(element)
            if run is None or not run.state.final:
                return True
    return False
