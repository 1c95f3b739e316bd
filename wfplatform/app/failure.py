"""What is raised for an execution that did not complete."""

from __future__ import annotations

from wfplatform.core.execution import ExecutionState
from wfplatform.core.record import ExecutionRecord
from wfplatform.errors import (
    ExecutionCancelledError,
    ExecutionError,
    NodeError,
    NodeTimeoutError,
    WorkerLostError,
)

__all__ = ["failure_of"]


def failure_of(record: ExecutionRecord) -> Exception:
    """What to raise for an execution that did not complete."""
    error = dict(record.error or {})
    if record.state is ExecutionState.CANCELLED:
        by = f" by {record.cancel_requested_by}" if record.cancel_requested_by else ""
        return ExecutionCancelledError(
            "cancelled", f"Execution {record.id} of {record.workflow_name} was cancelled{by}.", execution=str(record.id)
        )
    node = error.get("node")
    if not node:
        return ExecutionError(
            str(error.get("code", "failed")),
            f"Execution {record.id} of {record.workflow_name} failed: {error.get('message', 'no reason was recorded')}",
            execution=str(record.id),
        )
    element = error.get("element") or []
    place = f"{node}[{', '.join(map(str, element))}]" if element else str(node)
    code = str(error.get("code", "user_error"))
    kind = {"timeout": NodeTimeoutError, "worker_lost": WorkerLostError}.get(code, NodeError)
    trace = str(error.get("traceback", ""))
    return kind(
        code,
        f"Node {place} of {record.workflow_name} failed: {error.get('type', 'error')}: {error.get('message', '')}"
        + (f"\n\n{trace.rstrip()}" if trace else ""),
        f"`wfp executions show {record.id}` shows every node; `wfp executions retry {record.id}` goes on from here.",
        execution=str(record.id),
        node=str(node),
        element=list(element),
        traceback=trace,
        type=error.get("type", ""),
    )
