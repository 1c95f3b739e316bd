"""What somebody asks for when an execution is to be started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from uuid import UUID

from wfplatform.core.execution import Element
from wfplatform.core.graph import Json
from wfplatform.core.hook import HookOf

__all__ = ["NewExecution"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NewExecution:
    """An execution somebody asked for."""

    id: UUID
    version_id: UUID
    workflow_name: str
    parameters: Mapping[str, Json]
    priority: int = 0
    timeout_s: float = 1800.0
    created_by: str = ""
    tags: tuple[str, ...] = ()
    parent: tuple[UUID, str, Element] | None = None
    """The execution, node and element whose child it is."""
    depth: int = 0
    idempotency_key: str | None = None
    """A second one of the same workflow with the same key is not inserted."""
    refresh: tuple[str, ...] = ()
    """Nodes that are computed anew whatever is kept of earlier executions; `ALL_NODES` means all."""
    late_after_s: float | None = None
    """So long after it is inserted it is late, unless it has ended by then; None = never."""
    hook: HookOf | None = None
    """What it tells of, if it is a hook or below one."""
    told_in: int | None = None
    """Of a hook of an end: it is inserted only while who inserts it owns the execution it tells of in this epoch."""

    @property
    def begun_by(self) -> UUID | None:
        """The execution with whose changes it is inserted: its parent, else the one it tells of; or None."""
        if self.parent is not None:
            return self.parent[0]
        return self.hook.execution if self.hook is not None else None
