"""The engine's one thread: takes what happened, lets `core.lifecycle` decide, commits, and only then carries out what follows.

Everything between two commits is one batch; while a commit waits for the disk, the next batch gathers. Refuses to act on
anything that is not committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final
from uuid import UUID

from wfplatform.compiler.expand import known_sizes
from wfplatform.compiler.order import Loaded
from wfplatform.compiler.payload import Delivery, read_outcomes, unpack_delivery
from wfplatform.compiler.segment import Limits, Planned
from wfplatform.core.event import (
    CancelRequested,
    Claimed,
    DeadlinePassed,
    Event,
    Outcomes,
    PauseRequested,
    Refused,
    ResumeRequested,
    Retried,
    SegmentClosed,
    SegmentLost,
)
from wfplatform.core.execution import Element, NodeRuns, Outcome, Span
from wfplatform.core.lifecycle import advance
from wfplatform.core.ports import (
    CacheStore,
    Claim,
    Clock,
    Command,
    Commit,
    EngineStore,
    Ids,
    Notifier,
    VersionStore,
)
from wfplatform.engine.batch import Batch
from wfplatform.engine.cluster import ClusterBack, ClusterReport, Executor, OutcomesArrived, TaskLost
from wfplatform.engine.costs import Costs
from wfplatform.engine.dispatch import Dispatch
from wfplatform.engine.live import Live
from wfplatform.engine.overdue import Overdue
from wfplatform.engine.restore import restore
from wfplatform.engine.reuse import Reuse
from wfplatform.engine.timers import Timer, Timers
from wfplatform.engine.versions import Versions
from wfplatform.engine.waits import CHILD_ENDED, Waits, described
from wfplatform.errors import WfError

__all__ = ["ENGINE_CHANNEL", "EXECUTION_CHANNEL", "EngineOptions", "Orchestrator"]

logger = logging.getLogger(__name__)

ENGINE_CHANNEL: Final = "wfp_engine"
EXECUTION_CHANNEL: Final = "wfp_execution"
_SUSPECTS: Final = 8
"""When a worker dies before it said which segments it had begun, so many of its first ones are run again on their own."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOptions:
    """How an engine works.

    Args:
        max_executions: executions with work on the cluster at the same moment; more wait their turn.
        claim_at_once: taken in one transaction.
        budget_s: time after which a segment of several nodes gives the rest back.
        grace_s: time a cancelled or timed-out node has to clean up, as workers know it.
    """

    max_executions: int = 1000
    claim_at_once: int = 200
    budget_s: float = 1.0
    grace_s: float = 5.0
    limits: Limits = field(default_factory=Limits)


