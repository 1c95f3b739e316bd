"""What keeps the tables from growing for ever."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None

_RETENTION = """
-- Since when nothing recorded was found to refer to it.
alter table artifact add column unused_at timestamptz;
create index artifact_unused_idx on artifact (unused_at) where unused_at is not null;

-- Executions that are gone, until everything that was recorded of them is too.
create table removed_execution (
    id uuid primary key,
    removed_at timestamptz not null default now()
);
-- When an engine last did what any one of them does for all.
create table chore (
    name text primary key,
    done_at timestamptz not null
);
create index cache_entry_execution_idx on cache_entry (execution_id);
create index command_execution_idx on command (execution_id);
grant select, insert, update, delete on removed_execution, chore to wf_engine;
"""


def upgrade() -> None:
    """Marks, queue and clock of retention."""
    op.get_bind().exec_driver_sql(_RETENTION)
