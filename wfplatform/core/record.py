"""What was recorded, as it is read: executions, their nodes, attempts and logs, and pages of them.

Plain facts for whoever shows them. Refuses: values of results; `outputs` says where they are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from wfplatform.core.execution import Element, ExecutionState, NodeState
from wfplatform.core.graph import Json
from wfplatform.core.hook import HookOf

__all__ = [
    "AttemptRecord",
    "AwaitedRecord",
    "EndedExecution",
    "ExecutionRecord",
    "LogRecord",
    "NodeExecutionRecord",
    "NodeSummary",
    "Page",
    "WorkflowRecord",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkflowRecord:
    """A workflow; `version_id` and `number` are of the version that was published last."""

    id: UUID
    tenant_id: UUID
    name: str
    description: str
    created_by: str
    created_at: datetime
    updated_at: datetime
    is_active: bool
    version_id: UUID | None
    number: int | None


class EndedExecution(NamedTuple):
    """What who waits for an execution must know when it has ended."""

    state: ExecutionState
    version_id: UUID
    parameters: Mapping[str, Json]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionRecord:
    """An execution as it is recorded."""

    id: UUID
    tenant_id: UUID
    version_id: UUID
    workflow_name: str
    state: ExecutionState
    priority: int
    parameters: Mapping[str, Json]
    tags: tuple[str, ...]
    created_at: datetime
    created_by: str
    started_at: datetime | None
    finished_at: datetime | None
    updated_at: datetime
    engine_id: UUID | None
    epoch: int
    cancel_requested_at: datetime | None
    cancel_requested_by: str | None
    paused_at: datetime | None
    paused_by: str | None
    waiting_for: str
    error: Mapping[str, Any] | None
    timeout_s: float
    worked_s: float
    nodes_total: int | None
    nodes_ended: int
    nodes_failed: int
    parent: tuple[UUID, str, Element] | None
    depth: int
    idempotency_key: str | None = None
    wake_at: datetime | None = None
    """When the wait of one that nobody owns while it waits is over."""
    refresh: tuple[str, ...] = ()
    """Nodes that it computes anew whatever earlier executions have left; `*` stands for all."""
    late_at: datetime | None = None
    """When it is late unless it has ended by then; None also when that was told already."""
    hook: HookOf | None = None
    """What it was started to tell of, if it is a hook or below one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeExecutionRecord:
    """One node, or one element of a mapped node, inside an execution.

    Args:
        outputs: as in `core.execution.Outcome`, without bodies.
        progress: share done, 0 to 1, as user code reported it.
        awaits: as in `core.execution.Run`, and so `edit`.
        dead_at: since when it is a dead letter: it has failed for good, and by itself, and nobody has discarded it.
        discarded: {"by", "at", "reason"}.
    """

    execution_id: UUID
    node: str
    element: Element
    state: NodeState
    attempt: int
    tries: int
    lost: int
    epoch: int
    worker: str
    segment: str
    started_at: datetime | None
    finished_at: datetime | None
    cpu_s: float | None
    peak_memory_bytes: int | None
    input_digest: str | None
    outputs: Mapping[str, Any] | None
    error: Mapping[str, Any] | None
    sizes: Mapping[str, int] | None
    verdict: bool | None
    due_at: datetime | None
    reason: str
    progress: float | None
    progress_message: str
    reused_from: UUID | None
    awaits: Mapping[str, Any] | None = None
    edit: Mapping[str, Any] | None = None
    dead_at: datetime | None = None
    discarded: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AwaitedRecord:
    """An element that waits for what somebody is to bring; `awaits` as in `core.execution.Run`."""

    execution_id: UUID
    workflow_name: str
    node: str
    element: Element
    awaits: Mapping[str, Any]
    reason: str
    due_at: datetime | None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """A try that was followed by another one. `state` is `failed`, `lost` or `timed_out`."""

    execution_id: UUID
    node: str
    element: Element
    attempt: int
    state: str
    worker: str
    started_at: datetime | None
    finished_at: datetime | None
    error: Mapping[str, Any] | None


class LogRecord(NamedTuple):
    """One line that a node wrote. `level` as in `logging`; `line` numbers the lines of one outcome."""

    at: datetime
    node: str
    element: Element
    attempt: int
    line: int
    level: int
    logger: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSummary:
    """What the elements of a node come to. What was measured of none of them is None, never 0.

    Args:
        counts: how many are in each state that occurs.
        started_at: when the first began.
        finished_at: when the last of those that have ended did.
        cpu_s: what their last tries took together.
        cpu_mean_s: of those of which it is known.
        peak_memory_bytes: of the largest.
        workers: on how many different ones their last tries ran.
        reused: how many are results of earlier executions.
    """

    node: str
    counts: Mapping[NodeState, int]
    started_at: datetime | None = None
    finished_at: datetime | None = None
    cpu_s: float | None = None
    cpu_mean_s: float | None = None
    peak_memory_bytes: int | None = None
    workers: int | None = None
    reused: int = 0


@dataclass(frozen=True, slots=True)
class Page[Item]:
    """Some of a list.

    Args:
        next: hand it in as `after` to get what follows; None at the end.
        total: of the whole list, if it was asked for.
    """

    items: Sequence[Item]
    next: str | None = None
    total: int | None = None
