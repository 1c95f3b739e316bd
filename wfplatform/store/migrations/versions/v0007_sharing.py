"""What executions share: slots of concurrency limits, the numbers somebody has set for these, and circuit breakers."""

from __future__ import annotations

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_SHARING = """
-- One row for each slot that is held or asked for. Small, and rewritten all the time.
create table slot (
    execution_id uuid not null,
    node_id text not null,
    element integer[] not null default '{}',
    gate text not null,
    epoch integer not null,
    tenant_id uuid not null,
    called text not null,
    name text,
    most integer not null,
    priority integer not null default 0,
    asked_at timestamptz not null default clock_timestamp(),
    -- In the order in which slots were given; null while it is only asked for.
    number bigint,
    granted_at timestamptz,
    primary key (execution_id, node_id, element, gate)
) with (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.01);
create index slot_gate_idx on slot (tenant_id, gate);
create sequence slot_number;

create table concurrency_limit (
    tenant_id uuid not null references tenant (id),
    name text not null,
    most integer not null,
    set_by text not null default '',
    set_at timestamptz not null default now(),
    constraint concurrency_limit_most check (most >= 0),
    primary key (tenant_id, name)
);

create table breaker (
    tenant_id uuid not null references tenant (id),
    name text not null,
    opened_at timestamptz,
    until_at timestamptz,
    calls jsonb not null default '[]',
    updated_at timestamptz not null default now(),
    primary key (tenant_id, name)
) with (fillfactor = 50);

select wf_protect(name::regclass) from unnest(array['slot', 'concurrency_limit', 'breaker']) as name;
grant select on slot, concurrency_limit, breaker to wf_runtime;
grant insert, update, delete on concurrency_limit, breaker to wf_runtime;
grant select, insert, update, delete on slot, concurrency_limit, breaker to wf_engine;
grant usage on sequence slot_number to wf_engine;
"""


def upgrade() -> None:
    """Tables of what is shared."""
    op.get_bind().exec_driver_sql(_SHARING)
