"""Executions that are late: what is told of them, and the store that knows which they are.

Being late is no state and asks nothing of the execution: whoever finds it tells it, whether anybody owns it or not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from wfplatform.core.execution import ExecutionState
from wfplatform.core.graph import Json
from wfplatform.core.start import NewExecution

__all__ = ["LateExecution", "LateStore"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LateExecution:
    """An execution that has not ended when it should have."""

    id: UUID
    tenant_id: UUID
    version_id: UUID
    workflow_name: str
    state: ExecutionState
    parameters: Mapping[str, Json]
    created_at: datetime
    created_by: str
    started_at: datetime | None
    waiting_for: str
    error: Mapping[str, Any] | None
    tags: tuple[str, ...]


class LateStore(Protocol):
    """Which executions are late, by the clock of the database."""

    def late(self, limit: int) -> Sequence[LateExecution]:
        """Those that are late while nobody was told, those that are so for longest first."""
        ...

    def tell_late(self, engine_id: UUID, told: Mapping[UUID, Sequence[tuple[UUID, NewExecution]]]) -> None:
        """Note for late executions that it is told, and insert the hooks, (tenant, execution) each, in one transaction.

        Those of an execution that has ended meanwhile, or of which another engine has told, are left out.

        Raises:
            ConflictError: code `fenced`; nothing was written.
            UnreachableError: the database does not answer; whether it was written is unknown.
        """
        ...
