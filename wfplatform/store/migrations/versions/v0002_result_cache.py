"""Results that later executions may reuse."""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_TABLES = """
create table cache_entry (
    tenant_id uuid not null references tenant (id),
    key text not null,
    execution_id uuid not null,
    node_id text not null,
    element integer[] not null default '{}',
    outputs json not null,
    sizes jsonb,
    created_at timestamptz not null default now(),
    expires_at timestamptz,
    primary key (tenant_id, key)
);
create index cache_entry_expires_at_idx on cache_entry (expires_at) where expires_at is not null;
select wf_protect('cache_entry');
grant select on cache_entry to wf_runtime;
grant select, insert, update, delete on cache_entry to wf_engine;
"""


def upgrade() -> None:
    """The result cache."""
    op.get_bind().exec_driver_sql(_TABLES.replace("%", "%%"))  # the driver reads % as the mark of a parameter
