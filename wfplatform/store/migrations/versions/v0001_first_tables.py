"""The first tables, with tenants, row-level security, rights and partitions."""

from __future__ import annotations

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_TABLES = """
create table tenant (
    id uuid primary key,
    name text not null unique,
    created_at timestamptz not null default now()
);

create table workflow (
    id uuid primary key,
    tenant_id uuid not null references tenant (id),
    name text not null,
    description text not null default '',
    current_version_id uuid,
    created_by text not null default '',
    created_at timestamptz not null default now(),
    updated_at timestamptz not null default now(),
    is_active boolean not null default true,
    unique (tenant_id, name),
    unique (tenant_id, id),
    constraint workflow_name_not_blank check (name ~ '\\S')
);
create index workflow_tenant_id_name_updated_at_idx on workflow (tenant_id, name, updated_at) where is_active;

create table code (
    tenant_id uuid not null references tenant (id),
    digest text not null,
    body bytea not null,
    created_at timestamptz not null default now(),
    primary key (tenant_id, digest)
);
alter table code alter column body set storage external;

create table workflow_version (
    id uuid primary key,
    tenant_id uuid not null,
    workflow_id uuid not null,
    number integer not null,
    digest text not null,
    document json not null,
    code_digest text not null,
    requirements jsonb not null default '{}',
    created_by text not null default '',
    created_at timestamptz not null default now(),
    unique (tenant_id, id),
    unique (workflow_id, digest),
    unique (workflow_id, number),
    foreign key (tenant_id, workflow_id) references workflow (tenant_id, id),
    foreign key (tenant_id, code_digest) references code (tenant_id, digest)
);

create table execution (
    id uuid primary key,
    tenant_id uuid not null,
    version_id uuid not null,
    workflow_name text not null,
    state text not null default 'pending',
    priority integer not null default 0,
    parameters json not null,
    tags text[] not null default '{}',
    created_at timestamptz not null default now(),
    created_by text not null default '',
    started_at timestamptz,
    finished_at timestamptz,
    updated_at timestamptz not null default now(),
    engine_id uuid,
    epoch integer not null default 0,
    cancel_requested_at timestamptz,
    cancel_requested_by text,
    paused_at timestamptz,
    paused_by text,
    waiting_for text not null default '',
    error jsonb,
    timeout_s double precision not null default 1800,
    worked_s double precision not null default 0,
    nodes_total integer,
    nodes_ended integer not null default 0,
    nodes_failed integer not null default 0,
    parent_id uuid,
    parent_node text,
    parent_element integer[],
    depth integer not null default 0,
    constraint execution_state check (state in ('pending', 'running', 'waiting', 'completed', 'failed', 'cancelled')),
    foreign key (tenant_id, version_id) references workflow_version (tenant_id, id)
) with (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.02);
create index execution_newest_idx on execution (tenant_id, id desc);
create index execution_newest_of_workflow_idx on execution (tenant_id, workflow_name, id desc);
create index execution_live_idx on execution (state, started_at) where state in ('pending', 'running', 'waiting');
create index execution_unclaimed_idx on execution (priority desc, id)
    where engine_id is null and state in ('pending', 'running', 'waiting');
create index execution_engine_idx on execution (engine_id) where engine_id is not null;
create index execution_parent_idx on execution (parent_id) where parent_id is not null;

create table node_execution (
    execution_id uuid not null,
    node_id text not null,
    element integer[] not null default '{}',
    tenant_id uuid not null,
    state text not null,
    attempt integer not null default 0,
    tries integer not null default 0,
    lost integer not null default 0,
    epoch integer not null default 0,
    worker text,
    segment text,
    started_at timestamptz,
    finished_at timestamptz,
    cpu_s double precision,
    peak_memory_bytes bigint,
    input_digest text,
    outputs json,
    error jsonb,
    sizes jsonb,
    verdict boolean,
    due_at timestamptz,
    reason text not null default '',
    upstream boolean not null default false,
    alone boolean not null default false,
    progress real,
    progress_message text,
    reused_from uuid,
    constraint node_execution_state
        check (state in ('pending', 'running', 'waiting', 'completed', 'failed', 'cancelled', 'skipped')),
    primary key (execution_id, node_id, element)
) partition by range (execution_id);
create index node_execution_started_idx on node_execution (execution_id, started_at);

create table attempt (
    execution_id uuid not null,
    node_id text not null,
    element integer[] not null default '{}',
    attempt integer not null,
    tenant_id uuid not null,
    state text not null,
    worker text,
    segment text,
    started_at timestamptz,
    finished_at timestamptz,
    cpu_s double precision,
    peak_memory_bytes bigint,
    error jsonb,
    constraint attempt_state check (state in ('failed', 'lost', 'timed_out')),
    primary key (execution_id, node_id, element, attempt)
) partition by range (execution_id);

create table node_log (
    execution_id uuid not null,
    at timestamptz not null,
    node_id text not null,
    element integer[] not null default '{}',
    attempt integer not null,
    line integer not null,
    tenant_id uuid not null,
    level smallint not null,
    logger text not null default '',
    message text not null,
    primary key (execution_id, at, node_id, element, attempt, line)
) partition by range (execution_id);

create table artifact (
    tenant_id uuid not null references tenant (id),
    digest text not null,
    codec text not null,
    size_bytes bigint not null,
    location text,
    body bytea,
    created_at timestamptz not null default now(),
    constraint artifact_is_somewhere check (body is not null or location is not null),
    primary key (tenant_id, digest, codec)
);

create table engine (
    id uuid primary key,
    host text not null default '',
    pid integer,
    facts jsonb not null default '{}',
    started_at timestamptz not null default now(),
    lease_expires_at timestamptz not null,
    fenced_at timestamptz
) with (fillfactor = 50);

create table command (
    id bigint generated always as identity primary key,
    tenant_id uuid not null references tenant (id),
    execution_id uuid not null,
    kind text not null,
    payload json not null,
    created_by text not null default '',
    created_at timestamptz not null default now(),
    done_at timestamptz
);
create index command_open_idx on command (execution_id, id) where done_at is null;

create table node_cost (
    version_id uuid not null,
    node_id text not null,
    mean_s double precision not null,
    samples bigint not null,
    updated_at timestamptz not null default now(),
    primary key (version_id, node_id)
) with (fillfactor = 80);

insert into tenant (id, name) values ('00000000-0000-7000-8000-000000000001', 'default');
"""

