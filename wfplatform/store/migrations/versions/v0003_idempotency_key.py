"""Keys that keep a run from being started twice."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_KEY = """
alter table execution add column idempotency_key text;
create unique index execution_idempotency_key_idx on execution (tenant_id, workflow_name, idempotency_key)
    where idempotency_key is not null;
"""


def upgrade() -> None:
    """The key of an execution."""
    op.get_bind().exec_driver_sql(_KEY)
