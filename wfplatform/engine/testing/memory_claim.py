"""An execution that a store in memory holds, as an engine claims it or finds it late."""

from __future__ import annotations

from collections.abc import Mapping

from wfplatform.core.execution import Element, Signal
from wfplatform.core.late import LateExecution
from wfplatform.core.ports import Claim, StoredRun
from wfplatform.core.record import ExecutionRecord
from wfplatform.engine.testing.memory_contents import StoredElement

__all__ = ["claim_of", "late_of"]


def claim_of(
    row: ExecutionRecord,
    elements: Mapping[tuple[str, Element], StoredElement],
    mailbox: tuple[Signal, ...],
    *,
    woken: bool,
) -> Claim:
    """The claim of one that an engine has just taken."""
    return Claim(
        id=row.id,
        tenant_id=row.tenant_id,
        epoch=row.epoch,
        state=row.state,
        version_id=row.version_id,
        workflow_name=row.workflow_name,
        parameters=row.parameters,
        priority=row.priority,
        timeout_s=row.timeout_s,
        worked_s=row.worked_s,
        created_at=row.created_at,
        started_at=row.started_at,
        cancel_requested_at=row.cancel_requested_at,
        paused_at=row.paused_at,
        parent=row.parent,
        depth=row.depth,
        error=row.error,
        refresh=row.refresh,
        runs=[StoredRun(*key, element.run, None) for key, element in sorted(elements.items(), key=lambda one: one[0])],
        woken=woken,
        mailbox=mailbox,
        created_by=row.created_by,
        tags=row.tags,
        hook=row.hook,
    )


def late_of(row: ExecutionRecord) -> LateExecution:
    """What is told of one that is late."""
    return LateExecution(
        id=row.id,
        tenant_id=row.tenant_id,
        version_id=row.version_id,
        workflow_name=row.workflow_name,
        state=row.state,
        parameters=row.parameters,
        created_at=row.created_at,
        created_by=row.created_by,
        started_at=row.started_at,
        waiting_for=row.waiting_for,
        error=row.error,
        tags=row.tags,
    )
