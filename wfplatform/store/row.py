"""What a commit says, turned into rows: records of one element folded into one, attempts and log lines told apart.

Refuses: deciding. What a record means was decided in `core.lifecycle`; here it is only written down.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple
from uuid import UUID

from wfplatform.core.event import Recorded
from wfplatform.core.execution import Element, NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.ports import Asleep, Commit, ExecutionChange, NewCacheEntry, NewCommand, NodeRecord
from wfplatform.core.start import NewExecution
from wfplatform.store.text import clean, clean_json, cut, exact_json

__all__ = [
    "TIMEOUT_CODES",
    "Artifact",
    "Folded",
    "Line",
    "asleep_rows",
    "cache_rows",
    "child_rows",
    "command_rows",
    "execution_rows",
    "fold",
    "node_row",
    "outputs_text",
]

_EVER_S: Final = 1000 * 365 * 86_400.0
"""A cached result that is kept longer than PostgreSQL counts years is kept as long as this."""

TIMEOUT_CODES: Final = frozenset({"timeout", "node_timeout", "timed_out"})


class Line(NamedTuple):
    """A log line; without an epoch when it was sent ahead of its outcome."""

    execution_id: UUID
    epoch: int | None
    outcome: Outcome
    number: int


class Artifact(NamedTuple):
    """A stored value that outputs refer to."""

    execution_id: UUID
    digest: str
    codec: str
    size_bytes: int
    location: str | None
    body: bytes | None


@dataclass(slots=True)
class Folded:
    """The records of a commit by how they are written.

    Args:
        fresh: elements of which nothing is stored.
        written: elements whose whole row is replaced.
        standing: elements that keep what a worker told of them.
        reset: elements that are pending again; what their row holds may have to be kept as an attempt.
        attempts: rows of tries that were followed by another one.
        trusted: nothing of it was found to be stored already.
    """

    fresh: list[NodeRecord] = field(default_factory=list)
    written: list[NodeRecord] = field(default_factory=list)
    standing: list[NodeRecord] = field(default_factory=list)
    reset: list[NodeRecord] = field(default_factory=list)
    attempts: list[dict[str, Any]] = field(default_factory=list)
    lines: list[Line] = field(default_factory=list)
    trusted: bool = True


def fold(commit: Commit, *, trusted: bool = True) -> Folded:
    """The commit's nodes and progress as rows.

    Args:
        trusted: whether records that call themselves fresh are believed. False after they were found not to be.
    """
    folded = Folded(trusted=trusted)
    latest: dict[tuple[UUID, str, Element], NodeRecord] = {}
    cleared: set[tuple[UUID, str, Element]] = set()  # elements that forget what a worker told of them
    for record in commit.nodes:
        execution_id, epoch, recorded = record
        node, element, run, outcome, _ = recorded
        key = (execution_id, node, element)
        before = latest.get(key)
        if outcome is not None:
            if outcome.logs:
                folded.lines += [Line(execution_id, epoch, outcome, n) for n in range(len(outcome.logs))]
            if outcome.kind is OutcomeKind.FAILED and run.state is not NodeState.FAILED:
                folded.attempts.append(
                    _attempt(execution_id, epoch, outcome, outcome.attempt, _ended_as(outcome.error))
                )
        elif run.state is NodeState.PENDING:
            cleared.add(key)
            if before is None:
                folded.reset.append(record)
            else:
                folded.attempts += _superseded(execution_id, epoch, before.recorded, run)
        if before is not None:
            kept = before.recorded.outcome if outcome is None and run.state is not NodeState.PENDING else outcome
            record = NodeRecord(execution_id, epoch, Recorded(node, element, run, kept, before.recorded.fresh))
        latest[key] = record
    for execution_id, outcome in commit.progress:
        folded.lines += [Line(execution_id, None, outcome, n) for n in range(len(outcome.logs))]
    for key, record in latest.items():
        recorded = record.recorded
        # COPY's columns leave out what the first record of an element hardly ever brings.
        if recorded.fresh and trusted and not _is_rare(recorded):
            folded.fresh.append(record)
        elif recorded.outcome is not None or key in cleared:
            folded.written.append(record)
        else:
            folded.standing.append(record)
    return folded


def _is_rare(recorded: Recorded) -> bool:
    """Progress; an end that is counted from the instant at which it is written; an edit."""
    has_progress = recorded.outcome is not None and recorded.outcome.progress is not None
    return has_progress or recorded.run.is_dead or recorded.run.edit is not None


def _superseded(execution_id: UUID, epoch: int, before: Recorded, run: Run) -> list[dict[str, Any]]:
    """What RESET does, for an element whose last standing is in the same commit."""
    told = before.outcome or Outcome(before.node, before.element, run.attempt, OutcomeKind.STARTED)
    standing = before.run
    if standing.state in (NodeState.RUNNING, NodeState.FAILED):
        if standing.attempt == 0 or standing.upstream:
            return []
        state = _ended_as(standing.error) if standing.state is NodeState.FAILED else "lost"
        told = told._replace(error=standing.error)
        return [_attempt(execution_id, epoch, told, standing.attempt, state)]
    if run.lost > standing.lost:
        return [_attempt(execution_id, epoch, told, run.attempt, "lost")]
    return []


def _ended_as(error: Mapping[str, Any] | None) -> str:
    return "timed_out" if (error or {}).get("code") in TIMEOUT_CODES else "failed"


def _attempt(execution_id: UUID, epoch: int, outcome: Outcome, attempt: int, state: str) -> dict[str, Any]:
    return {
        "execution_id": str(execution_id),
        "epoch": epoch,
        "node_id": outcome.node,
        "element": outcome.element,
        "attempt": attempt,
        "state": state,
        "worker": clean(outcome.worker),
        "segment": clean(outcome.segment),
        "started_at": outcome.started_at,
        "finished_at": outcome.finished_at,
        "cpu_s": outcome.cpu_s,
        "peak_memory_bytes": outcome.peak_memory_bytes,
        "error": clean_json(outcome.error),
    }


def outputs_text(execution_id: UUID, outputs: Mapping[str, Any], artifacts: list[Artifact]) -> str:
    """Outputs as the row holds them; bodies and locations go to `artifacts`, and so do values that JSON cannot say."""
    plain = True
    for entry in outputs.values():
        if "body" in entry:
            plain = False
        if "body" in entry or "location" in entry:
            artifacts.append(_artifact(execution_id, entry, entry.get("body")))
    text = exact_json(outputs) if plain else None
    if text is not None:
        return text
    stored = {}
    for port, entry in outputs.items():
        kept = {name: item for name, item in entry.items() if name != "body"}
        if "value" in kept and exact_json(kept["value"]) is None:
            artifacts.append(_artifact(execution_id, entry, json.dumps(kept.pop("value")).encode()))
        stored[port] = kept
    return json.dumps(stored, separators=(",", ":"))


def _artifact(execution_id: UUID, entry: Mapping[str, Any], body: bytes | None) -> Artifact:
    return Artifact(execution_id, entry["digest"], entry["codec"], entry["size"], entry.get("location"), body)


def node_row(record: NodeRecord, artifacts: list[Artifact]) -> dict[str, Any]:
    """A record as an object for `json_to_recordset`; what is absent is null."""
    execution_id, epoch, (node, element, run, outcome, _) = record
    row: dict[str, Any] = {
        "execution_id": str(execution_id),
        "epoch": epoch,
        "node_id": node,
        "element": element,
        "state": run.state,
        "attempt": run.attempt,
        "tries": run.tries,
        "lost": run.lost,
        "upstream": run.upstream,
        "alone": run.alone,
        "reason": clean(run.reason),
    }
    if run.verdict is not None:
        row["verdict"] = run.verdict
    if run.sizes is not None:
        row["sizes"] = clean_json(run.sizes)
    if run.due_at is not None:
        row["due_at"] = run.due_at.isoformat()
    if run.error is not None:
        row["error"] = clean_json(run.error)
    if run.reused_from is not None:
        row["reused_from"] = str(run.reused_from)
    if run.awaits is not None:
        row["awaits"] = clean_json(run.awaits)
    if run.edit is not None:
        row["edit"] = exact_json(run.edit)
    if outcome is not None:
        row["worker"] = clean(outcome.worker)
        row["segment"] = clean(outcome.segment)
        row["started_at"] = outcome.started_at
        row["finished_at"] = outcome.finished_at
        row["cpu_s"] = outcome.cpu_s
        row["peak_memory_bytes"] = outcome.peak_memory_bytes
        row["input_digest"] = outcome.input_digest
        if outcome.progress is not None:
            row["progress"] = outcome.progress[0]
            row["progress_message"] = cut(outcome.progress[1])
        if outcome.outputs is not None:
            row["outputs"] = outputs_text(execution_id, outcome.outputs, artifacts)
    return row


def execution_rows(changes: Iterable[ExecutionChange]) -> list[dict[str, Any]]:
    """The new standing of executions; the last one of each wins."""
    latest = {change.id: change for change in changes}
    return [
        {
            "id": str(change.id),
            "epoch": change.epoch,
            "state": change.state,
            "final": change.state.final,
            "started_at": change.started_at and change.started_at.isoformat(),
            "finished_at": change.finished_at and change.finished_at.isoformat(),
            "cancel_requested_at": change.cancel_requested_at and change.cancel_requested_at.isoformat(),
            "paused_at": change.paused_at and change.paused_at.isoformat(),
            "waiting_for": clean(change.waiting_for),
            "error": clean_json(change.error),
            "worked_s": change.worked_s,
            "nodes_total": change.nodes_total,
            "nodes_ended": change.nodes_ended,
            "nodes_failed": change.nodes_failed,
            "mailbox": json.dumps(change.mailbox) if change.mailbox else None,
        }
        for change in latest.values()
    ]


def asleep_rows(asleep: Iterable[Asleep]) -> list[dict[str, Any]]:
    """Executions that nobody is to own until something happens."""
    return [
        {"id": str(one.id), "epoch": one.epoch, "wake_at": one.wake_at and one.wake_at.isoformat()} for one in asleep
    ]


def child_rows(children: Sequence[tuple[UUID, NewExecution]]) -> list[dict[str, Any]]:
    """Executions to insert, with their tenants."""
    rows = []
    for tenant_id, new in children:
        parent_id, parent_node, parent_element = new.parent or (None, None, None)
        rows.append(
            {
                "id": str(new.id),
                "tenant_id": str(tenant_id),
                "version_id": str(new.version_id),
                "workflow_name": new.workflow_name,
                "priority": new.priority,
                "parameters": exact_json(new.parameters) or clean_json(new.parameters),
                "tags": [clean(tag) for tag in new.tags],
                "created_by": clean(new.created_by),
                "timeout_s": new.timeout_s,
                "parent_id": parent_id and str(parent_id),
                "parent_node": parent_node,
                "parent_element": parent_element,
                "depth": new.depth,
                "idempotency_key": new.idempotency_key and clean(new.idempotency_key),
                "refresh": [clean(name) for name in new.refresh],
                "late_after_s": new.late_after_s,
                "hook_of": new.hook and str(new.hook.execution),
                "hook_on": new.hook and new.hook.on,
                "told_in": new.told_in,
            }
        )
    return rows


def cache_rows(entries: Iterable[NewCacheEntry], artifacts: list[Artifact]) -> list[dict[str, Any]]:
    """Cache entries; the last one of each key wins."""
    latest = {(entry.tenant_id, entry.key): entry for entry in entries}
    return [
        {
            "tenant_id": str(entry.tenant_id),
            "key": entry.key,
            "execution_id": str(entry.execution_id),
            "node_id": entry.node,
            "element": entry.element,
            "outputs": outputs_text(entry.execution_id, entry.outputs, artifacts),
            "sizes": clean_json(entry.sizes),
            "expires_s": None if entry.expires_s is None else min(max(entry.expires_s, -_EVER_S), _EVER_S),
        }
        for entry in latest.values()
    ]


def command_rows(commands: Iterable[NewCommand]) -> list[dict[str, Any]]:
    """Commands to insert."""
    return [
        {
            "tenant_id": str(command.tenant_id),
            "execution_id": str(command.execution_id),
            "kind": command.kind,
            "payload": exact_json(command.payload) or clean_json(command.payload),
            "created_by": clean(command.created_by),
        }
        for command in commands
    ]
