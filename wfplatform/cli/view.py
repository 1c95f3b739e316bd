"""Records as JSON documents: camelCase names, states as capitalised words, instants in ISO 8601, sizes in bytes, times in
seconds.

Refuses: values of results; `outcome` shows those.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from wfplatform.bootstrap.supervisor import ProcessRow
from wfplatform.cli.words import masked, span_s, state_word
from wfplatform.core.forecast import Forecast
from wfplatform.core.ports import StoredVersion
from wfplatform.core.record import (
    AttemptRecord,
    ExecutionRecord,
    LogRecord,
    NodeExecutionRecord,
    WorkflowRecord,
)

__all__ = [
    "attempt_document",
    "execution_document",
    "forecast_document",
    "level_word",
    "log_document",
    "node_document",
    "process_document",
    "version_document",
    "workflow_document",
]


def forecast_document(told: Forecast) -> dict[str, Any]:
    """What a run would do."""
    return {
        "workflowName": told.workflow,
        "parameters": dict(told.parameters),
        "slots": told.slots,
        "expectedS": told.expected_s,
        "leastS": told.least_s,
        "neverSeen": list(told.unseen),
        "nodes": [
            {
                "node": node.name,
                "would": str(node.fate),
                "why": node.why,
                "elements": node.elements,
                "reused": node.reused,
                "reusedFrom": [str(one) for one in node.reused_from],
                "reusedAt": _at(node.reused_at),
                "expectedS": node.expected_s,
            }
            for node in told.nodes
        ],
    }


def execution_document(record: ExecutionRecord) -> dict[str, Any]:
    """An execution."""
    parent = record.parent
    return {
        "id": str(record.id),
        "workflowName": record.workflow_name,
        "versionId": str(record.version_id),
        "state": state_word(record.state),
        "priority": record.priority,
        "parameters": dict(record.parameters),
        "tags": list(record.tags),
        "createdAt": _at(record.created_at),
        "createdBy": record.created_by,
        "startedAt": _at(record.started_at),
        "finishedAt": _at(record.finished_at),
        "updatedAt": _at(record.updated_at),
        "durationS": span_s(record.started_at, record.finished_at),
        "timeoutS": record.timeout_s,
        "workedS": record.worked_s,
        "cancelRequestedAt": _at(record.cancel_requested_at),
        "cancelRequestedBy": record.cancel_requested_by,
        "pausedAt": _at(record.paused_at),
        "pausedBy": record.paused_by,
        "waitingFor": record.waiting_for,
        "error": None if record.error is None else dict(record.error),
        "nodesTotal": record.nodes_total,
        "nodesEnded": record.nodes_ended,
        "nodesFailed": record.nodes_failed,
        "parent": None
        if parent is None
        else {"executionId": str(parent[0]), "node": parent[1], "element": list(parent[2])},
        "depth": record.depth,
        "lateAt": _at(record.late_at),
        "hook": None if record.hook is None else {"executionId": str(record.hook.execution), "on": str(record.hook.on)},
    }


def node_document(record: NodeExecutionRecord) -> dict[str, Any]:
    """A node, or one element of it."""
    return {
        "node": record.node,
        "element": list(record.element),
        "state": state_word(record.state),
        "attempt": record.attempt,
        "tries": record.tries,
        "lost": record.lost,
        "worker": record.worker,
        "startedAt": _at(record.started_at),
        "finishedAt": _at(record.finished_at),
        "durationS": span_s(record.started_at, record.finished_at),
        "cpuS": record.cpu_s,
        "peakMemoryBytes": record.peak_memory_bytes,
        "outputs": None
        if record.outputs is None
        else {port: output_document(output) for port, output in record.outputs.items()},
        "error": None if record.error is None else dict(record.error),
        "dueAt": _at(record.due_at),
        "reason": record.reason,
        "progress": record.progress,
        "progressMessage": record.progress_message,
        "reusedFrom": None if record.reused_from is None else str(record.reused_from),
        "edit": None if record.edit is None else dict(record.edit),
        "deadAt": _at(record.dead_at),
        "discarded": None if record.discarded is None else dict(record.discarded),
    }


def output_document(output: Mapping[str, Any]) -> dict[str, Any]:
    """What a node left: where it is, and what it is when it is small and plain."""
    found: dict[str, Any] = {"codec": output.get("codec"), "sizeBytes": output.get("size")}
    found |= {name: output[name] for name in ("digest", "kind", "location", "value") if name in output}
    return found


def attempt_document(record: AttemptRecord) -> dict[str, Any]:
    """A try that was followed by another one."""
    words = {"timed_out": "TimedOut"}
    return {
        "node": record.node,
        "element": list(record.element),
        "attempt": record.attempt,
        "state": words.get(record.state, state_word(record.state)),
        "worker": record.worker,
        "startedAt": _at(record.started_at),
        "finishedAt": _at(record.finished_at),
        "error": None if record.error is None else dict(record.error),
    }


def log_document(record: LogRecord) -> dict[str, Any]:
    """A line that a node wrote."""
    return {
        "at": _at(record.at),
        "node": record.node,
        "element": list(record.element),
        "attempt": record.attempt,
        "level": level_word(record.level),
        "logger": record.logger,
        "message": record.message,
    }


def level_word(level: int) -> str:
    """A level of `logging` as a word; levels between two are called as the lower one."""
    names = ((50, "Critical"), (40, "Error"), (30, "Warning"), (20, "Info"))
    return next((word for least, word in names if level >= least), "Debug")


def workflow_document(record: WorkflowRecord) -> dict[str, Any]:
    """A workflow."""
    return {
        "id": str(record.id),
        "name": record.name,
        "description": record.description,
        "version": record.number,
        "versionId": None if record.version_id is None else str(record.version_id),
        "createdBy": record.created_by,
        "createdAt": _at(record.created_at),
        "updatedAt": _at(record.updated_at),
        "isActive": record.is_active,
    }


def version_document(version: StoredVersion) -> dict[str, Any]:
    """A published version, without its definition."""
    return {
        "id": str(version.id),
        "number": version.number,
        "digest": version.digest,
        "codeDigest": version.code_digest,
    }


def process_document(row: ProcessRow) -> dict[str, Any]:
    """A line of the process table."""
    return {
        "name": row.name,
        "pid": row.pid,
        "state": state_word(row.state),
        "restarts": row.restarts,
        "sinceAt": _at(row.since_at),
        "lastExit": masked(row.last_exit),
        "residentBytes": row.rss_bytes,
        "log": str(row.log),
        "problem": masked(row.problem),
    }


def _at(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
