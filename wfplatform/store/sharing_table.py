"""The tables of what executions share, as SQLModel classes."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ARRAY, BigInteger, CheckConstraint, DateTime, Index, Integer, Text, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field

from wfplatform.store.column import Row, at, now, of

__all__ = ["BreakerRow", "ConcurrencyLimitRow", "SlotRow"]


class SlotRow(Row, table=True):
    """A slot that is held, or asked for as long as it has no number."""

    __tablename__ = "slot"
    __table_args__ = (Index("slot_gate_idx", "tenant_id", "gate"),)

    execution_id: UUID = Field(primary_key=True)
    node_id: str = Field(primary_key=True, sa_type=Text)
    element: list[int] = of(ARRAY(Integer), key=True, default="'{}'")
    gate: str = Field(primary_key=True, sa_type=Text)
    epoch: int
    tenant_id: UUID
    called: str = Field(sa_type=Text)
    name: str | None = of(Text)
    most: int
    priority: int = of(Integer, null=False, default="0")
    asked_at: datetime = Field(
        sa_column_kwargs={"server_default": func.clock_timestamp()}, sa_type=DateTime(timezone=True)
    )
    number: int | None = of(BigInteger)
    granted_at: datetime | None = at()


class ConcurrencyLimitRow(Row, table=True):
    """A number that somebody has set for a limit across all workflows."""

    __tablename__ = "concurrency_limit"
    __table_args__ = (CheckConstraint("most >= 0", name="concurrency_limit_most"),)

    tenant_id: UUID = Field(primary_key=True, foreign_key="tenant.id")
    name: str = Field(primary_key=True, sa_type=Text)
    most: int
    set_by: str = of(Text, null=False, default="''")
    set_at: datetime = now()


class BreakerRow(Row, table=True):
    """A circuit breaker: what calls came to lately, and until when none may pass."""

    __tablename__ = "breaker"

    tenant_id: UUID = Field(primary_key=True, foreign_key="tenant.id")
    name: str = Field(primary_key=True, sa_type=Text)
    opened_at: datetime | None = at()
    until_at: datetime | None = at()
    calls: list[Any] = of(JSONB, null=False, default="'[]'")
    updated_at: datetime = now()
