"""What one turn of an engine will commit, and what is to follow the commit."""

from __future__ import annotations

import math
from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

from wfplatform.core.event import CancelChild, CancelSegments, Finish, Plan, SetTimer, StopSegments
from wfplatform.core.execution import Execution, NodeState
from wfplatform.core.lifecycle import Transition
from wfplatform.core.ports import Asleep, Commit, ExecutionChange, NewCacheEntry, NewCommand, NodeRecord
from wfplatform.core.start import NewExecution
from wfplatform.engine.live import Live
from wfplatform.engine.timers import Timer, Timers

__all__ = ["Batch"]

_TELL_EVERY_S = 0.5
"""While an execution runs, its counters are written this often; its nodes and its standing are written at once."""


class Batch:
    """Grows while a turn takes in what happened; committed as one transaction.

    Args:
        timers: where effects set timers.
    """

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self.records: list[NodeRecord] = []
        self.changed: dict[UUID, Live] = {}
        self.taken: dict[UUID, Live] = {}
        self.children: list[tuple[UUID, NewExecution]] = []
        self.commands: list[NewCommand] = []
        self.commands_done: list[int] = []
        self.cache: list[NewCacheEntry] = []
        self.asleep: list[Asleep] = []
        self.to_plan: dict[UUID, Live] = {}
        self.to_cancel: list[Live] = []
        self.to_stop: list[Live] = []
        self.finished: list[Live] = []
        self._untold: dict[UUID, Live] = {}
        self._tell_at_s: float | None = None

    def note(self, live: Live, step: Transition) -> None:
        """Take up what the state machine decided."""
        before, live.execution = live.execution, step.execution
        epoch = live.claim.epoch
        for recorded in step.recorded:
            self.records.append(NodeRecord(live.id, epoch, recorded))
            run, element = recorded.run, recorded.element
            if recorded.outcome is not None and recorded.outcome.outputs and not recorded.outcome.worker:
                live.at_hand[recorded.node, element] = recorded.outcome.outputs
            if live.cache_keys and run.state.final and len(element) <= live.execution.nodes[recorded.node].rank:
                self._keep(live, recorded.node, element, recorded.outcome)
        if before.state.final and not live.execution.state.final:
            # It ended in this batch and goes on in it: somebody wants it to.
            self.finished = [one for one in self.finished if one is not live]
        paused = before.paused_at is not live.execution.paused_at
        told = before.mailbox is not live.execution.mailbox
        if step.recorded or step.effects or paused or told or before.state is not live.execution.state:
            self.changed[live.id] = live
        for effect in step.effects:
            match effect:
                case Plan():
                    self.to_plan[live.id] = live
                case SetTimer(node, element, due_at):
                    self._timers.set(Timer(due_at, live.id, node, element))
                case CancelSegments():
                    self.to_cancel.append(live)
                case StopSegments():
                    self.to_stop.append(live)
                case CancelChild(child):
                    self.commands.append(_cancel(live, child))
                case Finish():
                    self.finished.append(live)

    def let_go(self, live: Live, wake_at: datetime | None) -> None:
        """Nobody is to own an execution until it is due; what was not told of it so far is told now."""
        self.asleep.append(Asleep(live.id, live.claim.epoch, wake_at))
        self.changed[live.id] = live
        live.told_at_s = -math.inf

    def take(self, engine_id: UUID, now: datetime, now_s: float) -> Commit | None:
        """What is to be committed now; None if there is nothing. The batch is empty of it afterwards.

        `taken` are then the executions that are in it.
        """
        changed, self.changed = self.changed, {}
        changes = list(self._changes(changed, now, now_s))
        if not (changes or self.records or self.children or self.commands or self.commands_done):
            return None
        commit = Commit(
            engine_id=engine_id,
            nodes=self.records,
            executions=changes,
            children=self.children,
            commands=self.commands,
            commands_done=self.commands_done,
            cache=self.cache,
            asleep=self.asleep,
        )
        self.records, self.children, self.commands = [], [], []
        self.commands_done, self.cache, self.asleep = [], [], []
        self.taken = changed
        return commit

    def is_late(self, now_s: float) -> bool:
        """Whether counters that were kept back are to be written now."""
        return self._tell_at_s is not None and now_s >= self._tell_at_s

    @property
    def due_s(self) -> float | None:
        """When counters are to be written although nothing else happens, by the monotonic clock."""
        return self._tell_at_s

    @property
    def urgent(self) -> bool:
        """Whether anything waits for what is to be committed, or nothing is."""
        follows = self.to_plan or self.to_cancel or self.to_stop or self.finished
        return bool(follows or self.asleep or self.children or self.commands or self.commands_done or not self.records)

    def concerns(self, live: Live) -> bool:
        """Whether there is anything to be written of an execution, or to be planned."""
        return live.id in self.changed or live.id in self.to_plan

    @property
    def pending(self) -> bool:
        """Whether something waits to be committed."""
        return bool(self.records or self.changed or self.finished or self.children or self.commands)

    def _keep(self, live: Live, node: str, element: tuple[int, ...], outcome: Any) -> None:
        key = live.cache_keys.pop((node, element), None)
        if key is None or outcome is None or outcome.outputs is None or outcome.elsewhere:
            return
        cache = live.graph.by_id[node].policy.cache
        self.cache.append(
            NewCacheEntry(
                tenant_id=live.claim.tenant_id,
                key=key,
                execution_id=live.id,
                node=node,
                element=element,
                outputs=outcome.outputs,
                sizes=outcome.sizes,
                expires_s=cache.expires_s if cache else None,
            )
        )

    def _changes(self, changed: dict[UUID, Live], now: datetime, now_s: float) -> Iterable[ExecutionChange]:
        is_late = self.is_late(now_s)
        if is_late:
            # Whatever else happens: counters that were kept back get there.
            changed |= self._untold
        for live in changed.values():
            execution = live.execution
            told = live.to_tell()
            if (
                told == live.told
                and not execution.state.final
                and not is_late
                and now_s - live.told_at_s < _TELL_EVERY_S
            ):
                self._untold[live.id] = live
                continue
            self._untold.pop(live.id, None)
            live.told_at_s, live.told = now_s, told
            state, waiting_for, paused_at, cancel_requested_at, error, mailbox = told
            yield ExecutionChange(
                id=live.id,
                epoch=live.claim.epoch,
                state=state,
                started_at=execution.started_at,
                finished_at=execution.finished_at,
                cancel_requested_at=cancel_requested_at,
                paused_at=paused_at,
                waiting_for=waiting_for,
                error=error,
                worked_s=live.worked(now),
                nodes_total=_total(live),
                nodes_ended=sum(runs.ended for runs in execution.nodes.values()),
                nodes_failed=_failed(execution) if error is not None else 0,
                mailbox=mailbox,
            )
        if not self._untold:
            self._tell_at_s = None
        elif self._tell_at_s is None or is_late:
            self._tell_at_s = now_s + _TELL_EVERY_S


def _cancel(live: Live, child: UUID) -> NewCommand:
    """A child ends with its parent."""
    return NewCommand(
        tenant_id=live.claim.tenant_id,
        execution_id=child,
        kind="cancel",
        created_by=f"execution {live.id}",
        told_by=live.id,
    )


def _total(live: Live) -> int | None:
    """How many elements the execution has, those that unwind included as far as there are any; None while that is not known."""
    total = 0
    unwinds = {node.id for node in live.graph.unwinding}
    for name, runs in live.execution.nodes.items():
        count = len(runs.runs) if name in unwinds else runs.total()
        if count is None:
            return None
        total += count
    return total


def _failed(execution: Execution) -> int:
    """How many of them failed."""
    return sum(run.state is NodeState.FAILED for runs in execution.nodes.values() for run in runs.runs.values())