# A sub-select is evaluated once a statement; unset or empty = no rows.
_CURRENT_TENANT = "(select nullif(current_setting('app.current_tenant_id', true), '')::uuid)"

_PROTECT = f"""
create function wf_protect(name regclass) returns void language plpgsql as $$
declare
    tenant text := case when name = 'tenant'::regclass then 'id' else 'tenant_id' end;
begin
    execute format('alter table %s enable row level security', name);
    execute format('alter table %s force row level security', name);
    execute format('create policy tenant on %s using (%s = {_CURRENT_TENANT.replace("'", "''")})', name, tenant)
        || format(' with check (%s = {_CURRENT_TENANT.replace("'", "''")})', tenant);
    -- Where nobody could give it BYPASSRLS, the engine still sees every tenant.
    execute format('create policy engine on %s to wf_engine using (true) with check (true)', name);
end $$;
revoke execute on function wf_protect(regclass) from public;
select wf_protect(name::regclass) from unnest(array['tenant', 'workflow', 'workflow_version', 'code', 'execution',
    'node_execution', 'attempt', 'node_log', 'artifact', 'command']) as name;

-- Whoever asks for executions may only ask: what becomes of them is written by engines.
create policy asked on execution as restrictive for insert to wf_runtime
    with check (state = 'pending' and engine_id is null and epoch = 0 and started_at is null and finished_at is null);

grant select on all tables in schema {{schema}} to wf_runtime;
grant insert on workflow, workflow_version, code, execution, artifact, command to wf_runtime;
grant update (description, current_version_id, updated_at, is_active) on workflow to wf_runtime;
grant select, insert, update, delete on all tables in schema {{schema}} to wf_engine;
revoke insert, update, delete on wf_schema_version from wf_engine;
"""  # noqa: S608 - made of constants

