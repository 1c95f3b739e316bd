"""Why an execution does not go on: gathers what is recorded, for `core.why` to read."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from uuid import UUID

from wfplatform.app.executions import Executions
from wfplatform.core.execution import NodeState
from wfplatform.core.why import Facts, Reason, reasons

__all__ = ["why"]

_OPEN: Final = (NodeState.PENDING, NodeState.RUNNING, NodeState.WAITING)


def why(executions: Executions, execution_id: UUID) -> list[Reason]:
    """One sentence for each node that has not ended, and what holds the execution as a whole.

    Args:
        executions: where it is recorded.
        execution_id: which.

    Raises:
        NotFoundError: there is no such execution.
    """
    record = executions.record(execution_id)
    if record.state.final:
        return reasons(Facts(execution=record, graph=executions.graph(record.version_id), now=datetime.now(UTC)))
    summary = {one.node: one for one in executions.summary(execution_id)}
    return reasons(
        Facts(
            execution=record,
            graph=executions.graph(record.version_id),
            now=datetime.now(UTC),
            summary=summary,
            nodes=executions.nodes(execution_id, _OPEN),
            slots=executions.sharing.slots(execution_id),
            breakers={one.name: one for one in executions.sharing.breakers()},
            engines=executions.sharing.store.engines(),
        )
    )
