"""The engine's one thread: takes what happened, lets `core.lifecycle` decide, commits, and only then carries out what follows.

Everything between two commits is one batch; while a commit waits for the disk, the next batch gathers. Refuses to act on
anything that is not committed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import UUID

from wfplatform.compiler.payload import stage_of
from wfplatform.core.announcement import ENGINE_CHANNEL
from wfplatform.core.event import DeadlinePassed, Event, Finish, GivenBack, Rejected, Retried
from wfplatform.core.late import LateStore
from wfplatform.core.lifecycle import advance
from wfplatform.core.ports import (
    CacheStore,
    Claim,
    Clock,
    Commit,
    EngineStore,
    Ids,
    Notifier,
    VersionStore,
)
from wfplatform.core.slot import SharingStore
from wfplatform.engine.adoption import Adoption, rejection
from wfplatform.engine.batch import Batch
from wfplatform.engine.breakers import Breakers
from wfplatform.engine.cluster import ClusterReport, Executor
from wfplatform.engine.commits import Commits
from wfplatform.engine.costs import Costs
from wfplatform.engine.dispatch import Dispatch
from wfplatform.engine.gates import Gates
from wfplatform.engine.hooks import Hooks
from wfplatform.engine.intake import Intake
from wfplatform.engine.lateness import Lateness
from wfplatform.engine.linger import Linger
from wfplatform.engine.live import Live
from wfplatform.engine.options import EngineOptions
from wfplatform.engine.overdue import MARGIN_S, Overdue
from wfplatform.engine.planning import Planning
from wfplatform.engine.reuse import Reuse
from wfplatform.engine.sleepers import AHEAD_S, Sleepers
from wfplatform.engine.timers import Timer, Timers
from wfplatform.engine.versions import Versions
from wfplatform.engine.vigil import Vigil
from wfplatform.engine.waits import Waits
from wfplatform.engine.wishes import Wishes
from wfplatform.errors import PlatformError

__all__ = ["Orchestrator"]

logger = logging.getLogger(__name__)

_COMMANDS_AT_ONCE: Final = 1000
_TIMERS_AT_ONCE: Final = 1000
_WAKE_AGAIN_S: Final = 1.0


class Orchestrator:
    """One engine.

    Args:
        engine_id: its lease.
        store: where executions are claimed and committed.
        late: knows which are late.
        versions: published workflows.
        cache: results of earlier executions.
        sharing: what executions share, and who holds it.
        publish: puts a packed version into the artifact storage under its digest, where workers find it.
        costs: what nodes take.
        executor: the cluster.
        clock: tells the time.
        ids: makes identifiers.
        notifier: tells who watches.
        options: how it works.
        load: opens plain data and arrays in the artifact storage, for their lengths; None = such are not opened.
    """

    def __init__(
        self,
        *,
        engine_id: UUID,
        store: EngineStore,
        late: LateStore,
        versions: VersionStore,
        cache: CacheStore,
        sharing: SharingStore,
        publish: Callable[[str, bytes], None],
        costs: Costs,
        executor: Executor,
        clock: Clock,
        ids: Ids,
        notifier: Notifier,
        options: EngineOptions,
        load: Callable[[Mapping[str, Any]], Any] | None = None,
    ) -> None:
        self.engine_id: Final = engine_id
        self.live: dict[UUID, Live] = {}
        self._store = store
        self._costs = costs
        self._executor = executor
        self._clock = clock
        self._ids = ids
        self._notifier = notifier
        self._options = options
        self._timers = Timers()
        self._batch = Batch(self._timers)
        self._commits = Commits(engine_id, self._batch, self.live, store, notifier, clock, self._reject)
        loaded = Versions(versions, publish)
        self._adoption = Adoption(loaded, clock)
        self._waits = Waits(store, loaded, clock, ids, load)
        self._hooks = Hooks(ids)
        self._lateness = Lateness(engine_id, late, loaded, self._hooks, clock)
        self._overdue = Overdue(grace_s=options.grace_s)
        self._dispatch = Dispatch(
            engine_id.hex,
            store=store,
            executor=executor,
            costs=costs,
            limits=options.limits,
            budget_s=options.budget_s,
        )
        breakers = Breakers(sharing)
        self._intake = Intake(
            self.live,
            apply=self._apply,
            replan=lambda: self._batch.to_plan.update(self.live),
            dispatch=self._dispatch,
            overdue=self._overdue,
            breakers=breakers,
            costs=costs,
            clock=clock,
        )
        self._gates = Gates(
            engine_id,
            self.live,
            sharing=sharing,
            store=store,
            breakers=breakers,
            notifier=notifier,
            clock=clock,
            apply=self._apply,
        )
        self._planning = Planning(
            self.live,
            apply=self._apply,
            batch=self._batch,
            gates=self._gates,
            dispatch=self._dispatch,
            reuse=Reuse(cache, store),
            waits=self._waits,
            clock=clock,
        )
        self._linger = Linger(clock, options.linger_s)
        self._wishes = Wishes(self.live, self._adoption, self._waits, self._batch, self._apply)
        self._vigil = Vigil(self.live, sleep_after_s=options.sleep_after_s, stop_s=2 * (options.grace_s + MARGIN_S))
        self._sleepers = Sleepers()

    # -- one turn

    def turn(self, reports: Sequence[ClusterReport] = (), *, look: bool = False) -> bool:
        """Take in reports and whatever is due; look into the database if told.

        Returns:
            whether there may be more to do at once.

        Raises:
            ConflictError: code `fenced`; another engine has taken over and nothing of this turn was written.
            UnreachableError: the database does not answer; what was to be committed is kept for the next turn.
        """
        self._commits.write_unsent()
        self._intake.take(reports)
        now = self._clock.now()
        self._planning.wake()
        self._commits.wake()
        look = (
            look or self._commits.others_told or self._lateness.due(now) or (self._sleepers.due(now) and self._room > 0)
        )
        self._commits.others_told = False
        claimed = self._look() if look else 0
        if look:
            self._gates.look()
        if not look:
            self._adopt(())
        if self._lateness.tell():
            self._notifier.notify(ENGINE_CHANNEL, ["new"])
            self._commits.others_told = True
        # After the look: what was asleep until now is due at once.
        self._wake(self._timers.due(now, _TIMERS_AT_ONCE))
        self._look_round(now)
        if not self._linger.goes_on(urgent=self._batch.urgent or self._batch.is_late(self._clock.monotonic_s())):
            self._settle()
        return self._commits.others_told or claimed >= self._options.claim_at_once

    @property
    def patience_s(self) -> float | None:
        """Seconds until a turn is due although nothing comes in: to commit what lingers, to try again what failed; None: none."""
        now_s = self._clock.monotonic_s()
        times_s = (
            self._linger.until_s,
            self._vigil.next_s,
            self._batch.due_s,
            self._adoption.next_s,
            self._planning.next_s,
            self._commits.next_s,
        )
        due_s = [at_s for at_s in times_s if at_s is not None]
        return max(0.0, min(due_s) - now_s) if due_s else None

    @property
    def next_timer_at(self) -> datetime | None:
        """When a waiting element is due, an execution that nobody owns while it waits, or one is late; or None."""
        wake_at = self._sleepers.look_at if self._room else None
        times = (self._timers.next_at, self._gates.next_at, wake_at, self._lateness.next_at)
        return min((at for at in times if at is not None), default=None)

    @property
    def busy(self) -> int:
        """Executions with work on the cluster."""
        return sum(1 for live in self.live.values() if len(live.flights))

    @property
    def _room(self) -> int:
        """How many more executions may be taken."""
        return min(max(0, self._options.max_executions - self.busy), self._options.claim_at_once)

    def stuck_workers(self) -> set[str]:
        """Workers to be ended, because an attempt on them should long be over and its worker could not do it itself."""
        return self._overdue.workers(self._clock.monotonic_s())

    def release_all(self) -> None:
        """Commit what is known and give all executions back, for others to claim; used at a clean end."""
        self._commits.write()
        released = list(dict.fromkeys([*self.live, *self._adoption.held(), *self._commits.held()]))
        self._store.commit(Commit(engine_id=self.engine_id, released=released))
        self._dispatch.cancel(list(self.live.values()))
        if released:
            # Another engine need not wait for its next look.
            self._notifier.notify(ENGINE_CHANNEL, ["released"])
        self.live.clear()

    # -- what comes in

    def _wake(self, timers: Sequence[Timer]) -> None:
        due = [(live, timer) for timer in timers if (live := self.live.get(timer.execution)) is not None]
        try:
            events = self._waits.over(due)
        except PlatformError as error:
            logger.warning("elements cannot go on now", extra={"count": len(due), "reason": error.message})
            again_at = self._clock.now() + timedelta(seconds=_WAKE_AGAIN_S)
            for _, timer in due:
                self._timers.set(timer._replace(due_at=again_at))
            return
        for live, event in events:
            self._apply(live, event)

    def _look(self) -> int:
        """Fetch what users and other engines want, and claim what is to run."""
        found = self._store.look(self.engine_id, claims=self._room, commands=_COMMANDS_AT_ONCE, ahead_s=AHEAD_S)
        self._sleepers.seen(found.next_wake_at, self._clock.now())
        self._lateness.seen(found.next_late_at)
        claims = found.claims
        self._adopt(claims)
        for command in found.commands:
            self._wishes.follow(command)
        # Whatever still runs for the engine before this one is refused when it ends: it only holds a place.
        stale = [
            (claim.id, stage_of(claim.epoch - 1, unwinds=True))
            for claim in claims
            if claim.epoch > 1 and not claim.woken
        ]
        if stale:
            self._executor.cancel(stale, [])
        return len(claims)

    def _adopt(self, claims: Sequence[Claim]) -> None:
        """Executions are this engine's now."""
        for live, events, sound in self._adoption.adopt(claims):
            if sound:
                self.live[live.id] = live
            for event in events:
                self._apply(live, event)

    def _look_round(self, now: datetime) -> None:
        found = self._vigil.round(now, self._clock.monotonic_s())
        if found is None:
            return
        for live in found.shifted:
            self._batch.changed[live.id] = live
        for live in found.expired:
            self._apply(live, DeadlinePassed(live.timeout_s))
        for live in found.silent:
            self._dispatch.stop(live, wait=False)
            live.note_work(now)
            self._batch.to_plan[live.id] = live
        resting = [one for one in found.resting if not self._batch.concerns(one[0])]
        for live, wake_at in resting:
            # Until it is written that nobody owns it, no turn takes anything in.
            self._batch.let_go(live, wake_at)
            self._sleepers.put(wake_at)
            del self.live[live.id]
        if resting:
            self._timers.forget({live.id for live, _ in resting})

    # -- deciding, committing, and what follows

    def _apply(self, live: Live, event: Event) -> None:
        """Let the state machine decide, and note what is to be committed and done."""
        ended = live.execution.state.final
        now = self._clock.now()
        try:
            step = advance(live.execution, live.graph, event, now, self._ids.chance())
        except Exception as error:  # noqa: BLE001 - an execution that cannot be advanced must not stop the others
            event = rejection(live.claim, error, f"take in what happened to the execution {live.id}")
            step = advance(live.execution, live.graph, event, now)
        self._batch.note(live, step)
        taken_up_in_vain = isinstance(event, Retried) and not step.recorded
        if any(isinstance(effect, Finish) for effect in step.effects) and not taken_up_in_vain:
            self._hooks.tell_end(live, self._batch)
        if live.execution.state.final and not ended:
            self._waits.tell_parent(live, self._batch)

    def _reject(self, live: Live, event: Rejected) -> None:
        """An execution ends because what it came to cannot be recorded; its parent knows of no end before this one."""
        ended = live.execution.state.final
        self._apply(live, event)
        if ended:
            self._waits.tell_parent(live, self._batch)

    def _settle(self) -> None:
        """Commit, carry out, and again while carrying out made something new to commit."""
        while True:
            self._commits.write()
            if not self._follow():
                break
        if self._intake.received:
            received, self._intake.received = self._intake.received, {}
            self._executor.acknowledge(received)

    def _follow(self) -> bool:
        """Carry out what was committed; True if that made something new to commit."""
        batch = self._batch
        cancelled, batch.to_cancel = batch.to_cancel, []
        self._dispatch.cancel(cancelled)
        if cancelled:
            self._overdue.cancelled((live.id for live in cancelled), self._clock.monotonic_s())
        stopped, batch.to_stop = batch.to_stop, []
        for live in stopped:
            intended, live.intended = live.intended, []
            for one in intended:
                self._apply(live, GivenBack(one.id, one.spans))
            live.stopped_s = self._clock.monotonic_s()
            self._dispatch.stop(live)
            live.note_work(self._clock.now())
            self._overdue.cancelled([live.id], self._clock.monotonic_s())
        finished, batch.finished = batch.finished, []
        for live in finished:
            for segment in list(live.flights):
                self._dispatch.land(live, segment)
            self.live.pop(live.id, None)
            batch.to_plan.pop(live.id, None)
            self._gates.left(live)
        # While the cluster is away nothing is planned; when it is back, everything.
        more = not self._intake.away and self._planning.hand_out()
        self._dispatch.release()
        return batch.pending or more