class Orchestrator:
    """One engine.

    Args:
        engine_id: its lease.
        store: where executions are claimed and committed.
        versions: published workflows.
        cache: results of earlier executions.
        publish: puts a packed version into the artifact storage under its digest, where workers find it.
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
        cache: CacheStore,
        publish: Callable[[str, bytes], None],
        costs: Costs,
        executor: Executor,
        clock: Clock,
        ids: Ids,
        notifier: Notifier,
        options: EngineOptions,
    ) -> None:
        self.engine_id: Final = engine_id
        self.live: dict[UUID, Live] = {}
        self._store = store
        self._versions = Versions(versions, publish)
        self._costs = costs
        self._executor = executor
        self._clock = clock
        self._ids = ids
        self._notifier = notifier
        self._options = options
        self._timers = Timers()
        self._batch = Batch(self._timers)
        self._waits = Waits(store, self._versions, clock, ids)
        self._reuse = Reuse(cache, store)
        self._overdue = Overdue(grace_s=options.grace_s)
        self._dispatch = Dispatch(
            engine_id.hex,
            store=store,
            executor=executor,
            costs=costs,
            limits=options.limits,
            budget_s=options.budget_s,
        )
        self._unsent: Commit | None = None
        self._received: dict[tuple[str, str], list[int]] = {}
        self._look_again = False
        self._queues: dict[str, dict[UUID, Live]] = {}

    # -- one turn

    def turn(self, reports: Sequence[ClusterReport] = (), *, look: bool = False) -> bool:
        """Take in reports and whatever is due; look into the database if told.

        Returns:
            whether there may be more to do at once.

        Raises:
            ConflictError: code `fenced`; another engine has taken over and nothing of this turn was written.
            UnreachableError: the database does not answer; what was to be committed is kept for the next turn.
        """
        self._settle_unsent()
        self._take(reports)
        now = self._clock.now()
        for timer in self._timers.due(now, 1000):
            self._wake(timer)
        look, self._look_again = look or self._look_again, False
        claimed = self._look() if look else 0
        self._check_deadlines(now)
        self._settle()
        return self._look_again or claimed >= self._options.claim_at_once

    @property
    def next_timer_at(self) -> datetime | None:
        """When a waiting element is due, or None."""
        return self._timers.next_at

    @property
    def busy(self) -> int:
        """Executions with work on the cluster."""
        return sum(1 for live in self.live.values() if len(live.flights))

    def stuck_workers(self) -> set[str]:
        """Workers to be ended, because an attempt on them should long be over and its worker could not do it itself."""
        return self._overdue.workers(self._clock.monotonic_s())

    def release_all(self) -> None:
        """Give all executions back, for others to claim; used at a clean end."""
        self._store.commit(Commit(engine_id=self.engine_id, released=list(self.live)))
        self._dispatch.cancel(list(self.live.values()))
        if self.live:
            # Another engine need not wait for its next look.
            self._notifier.notify(ENGINE_CHANNEL, ["released"])
        self.live.clear()

    # -- what comes in

    def _take(self, reports: Iterable[ClusterReport]) -> None:
        arrived: dict[UUID, list[tuple[Delivery, str]]] = {}
        lost: list[TaskLost] = []
        for report in reports:
            match report:
                case OutcomesArrived(body):
                    message = unpack_delivery(body)
                    self._received.setdefault((message.worker, message.stream), []).append(message.number)
                    for delivery in message.deliveries:
                        arrived.setdefault(delivery.execution, []).append((delivery, message.worker))
                case TaskLost():
                    lost.append(report)
                case ClusterBack():
                    self._batch.to_plan |= self.live
        for execution, deliveries in arrived.items():
            live = self.live.get(execution)
            if live is not None:
                self._deliver(live, deliveries)
            for delivery, _ in deliveries:
                if delivery.closed:
                    self._overdue.closed(execution, delivery.segment)
        # Afterwards: what a worker told before it died came before its death.
        self._lose(lost)

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
            live.begun.add(delivery.segment)
        if outcomes:
            self._overdue.see(live.id, live.graph.by_id, outcomes, self._clock.monotonic_s())
            self._costs.see(live.version.stored.id, tuple(outcomes))
            self._apply(live, Outcomes(tuple(outcomes)))
        limited = live.limited
        for segment in closed:
            spans = self._dispatch.land(live, segment)
            live.begun.discard(segment)
            if not spans or live.execution.state.final:
                continue
            if limited or _any_open(live.execution.nodes, spans):
                self._apply(live, SegmentClosed(segment, spans))
        live.note_work(self._clock.now())

    def _lose(self, reports: Sequence[TaskLost]) -> None:
        """Tasks will not end. Suspected is what had begun; if that is not known, the first ones of those lost together."""
        lost: list[tuple[TaskLost, Live, str, tuple[Span, ...], bool]] = []
        for report in reports:
            segments = self._dispatch.lost(report.key)
            for execution, segment in sorted(segments, key=lambda one: _number(one[1])):
                live = self.live.get(execution)
                spans = self._dispatch.land(live, segment) if live is not None else ()
                if live is None or not spans:
                    continue
                lost.append((report, live, segment, spans, segment in live.begun))
                live.begun.discard(segment)
        known = {report.worker for report, _, _, _, begun in lost if begun and not report.blameless}
        unknown = 0
        for report, live, segment, spans, begun in lost:
            suspected = begun and not report.blameless
            if not report.blameless and report.worker not in known and unknown < _SUSPECTS:
                unknown += 1
                suspected = True
            # A task that fails without its worker (its inputs cannot be fetched or opened there) does so by itself.
            began = begun or not report.worker
            self._lose_segment(live, report, segment, spans, began=began, suspected=suspected)

    def _lose_segment(
        self, live: Live, report: TaskLost, segment: str, spans: tuple[Span, ...], *, began: bool, suspected: bool
    ) -> None:
        logger.warning(
            "segment lost",
            extra={
                "execution": str(live.id),
                "segment": segment,
                "worker": report.worker,
                "reason": report.reason,
                "suspected": suspected,
            },
        )
        late = self._overdue.lost(live.id, segment, self._clock.monotonic_s(), self._clock.now())
        if late is not None:
            self._apply(live, Outcomes((late,)))
        if not live.execution.state.final:
            event = SegmentLost(
                segment, spans, report.worker, report.reason, started=began, blameless=not suspected
            )
            self._apply(live, event)
        live.note_work(self._clock.now())

    def _wake(self, timer: Timer) -> None:
        live = self.live.get(timer.execution)
        if live is not None:
            self._apply(live, self._waits.over(live, timer))

    def _look(self) -> int:
        """Fetch what users and other engines want, and claim what is to run."""
        for command in self._store.commands(self.engine_id, limit=1000):
            self._command(command)
        room = self._options.max_executions - self.busy
        if room <= 0:
            return 0
        claims = self._store.claim(self.engine_id, limit=min(room, self._options.claim_at_once))
        for claim in claims:
            self._adopt(claim)
        # Whatever still runs for the engine before this one is refused when it ends: it only holds a place.
        stale = [(claim.id, claim.epoch - 1) for claim in claims if claim.epoch > 1]
        if stale:
            self._executor.cancel(stale, [])
        return len(claims)

    def _adopt(self, claim: Claim) -> None:
        """An execution is this engine's now."""
        version = self._versions.get(claim.version_id)
        refused: WfError | None = None
        sizes: Mapping[str, Sequence[tuple[Element, int]]] = {}
        try:
            sizes = known_sizes(version.graph, claim.parameters)
        except WfError as error:
            refused = error
        execution = restore(claim, version.graph, sizes)
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
            told_at_s=self._clock.monotonic_s(),
        )
        self.live[claim.id] = live
        if refused is not None:
            self._apply(live, Claimed())
            self._apply(live, Refused(live.graph.nodes[0].id, (), described(refused)))
            return
        self._apply(live, Claimed(sizes))
        if claim.cancel_requested_at is not None:
            self._apply(live, CancelRequested())

    def _command(self, command: Command) -> None:
        live = self.live.get(command.execution_id)
        self._batch.commands_done.append(command.id)
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
            case _ if command.kind == CHILD_ENDED:
                event = self._waits.child_ended(command)
            case _:
                logger.warning("unknown command", extra={"kind": command.kind, "command": command.id})
                return
        self._apply(live, event)

    def _check_deadlines(self, now: datetime) -> None:
        for live in list(self.live.values()):
            if live.working_since_at is not None and live.worked(now) > live.claim.timeout_s:
                self._apply(live, DeadlinePassed(live.claim.timeout_s))

    # -- deciding, committing, and what follows

    def _apply(self, live: Live, event: Event) -> None:
        """Let the state machine decide, and note what is to be committed and done."""
        ended = live.execution.state.final
        self._batch.note(
            live, advance(live.execution, live.graph, event, self._clock.now(), self._ids.chance())
        )
        if live.execution.state.final and not ended:
            self._waits.tell_parent(live, self._batch)

    def _settle(self) -> None:
        """Commit, carry out, and again while carrying out made something new to commit."""
        while True:
            self._unsent = self._batch.take(self.engine_id, self._clock.now(), self._clock.monotonic_s())
            self._settle_unsent()
            if not self._follow():
                break
        if self._received:
            received, self._received = self._received, {}
            self._executor.acknowledge(received)

    def _settle_unsent(self) -> None:
        """Write what is to be written; if that fails it stays, and the same is written again."""
        if self._unsent is None:
            return
        commit = self._unsent
        self._store.commit(commit)
        self._unsent = None
        changed, self._batch.changed = self._batch.changed, {}
        if changed:
            told = [f"{execution} {live.execution.state}" for execution, live in changed.items()]
            self._notifier.notify(EXECUTION_CHANNEL, told)
        if commit.children or commit.commands:
            self._notifier.notify(ENGINE_CHANNEL, ["new"])
            # What was written for others may be for this engine.
            self._look_again = True

    def _follow(self) -> bool:
        """Carry out what was committed; True if that made something new to commit."""
        batch = self._batch
        cancelled, batch.to_cancel = batch.to_cancel, []
        self._dispatch.cancel(cancelled)
        if cancelled:
            self._overdue.cancelled((live.id for live in cancelled), self._clock.monotonic_s())
        finished, batch.finished = batch.finished, []
        for live in finished:
            for segment in list(live.flights):
                self._dispatch.land(live, segment)
            self.live.pop(live.id, None)
            batch.to_plan.pop(live.id, None)
            self._queues.get(live.version.stored.name, {}).pop(live.id, None)
            self._admit(live)
        self._plan()
        self._dispatch.release()
        return batch.pending

    def _held(self, live: Live) -> bool:
        """Whether an execution that has not begun must wait because its workflow runs often enough."""
        most = live.version.definition.policy.max_executions
        if most is None or live.admitted:
            return False
        name = live.version.stored.name
        others = [other for other in self.live.values() if other.version.stored.name == name]
        if sum(other.admitted for other in others) < most:
            live.admitted = True
            return False
        self._queues.setdefault(name, {})[live.id] = live
        live.held_by = f"{most} executions of {name} run, which is as many as it allows"
        self._batch.changed[live.id] = live
        return True

    def _admit(self, finished: Live) -> None:
        """One has ended: the next of its workflow may begin."""
        queue = self._queues.get(finished.version.stored.name)
        if queue:
            live = queue.pop(next(iter(queue)))
            live.held_by = ""
            self._batch.to_plan[live.id] = live

    def _plan(self) -> None:
        """Plan what may have become ready and hand it over."""
        waiting, self._batch.to_plan = self._batch.to_plan, {}
        planned: list[tuple[Live, Planned]] = []
        for live in waiting.values():
            if live.execution.state.final or live.execution.paused_at is not None or live.id not in self.live:
                continue
            if self._held(live):
                continue
            one = self._dispatch.plan(live)
            hits = self._reuse.hits(live, one)
            for event in hits:
                self._apply(live, event)
            if hits:
                # What hangs on them can now be planned with them; that comes when they are committed.
                self._batch.to_plan[live.id] = live
                continue
            if one.actions:
                for event in self._waits.begin(live, one.actions, self._batch):
                    self._apply(live, event)
            planned.append((live, one))
        try:
            self._dispatch.submit(planned)
        except WfError:
            self._batch.to_plan |= {live.id: live for live, _ in planned}
            raise
        for live, _ in planned:
            live.note_work(self._clock.now())


def _number(segment: str) -> int:
    """The place of a segment in the order in which segments were made."""
    return int(segment.rpartition("-")[2])


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
