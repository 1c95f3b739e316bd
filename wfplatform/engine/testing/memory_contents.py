"""What a store in memory holds, and how records, commands and changes are written into it.

Refuses: judging who may write; the store has done that, and holds its lock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from uuid import UUID

from wfplatform.core.event import Recorded
from wfplatform.core.execution import Element, ExecutionState, NodeState, Outcome, OutcomeKind, Run, Signal
from wfplatform.core.ports import (
    CachedResult,
    Command,
    ExecutionChange,
    NewCacheEntry,
    NewCommand,
    StoredVersion,
)
from wfplatform.core.record import AttemptRecord, ExecutionRecord, LogRecord
from wfplatform.core.start import NewExecution

__all__ = ["MemoryContents", "StoredCommand", "StoredElement"]

_TIMEOUT: Final = frozenset({"timeout", "node_timeout", "timed_out"})


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredElement:
    """What is recorded of one element: its standing, and the outcome a worker sent of it (bodies taken out)."""

    run: Run
    epoch: int
    outcome: Outcome | None
    finished_at: datetime | None = None
    progress: tuple[float, str] | None = None
    dead_at: datetime | None = None
    discarded: Mapping[str, Any] | None = None


@dataclass(slots=True, kw_only=True)
class StoredCommand:
    """A command and whether it is done."""

    command: Command
    done: bool = False


class MemoryContents:
    """All that is stored.

    Args:
        now: the present instant, aware UTC.
    """

    def __init__(self, now: Callable[[], datetime]) -> None:
        self.now: Final = now
        self.began_at = now()
        """When the transaction began that writes now."""
        self.executions: dict[UUID, ExecutionRecord] = {}
        self.asleep: set[UUID] = set()
        self.mailboxes: dict[UUID, tuple[Signal, ...]] = {}
        self.elements: dict[UUID, dict[tuple[str, Element], StoredElement]] = {}
        self.attempts: dict[tuple[UUID, str, Element, int], AttemptRecord] = {}
        self.lines: dict[UUID, dict[tuple[Any, ...], LogRecord]] = {}
        self.artifacts: dict[tuple[UUID, str, str], tuple[str | None, bytes | None]] = {}
        self.commands: dict[int, StoredCommand] = {}
        self.cache: dict[tuple[UUID, str], tuple[CachedResult, datetime | None]] = {}
        self.left: dict[tuple[UUID, str, str], tuple[UUID, datetime]] = {}
        self.keyed: dict[tuple[UUID, str, str], UUID] = {}
        self.versions: dict[UUID, StoredVersion] = {}
        self.current: dict[tuple[UUID, str], UUID] = {}
        self.code: dict[tuple[UUID, str], bytes] = {}
        self.costs: dict[UUID, dict[str, tuple[float, int]]] = {}

    def keep(self, entry: NewCacheEntry) -> None:
        """Keep a result for later executions."""
        until = None if entry.expires_s is None else self.now() + timedelta(seconds=entry.expires_s)
        result = CachedResult(entry.outputs, entry.sizes, entry.execution_id)
        self.cache[entry.tenant_id, entry.key] = (result, until)
        workflow = self.executions[entry.execution_id].workflow_name
        self.left[entry.tenant_id, workflow, entry.node] = (entry.execution_id, self.now())

    def add(self, tenant_id: UUID, new: NewExecution) -> None:
        """Insert a pending execution, unless it is there, or another under its key."""
        if new.idempotency_key is not None:
            key = (tenant_id, new.workflow_name, new.idempotency_key)
            if self.keyed.setdefault(key, new.id) != new.id:
                return
        now = self.now()
        self.executions.setdefault(
            new.id,
            ExecutionRecord(
                id=new.id,
                tenant_id=tenant_id,
                version_id=new.version_id,
                workflow_name=new.workflow_name,
                state=ExecutionState.PENDING,
                priority=new.priority,
                parameters=new.parameters,
                tags=new.tags,
                created_at=now,
                created_by=new.created_by,
                started_at=None,
                finished_at=None,
                updated_at=now,
                engine_id=None,
                epoch=0,
                cancel_requested_at=None,
                cancel_requested_by=None,
                paused_at=None,
                paused_by=None,
                waiting_for="",
                error=None,
                timeout_s=new.timeout_s,
                worked_s=0.0,
                nodes_total=None,
                nodes_ended=0,
                nodes_failed=0,
                parent=new.parent,
                depth=new.depth,
                idempotency_key=new.idempotency_key,
                refresh=new.refresh,
                late_at=None if new.late_after_s is None else now + timedelta(seconds=new.late_after_s),
                hook=new.hook,
            ),
        )

    def update(self, execution_id: UUID, **changes: Any) -> ExecutionRecord:
        """Change an execution."""
        row = replace(self.executions[execution_id], updated_at=self.now(), **changes)
        self.executions[execution_id] = row
        return row

    def record(self, execution_id: UUID, epoch: int, recorded: Recorded) -> None:
        """Write down what became of an element."""
        node, element, run, outcome, _ = recorded
        elements = self.elements.setdefault(execution_id, {})
        before = elements.get((node, element))
        finished_at = None
        if outcome is not None:
            self._log(execution_id, outcome)
            if outcome.kind is OutcomeKind.FAILED and run.state is not NodeState.FAILED:
                self._attempt(execution_id, outcome, outcome.attempt, _ended_as(outcome.error))
            outcome = self._stored(execution_id, outcome)
            finished_at = _instant(outcome.finished_at)
        elif run.state is NodeState.PENDING:
            self._reset(execution_id, node, element, before, run)
        elif before is not None:
            outcome, finished_at = before.outcome, before.finished_at
            stopped = run.state in (NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED)
            if stopped and finished_at is None and outcome is not None and outcome.started_at is not None:
                finished_at = self.now()
        still_dead = run.is_dead and before is not None and before.run.is_dead and before.run.attempt == run.attempt
        dead_at = before.dead_at if still_dead and before is not None else self.began_at if run.is_dead else None
        elements[node, element] = StoredElement(
            run=run,
            epoch=epoch,
            outcome=outcome,
            finished_at=finished_at,
            progress=outcome.progress if outcome else None,
            dead_at=dead_at,
            discarded=before.discarded if still_dead and before is not None else None,
        )

    def _reset(self, execution_id: UUID, node: str, element: Element, before: StoredElement | None, run: Run) -> None:
        told = Outcome(node, element, run.attempt, OutcomeKind.STARTED)
        if before is not None and before.run.state in (NodeState.RUNNING, NodeState.FAILED):
            if before.run.attempt > 0 and not before.run.upstream:
                failed = before.run.state is NodeState.FAILED
                state = _ended_as(before.run.error) if failed else "lost"
                told = (before.outcome or told)._replace(error=before.run.error)
                self._attempt(execution_id, told, before.run.attempt, state)
        elif run.lost > (before.run.lost if before else 0):
            self._attempt(execution_id, told, run.attempt, "lost")

    def _attempt(self, execution_id: UUID, outcome: Outcome, attempt: int, state: str) -> None:
        record = AttemptRecord(
            execution_id=execution_id,
            node=outcome.node,
            element=outcome.element,
            attempt=attempt,
            state=state,
            worker=outcome.worker,
            started_at=_instant(outcome.started_at),
            finished_at=_instant(outcome.finished_at) or self.now(),
            error=outcome.error,
        )
        self.attempts.setdefault((execution_id, outcome.node, outcome.element, attempt), record)

    def _log(self, execution_id: UUID, outcome: Outcome) -> None:
        lines = self.lines.setdefault(execution_id, {})
        for number, (at, level, logger, message) in enumerate(outcome.logs):
            instant = _instant(at)
            assert instant is not None
            line = LogRecord(instant, outcome.node, outcome.element, outcome.attempt, number, level, logger, message)
            lines.setdefault(line[:5], line)

    def _stored(self, execution_id: UUID, outcome: Outcome) -> Outcome:
        if outcome.outputs is None:
            return outcome._replace(logs=())
        tenant_id = self.executions[execution_id].tenant_id
        stored = {}
        for port, entry in outcome.outputs.items():
            if "body" in entry or "location" in entry:
                key = (tenant_id, entry["digest"], entry["codec"])
                self.artifacts.setdefault(key, (entry.get("location"), entry.get("body")))
            stored[port] = {name: item for name, item in entry.items() if name != "body"}
        return outcome._replace(logs=(), outputs=stored)

    def full(self, tenant_id: UUID, element: StoredElement) -> Mapping[str, Any] | None:
        """An element's outputs, bodies included."""
        if element.outcome is None or element.outcome.outputs is None:
            return None
        return {port: self._with_body(tenant_id, entry) for port, entry in element.outcome.outputs.items()}

    def _with_body(self, tenant_id: UUID, entry: Mapping[str, Any]) -> Mapping[str, Any]:
        if entry["codec"] == "tree":
            return {**entry, "items": [self._with_body(tenant_id, item) for item in entry["items"]]}
        _, body = self.artifacts.get((tenant_id, entry["digest"], entry["codec"]), (None, None))
        inline = "value" in entry or "location" in entry or body is None
        return entry if inline else {**entry, "body": body}

    def progress(self, execution_id: UUID, outcome: Outcome) -> None:
        """Write down how far a running element is."""
        self._log(execution_id, outcome)
        elements = self.elements.get(execution_id, {})
        known = elements.get((outcome.node, outcome.element))
        if known and known.run.state is NodeState.RUNNING and known.run.attempt == outcome.attempt:
            progress = outcome.progress or known.progress
            elements[outcome.node, outcome.element] = replace(known, progress=progress)

    def tell(self, new: NewCommand) -> None:
        """Insert a command for an execution that is open, unless the same one waits already."""
        row = self.executions.get(new.execution_id)
        open_ones = [stored.command for stored in self.commands.values() if not stored.done]
        known = any(
            (found.execution_id, found.kind, found.payload) == (new.execution_id, new.kind, new.payload)
            for found in open_ones
        )
        if row is not None and not row.state.final and not known:
            self.ask(new)

    def ask(self, new: NewCommand) -> int:
        """Insert a command; returns its id."""
        number = len(self.commands) + 1
        command = Command(
            id=number,
            execution_id=new.execution_id,
            kind=new.kind,
            payload=new.payload,
            created_by=new.created_by,
        )
        self.commands[number] = StoredCommand(command=command)
        return number

    def command_done(self, command_id: int) -> None:
        """Close a command."""
        stored = self.commands.get(command_id)
        if stored is None or stored.done:
            return
        stored.done = True
        match stored.command.kind:
            case "cancel":
                self.update(stored.command.execution_id, cancel_requested_by=stored.command.created_by)
            case "pause":
                self.update(stored.command.execution_id, paused_by=stored.command.created_by)
            case "resume":
                self.update(stored.command.execution_id, paused_by=None)
            case _:
                return

    def change(self, change: ExecutionChange) -> None:
        """Write down the new standing of an execution."""
        self.mailboxes[change.id] = change.mailbox
        ended: dict[str, Any] = {"engine_id": None} if change.state.final else {}
        self.update(
            change.id,
            state=change.state,
            started_at=change.started_at,
            finished_at=change.finished_at or (self.executions[change.id].finished_at if change.state.final else None),
            cancel_requested_at=change.cancel_requested_at,
            paused_at=change.paused_at,
            waiting_for=change.waiting_for,
            error=change.error,
            worked_s=change.worked_s,
            nodes_total=change.nodes_total,
            nodes_ended=change.nodes_ended,
            nodes_failed=change.nodes_failed,
            **ended,
        )
        if change.state.final:
            for stored in self.commands.values():
                if stored.command.execution_id == change.id and stored.command.kind != "retry":
                    stored.done = True


def _instant(at_s: float | None) -> datetime | None:
    return None if at_s is None else datetime.fromtimestamp(at_s, UTC)


def _ended_as(error: Mapping[str, Any] | None) -> str:
    return "timed_out" if (error or {}).get("code") in _TIMEOUT else "failed"
