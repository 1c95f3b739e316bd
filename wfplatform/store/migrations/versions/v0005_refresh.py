"""Executions that compute nodes anew whatever earlier ones have left."""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Which nodes an execution computes anew; `*` stands for all."""
    op.get_bind().exec_driver_sql("alter table execution add column refresh text[] not null default '{}'")
