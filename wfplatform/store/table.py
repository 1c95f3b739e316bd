"""The tables as SQLModel classes: what a row of each holds, for queries and for comparing with a database.

They do not validate and are neither domain objects nor wire models. Refuses: making tables; migrations do that, with their
partitions, policies and rights.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final
from uuid import UUID

from sqlalchemy import (
    ARRAY,
    JSON,
    REAL,
    BigInteger,
    CheckConstraint,
    Column,
    DateTime,
    Double,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    LargeBinary,
    SmallInteger,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from wfplatform.store.column import Row, at, now, of
from wfplatform.store.sharing_table import BreakerRow, ConcurrencyLimitRow, SlotRow

__all__ = [
    "ArtifactRow", "AttemptRow", "BreakerRow", "CacheEntryRow", "ChoreRow", "CodeRow", "CommandRow", "ConcurrencyLimitRow",
    "EngineRow", "ExecutionRow", "NodeCostRow", "NodeExecutionRow", "NodeLogRow", "RemovedExecutionRow", "Row", "SlotRow",
    "TenantRow", "WorkflowRow", "WorkflowVersionRow",
]  # fmt: skip

LIVE: Final = "state in ('pending', 'running', 'waiting')"
_BY_DAY: Final = {"postgresql_partition_by": "RANGE (execution_id)"}


class TenantRow(Row, table=True):
    """A tenant."""

    __tablename__ = "tenant"

    id: UUID = Field(primary_key=True)
    name: str = Field(sa_type=Text, unique=True)
    created_at: datetime = now()


class WorkflowRow(Row, table=True):
    """A workflow; `current_version_id` is the version that was published last."""

    __tablename__ = "workflow"
    __table_args__ = (
        UniqueConstraint("tenant_id", "name"),
        UniqueConstraint("tenant_id", "id"),
        CheckConstraint("name ~ '\\S'", name="workflow_name_not_blank"),
        Index(
            "workflow_tenant_id_name_updated_at_idx",
            "tenant_id",
            "name",
            "updated_at",
            postgresql_where=text("is_active"),
        ),
    )

    id: UUID = Field(primary_key=True)
    tenant_id: UUID = Field(foreign_key="tenant.id")
    name: str = Field(sa_type=Text)
    description: str = of(Text, null=False, default="''")
    current_version_id: UUID | None = None
    created_by: str = of(Text, null=False, default="''")
    created_at: datetime = now()
    updated_at: datetime = now()
    is_active: bool = Field(default=True, sa_column_kwargs={"server_default": text("true")})


class WorkflowVersionRow(Row, table=True):
    """A published definition."""

    __tablename__ = "workflow_version"
    __table_args__ = (
        UniqueConstraint("tenant_id", "id"),
        UniqueConstraint("workflow_id", "digest"),
        UniqueConstraint("workflow_id", "number"),
        ForeignKeyConstraint(["tenant_id", "workflow_id"], ["workflow.tenant_id", "workflow.id"]),
        ForeignKeyConstraint(["tenant_id", "code_digest"], ["code.tenant_id", "code.digest"]),
    )

    id: UUID = Field(primary_key=True)
    tenant_id: UUID
    workflow_id: UUID
    number: int
    digest: str = Field(sa_type=Text)
    document: dict[str, Any] = of(JSON, null=False)
    code_digest: str = Field(sa_type=Text)
    requirements: dict[str, Any] = of(JSONB, null=False, default="'{}'")
    created_by: str = of(Text, null=False, default="''")
    created_at: datetime = now()


class CodeRow(Row, table=True):
    """Code that travels."""

    __tablename__ = "code"

    tenant_id: UUID = Field(primary_key=True, foreign_key="tenant.id")
    digest: str = Field(primary_key=True, sa_type=Text)
    body: bytes = Field(sa_type=LargeBinary)
    created_at: datetime = now()


class ExecutionRow(Row, table=True):
    """An execution."""

    __tablename__ = "execution"
    __table_args__ = (
        ForeignKeyConstraint(["tenant_id", "version_id"], ["workflow_version.tenant_id", "workflow_version.id"]),
        Index("execution_newest_idx", "tenant_id", text("id DESC")),
        Index("execution_newest_of_workflow_idx", "tenant_id", "workflow_name", text("id DESC")),
        Index("execution_live_idx", "state", "started_at", postgresql_where=text(LIVE)),
        Index(
            "execution_unclaimed_idx",
            text("priority DESC"),
            "id",
            postgresql_where=text(f"engine_id is null and not is_asleep and {LIVE}"),
        ),
        Index(
            "execution_wake_idx",
            "wake_at",
            postgresql_where=text(f"engine_id is null and is_asleep and {LIVE}"),
        ),
        Index("execution_engine_idx", "engine_id", postgresql_where=text("engine_id is not null")),
        Index(
            "execution_idempotency_key_idx",
            "tenant_id",
            "workflow_name",
            "idempotency_key",
            unique=True,
            postgresql_where=text("idempotency_key is not null"),
        ),
        Index("execution_parent_idx", "parent_id", postgresql_where=text("parent_id is not null")),
        Index("execution_hook_idx", "hook_of", postgresql_where=text("hook_of is not null")),
        Index("execution_late_idx", "late_at", postgresql_where=text(f"late_at is not null and {LIVE}")),
    )

    id: UUID = Field(primary_key=True)
    tenant_id: UUID
    version_id: UUID
    workflow_name: str = Field(sa_type=Text)
    state: str = of(Text, null=False, default="'pending'")
    priority: int = of(Integer, null=False, default="0")
    parameters: dict[str, Any] = of(JSON, null=False)
    tags: list[str] = of(ARRAY(Text), null=False, default="'{}'")
    created_at: datetime = now()
    created_by: str = of(Text, null=False, default="''")
    started_at: datetime | None = at()
    finished_at: datetime | None = at()
    updated_at: datetime = now()
    engine_id: UUID | None = None
    epoch: int = of(Integer, null=False, default="0")
    is_asleep: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    wake_at: datetime | None = at()
    cancel_requested_at: datetime | None = at()
    cancel_requested_by: str | None = of(Text)
    paused_at: datetime | None = at()
    paused_by: str | None = of(Text)
    waiting_for: str = of(Text, null=False, default="''")
    error: dict[str, Any] | None = of(JSONB)
    timeout_s: float = of(Double, null=False, default="1800")
    worked_s: float = of(Double, null=False, default="0")
    nodes_total: int | None = of(Integer)
    nodes_ended: int = of(Integer, null=False, default="0")
    nodes_failed: int = of(Integer, null=False, default="0")
    parent_id: UUID | None = None
    parent_node: str | None = of(Text)
    parent_element: list[int] | None = of(ARRAY(Integer))
    depth: int = of(Integer, null=False, default="0")
    idempotency_key: str | None = of(Text)
    mailbox: list[Any] | None = of(JSON)
    refresh: list[str] = of(ARRAY(Text), null=False, default="'{}'")
    late_at: datetime | None = at()
    hook_of: UUID | None = None
    hook_on: str | None = of(Text)


class NodeExecutionRow(Row, table=True):
    """One element of one node of one execution. Partitioned by the day of the execution."""

    __tablename__ = "node_execution"
    __table_args__ = (
        Index("node_execution_started_idx", "execution_id", "started_at"),
        Index("node_execution_awaits_idx", "tenant_id", "execution_id", postgresql_where=text("awaits is not null")),
        Index("node_execution_dead_idx", "tenant_id", text("dead_at DESC"), "execution_id", "node_id", "element",
              postgresql_where=text("dead_at is not null")),
        _BY_DAY,
    )  # fmt: skip

    execution_id: UUID = Field(primary_key=True)
    node_id: str = Field(primary_key=True, sa_type=Text)
    element: list[int] = of(ARRAY(Integer), key=True, default="'{}'")
    tenant_id: UUID
    state: str = Field(sa_type=Text)
    attempt: int = of(Integer, null=False, default="0")
    tries: int = of(Integer, null=False, default="0")
    lost: int = of(Integer, null=False, default="0")
    epoch: int = of(Integer, null=False, default="0")
    worker: str | None = of(Text)
    segment: str | None = of(Text)
    started_at: datetime | None = at()
    finished_at: datetime | None = at()
    cpu_s: float | None = of(Double)
    peak_memory_bytes: int | None = of(BigInteger)
    input_digest: str | None = of(Text)
    outputs: dict[str, Any] | None = of(JSON)
    error: dict[str, Any] | None = of(JSONB)
    sizes: dict[str, int] | None = of(JSONB)
    verdict: bool | None = None
    due_at: datetime | None = at()
    reason: str = of(Text, null=False, default="''")
    upstream: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    alone: bool = Field(default=False, sa_column_kwargs={"server_default": text("false")})
    progress: float | None = of(REAL)
    progress_message: str | None = of(Text)
    reused_from: UUID | None = None
    awaits: dict[str, Any] | None = of(JSONB)
    edit: dict[str, Any] | None = of(JSON)
    dead_at: datetime | None = at()
    discarded: dict[str, Any] | None = of(JSONB)


class AttemptRow(Row, table=True):
    """A try that was followed by another one. Partitioned by the day of the execution."""

    __tablename__ = "attempt"
    __table_args__ = (_BY_DAY,)

    execution_id: UUID = Field(primary_key=True)
    node_id: str = Field(primary_key=True, sa_type=Text)
    element: list[int] = of(ARRAY(Integer), key=True, default="'{}'")
    attempt: int = Field(primary_key=True)
    tenant_id: UUID
    state: str = Field(sa_type=Text)
    worker: str | None = of(Text)
    segment: str | None = of(Text)
    started_at: datetime | None = at()
    finished_at: datetime | None = at()
    cpu_s: float | None = of(Double)
    peak_memory_bytes: int | None = of(BigInteger)
    error: dict[str, Any] | None = of(JSONB)


class NodeLogRow(Row, table=True):
    """A line a node wrote. Its key is what it says of itself, so that a commit sent twice writes it once. Partitioned alike."""

    __tablename__ = "node_log"
    __table_args__ = (_BY_DAY,)

    execution_id: UUID = Field(primary_key=True)
    at: datetime = of(DateTime(timezone=True), key=True)
    node_id: str = Field(primary_key=True, sa_type=Text)
    element: list[int] = of(ARRAY(Integer), key=True, default="'{}'")
    attempt: int = Field(primary_key=True)
    line: int = Field(primary_key=True)
    tenant_id: UUID
    level: int = Field(sa_type=SmallInteger)
    logger: str = of(Text, null=False, default="''")
    message: str = Field(sa_type=Text)


class ArtifactRow(Row, table=True):
    """A stored value: its bytes, or the location where they are."""

    __tablename__ = "artifact"
    __table_args__ = (
        CheckConstraint("body is not null or location is not null", name="artifact_is_somewhere"),
        Index("artifact_unused_idx", "unused_at", postgresql_where=text("unused_at is not null")),
    )

    tenant_id: UUID = Field(primary_key=True, foreign_key="tenant.id")
    digest: str = Field(primary_key=True, sa_type=Text)
    codec: str = Field(primary_key=True, sa_type=Text)
    size_bytes: int = Field(sa_type=BigInteger)
    location: str | None = of(Text)
    body: bytes | None = of(LargeBinary)
    created_at: datetime = now()
    unused_at: datetime | None = at()


class CacheEntryRow(Row, table=True):
    """A result that later executions may reuse; `outputs` as in node_execution."""

    __tablename__ = "cache_entry"
    __table_args__ = (
        Index("cache_entry_expires_at_idx", "expires_at", postgresql_where=text("expires_at is not null")),
        Index("cache_entry_execution_idx", "execution_id"),
    )

    tenant_id: UUID = Field(primary_key=True, foreign_key="tenant.id")
    key: str = Field(primary_key=True, sa_type=Text)
    execution_id: UUID
    node_id: str = Field(sa_type=Text)
    element: list[int] = of(ARRAY(Integer), null=False, default="'{}'")
    outputs: dict[str, Any] = of(JSON, null=False)
    sizes: dict[str, int] | None = of(JSONB)
    created_at: datetime = now()
    expires_at: datetime | None = at()


class EngineRow(Row, table=True):
    """An engine and its lease."""

    __tablename__ = "engine"

    id: UUID = Field(primary_key=True)
    host: str = of(Text, null=False, default="''")
    pid: int | None = of(Integer)
    facts: dict[str, Any] = of(JSONB, null=False, default="'{}'")
    started_at: datetime = now()
    lease_expires_at: datetime = of(DateTime(timezone=True), null=False)
    fenced_at: datetime | None = at()


class CommandRow(Row, table=True):
    """Something a user wants of an execution."""

    __tablename__ = "command"
    __table_args__ = (
        Index("command_open_idx", "execution_id", "id", postgresql_where=text("done_at is null")),
        Index("command_execution_idx", "execution_id"),
    )

    id: int = Field(sa_column=Column(BigInteger, Identity(always=True), primary_key=True))
    tenant_id: UUID = Field(foreign_key="tenant.id")
    execution_id: UUID
    kind: str = Field(sa_type=Text)
    payload: dict[str, Any] = of(JSON, null=False)
    created_by: str = of(Text, null=False, default="''")
    created_at: datetime = now()
    done_at: datetime | None = at()


class NodeCostRow(Row, table=True):
    """How long one element of a node takes."""

    __tablename__ = "node_cost"

    version_id: UUID = Field(primary_key=True)
    node_id: str = Field(primary_key=True, sa_type=Text)
    mean_s: float = Field(sa_type=Double)
    samples: int = Field(sa_type=BigInteger)
    updated_at: datetime = now()


class RemovedExecutionRow(Row, table=True):
    """An execution that is gone while rows that were recorded of it may still be there."""

    __tablename__ = "removed_execution"

    id: UUID = Field(primary_key=True)
    removed_at: datetime = now()


class ChoreRow(Row, table=True):
    """When an engine last did what any one of them does for all."""

    __tablename__ = "chore"

    name: str = Field(primary_key=True, sa_type=Text)
    done_at: datetime = of(DateTime(timezone=True), null=False)