_FUNCTIONS = """
create function wf_fence(engine_id uuid) returns void language plpgsql as $$
begin
    -- A key share lock lets the lease be renewed meanwhile, but not be taken over before this transaction has ended.
    perform from engine where id = engine_id and fenced_at is null for key share;
    if not found then
        raise exception 'engine % is fenced off', engine_id using errcode = 'WF001';
    end if;
end $$;

-- Whoever asks must see every tenant: under the policies of one tenant the others would seem idle.
create function wf_is_idle() returns boolean language sql stable as $$
    select not exists (select from execution where state in ('pending', 'running', 'waiting'))
$$;

create function wf_day(day date) returns uuid language sql immutable as $$
    select (left(h, 8) || '-' || right(h, 4) || '-0000-0000-000000000000')::uuid
    from lpad(to_hex(extract(epoch from day)::bigint * 1000), 12, '0') as h
$$;

-- The two that change tables act as their owner, who sees no rows: policies hold for owners too. What is to be looked at first is
-- therefore looked at by the two that engines call, with the engine's eyes.
create function wf_attach_partition(parent text, day date) returns void
language plpgsql security definer set search_path from current as $$
declare
    child text := format('%s_%s', parent, to_char(day, 'YYYYMMDD'));
begin
    if parent not in ('node_execution', 'attempt', 'node_log') then
        raise exception '% has no partitions', parent;
    end if;
    execute format('create table %I (like %I including all) with (%s)', child, parent,
        'fillfactor = 80, autovacuum_vacuum_scale_factor = 0.01, autovacuum_analyze_scale_factor = 0.05');
    perform wf_protect(child::regclass);
    execute format('alter table %I attach partition %I for values from (%L) to (%L)',
        parent, child, wf_day(day), wf_day(day + 1));
end $$;

create function wf_drop_partition(parent text, day date) returns void
language plpgsql security definer set search_path from current as $$
begin
    if parent not in ('node_execution', 'attempt', 'node_log') then
        raise exception '% has no partitions', parent;
    end if;
    execute format('drop table %I', format('%s_%s', parent, to_char(day, 'YYYYMMDD')));
end $$;

create function wf_create_partitions(first_day date, days integer) returns integer language plpgsql as $$
declare
    parent text; day date; taken boolean; made integer := 0;
begin
    perform pg_advisory_xact_lock(7165349003);
    perform set_config('lock_timeout', '2s', true);
    foreach parent in array array['node_execution', 'attempt', 'node_log'] loop
        for day in select first_day + i from generate_series(0, days - 1) as i loop
            continue when to_regclass(format('%s_%s', parent, to_char(day, 'YYYYMMDD'))) is not null;
            -- A day that began without its partition stays where it is; moving rows would block their writers.
            execute format('select exists (select from %I where execution_id >= %L and execution_id < %L)',
                           parent, wf_day(day), wf_day(day + 1)) into taken;
            continue when taken;
            perform wf_attach_partition(parent, day);
            made := made + 1;
        end loop;
    end loop;
    return made;
end $$;

create function wf_drop_partitions(before_day date) returns integer language plpgsql as $$
declare
    parent text; day date; dropped integer := 0;
begin
    perform pg_advisory_xact_lock(7165349003);
    perform set_config('lock_timeout', '2s', true);
    foreach parent in array array['node_execution', 'attempt', 'node_log'] loop
        for day in
            select to_date(right(c.relname, 8), 'YYYYMMDD')
            from pg_inherits i join pg_class c on c.oid = i.inhrelid
            where i.inhparent = parent::regclass and c.relname ~ '_[0-9]{8}$' order by 1
        loop
            exit when day >= before_day;
            continue when exists (select from execution where state in ('pending', 'running', 'waiting')
                                  and id >= wf_day(day) and id < wf_day(day + 1));
            perform wf_drop_partition(parent, day);
            dropped := dropped + 1;
        end loop;
    end loop;
    return dropped;
end $$;

revoke execute on function wf_attach_partition(text, date), wf_drop_partition(text, date) from public;
grant execute on function wf_attach_partition(text, date), wf_drop_partition(text, date) to wf_engine;
"""

_DEFAULT_PARTITIONS = """
create table node_execution_default partition of node_execution default with (fillfactor = 80);
create table attempt_default partition of attempt default;
create table node_log_default partition of node_log default;
select wf_protect(name::regclass) from unnest(array['node_execution_default', 'attempt_default', 'node_log_default']) as name;
"""


def upgrade() -> None:
    """The first tables."""
    schema = op.get_bind().exec_driver_sql("select quote_ident(current_schema())").scalar_one()
    for part in (_TABLES, _PROTECT.replace("{schema}", schema), _FUNCTIONS, _DEFAULT_PARTITIONS):
        op.get_bind().exec_driver_sql(part.replace("%", "%%"))  # the driver reads % as the mark of a parameter
