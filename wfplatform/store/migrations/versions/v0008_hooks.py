"""Executions that tell of others, and when an execution is late."""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_HOOKS = """
-- Whom a hook tells of and on what occasion; its children say the same.
alter table execution add column hook_of uuid, add column hook_on text;
create index execution_hook_idx on execution (hook_of) where hook_of is not null;

-- When it is late unless it has ended by then; none once that was told.
alter table execution add column late_at timestamptz;
create index execution_late_idx on execution (late_at)
    where late_at is not null and state in ('pending', 'running', 'waiting');
"""


def upgrade() -> None:
    """Whom an execution tells of, and until when others are to end."""
    op.get_bind().exec_driver_sql(_HOOKS)
