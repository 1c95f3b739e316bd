"""The statements of an engine's transaction, in SQL. Rows come as one JSON array each, so a statement is one
round trip however many.

Every one of them joins `execution` on its owner and epoch: what an engine no longer owns it cannot change.
"""

from __future__ import annotations

from typing import Final

from wfplatform.store.stored_run import RUN_COLUMNS

__all__ = [
    "ARTIFACTS",
    "ASLEEP",
    "ATTEMPTS",
    "CACHED",
    "CACHE_NEW",
    "CHILDREN",
    "CLAIM",
    "COMMANDS",
    "COMMANDS_DONE",
    "COMMANDS_NEW",
    "COMMIT",
    "EXECUTIONS",
    "FENCE",
    "LATE",
    "LEARN",
    "LINES",
    "NEXT",
    "NODES_STANDING",
    "NODES_WRITTEN",
    "OWNED",
    "PROGRESS",
    "RELEASED",
    "RELEASED_UNKNOWN",
    "RESET",
    "RUNS",
    "TAKE_OVER",
    "TELL_LATE",
    "TENANT",
    "TIDY",
]  # fmt: skip

FENCE: Final = "select wf_fence(%(engine)s)"

OWNED: Final = "select id, epoch, tenant_id::text from execution where id = any(%(ids)s) and engine_id = %(engine)s"

_OWNER: Final = "join execution e on e.id = u.execution_id and e.epoch = u.epoch and e.engine_id = %(engine)s"

_RUN: Final = (
    "state, attempt, tries, lost, epoch, error, sizes, verdict, due_at, reason, upstream, alone, reused_from, awaits,"
    " edit"
)
_TOLD: Final = (
    "worker, segment, started_at, finished_at, cpu_s, peak_memory_bytes, input_digest, outputs, progress,"
    " progress_message"
)


def _excluded(columns: str) -> str:
    return ", ".join(f"{name} = excluded.{name}" for name in columns.split(", "))


# A commit that is sent again must not bring back what somebody has discarded meanwhile.
_STILL_DEAD: Final = "n.state = 'failed' and not n.upstream and n.attempt = excluded.attempt"
_NODES: Final = f"""
insert into node_execution as n (execution_id, node_id, element, tenant_id, dead_at, {_RUN}, {_TOLD})
select u.execution_id, u.node_id, u.element, e.tenant_id, case when u.state = 'failed' and not u.upstream then now() end,
    u.state, u.attempt, u.tries, u.lost, u.epoch, u.error::jsonb, u.sizes::jsonb, u.verdict, u.due_at,
    u.reason, u.upstream, u.alone, u.reused_from, u.awaits::jsonb, u.edit::json, u.worker, u.segment, to_timestamp(u.started_at),
    to_timestamp(u.finished_at), u.cpu_s, u.peak_memory_bytes, u.input_digest, u.outputs::json, u.progress, u.progress_message
from json_to_recordset(%(rows)s::json) as u(
    execution_id uuid, epoch int, node_id text, element int[], state text, attempt int, tries int, lost int, reused_from uuid,
    error text, sizes text, verdict bool, due_at timestamptz, reason text, upstream bool, alone bool, awaits text, edit text,
    worker text, segment text,
    started_at float8, finished_at float8, cpu_s float8, peak_memory_bytes bigint, input_digest text, outputs text,
    progress real, progress_message text)
{_OWNER}
order by 1, 2, 3
on conflict (execution_id, node_id, element) do update set
    dead_at = case when excluded.dead_at is null then null when {_STILL_DEAD} then n.dead_at else excluded.dead_at end,
    discarded = case when excluded.dead_at is not null and {_STILL_DEAD} then n.discarded end,
"""  # noqa: S608 - made of constants

NODES_WRITTEN: Final = _NODES + _excluded(f"{_RUN}, {_TOLD}")

# Ended by something else than a worker: what the worker told stays, and the end is now.
NODES_STANDING: Final = (
    _NODES
    + _excluded(_RUN)
    + """, finished_at = case when excluded.state in ('failed', 'cancelled', 'skipped') and n.started_at is not null
        then coalesce(n.finished_at, now()) else n.finished_at end"""
)

RESET: Final = f"""
insert into attempt (execution_id, node_id, element, attempt, tenant_id, state, worker, segment, started_at, finished_at, cpu_s,
    peak_memory_bytes, error)
select u.execution_id, u.node_id, u.element, case when n.state in ('running', 'failed') then n.attempt else u.attempt end,
    e.tenant_id, case when n.state <> 'failed' or n.state is null then 'lost'
        when n.error ->> 'code' in ('timeout', 'node_timeout', 'timed_out') then 'timed_out' else 'failed' end,
    n.worker, n.segment, n.started_at, coalesce(n.finished_at, now()), n.cpu_s, n.peak_memory_bytes, n.error
from json_to_recordset(%(rows)s::json) as u(
    execution_id uuid, epoch int, node_id text, element int[], attempt int, lost int)
{_OWNER}
left join node_execution n on n.execution_id = u.execution_id and n.node_id = u.node_id and n.element = u.element
where (n.state in ('running', 'failed') and n.attempt > 0 and not n.upstream)
   or (coalesce(n.state, '') not in ('running', 'failed') and u.lost > coalesce(n.lost, 0))
on conflict do nothing"""  # noqa: S608 - made of constants

ATTEMPTS: Final = f"""
insert into attempt (execution_id, node_id, element, attempt, tenant_id, state, worker, segment, started_at, finished_at, cpu_s,
    peak_memory_bytes, error)
select u.execution_id, u.node_id, u.element, u.attempt, e.tenant_id, u.state, u.worker, u.segment, to_timestamp(u.started_at),
    coalesce(to_timestamp(u.finished_at), now()), u.cpu_s, u.peak_memory_bytes, u.error::jsonb
from json_to_recordset(%(rows)s::json) as u(
    execution_id uuid, epoch int, node_id text, element int[], attempt int, state text, worker text, segment text,
    started_at float8, finished_at float8, cpu_s float8, peak_memory_bytes bigint, error text)
{_OWNER}
on conflict do nothing"""  # noqa: S608 - made of constants

LINES: Final = """
insert into node_log (execution_id, at, node_id, element, attempt, line, tenant_id, level, logger, message)
select u.execution_id, to_timestamp(u.at), u.node_id, u.element, u.attempt, u.line, e.tenant_id, u.level, u.logger, u.message
from json_to_recordset(%(rows)s::json) as u(
    execution_id uuid, epoch int, at float8, node_id text, element int[], attempt int, line int, level smallint, logger text,
    message text)
join execution e on e.id = u.execution_id and e.engine_id = %(engine)s and e.epoch = coalesce(u.epoch, e.epoch)
on conflict do nothing"""

# One that retention has marked as unused is in use again; the lock that this takes keeps retention from it until the commit.
ARTIFACTS: Final = """
insert into artifact (tenant_id, digest, codec, size_bytes, location, body)
select distinct on (1, 2, 3) e.tenant_id, u.digest, u.codec, u.size_bytes, u.location, u.body
from unnest(%(executions)s::uuid[], %(digests)s::text[], %(codecs)s::text[], %(sizes)s::bigint[], %(locations)s::text[],
    %(bodies)s::bytea[]) as u(execution_id, digest, codec, size_bytes, location, body)
join execution e on e.id = u.execution_id and e.engine_id = %(engine)s
order by 1, 2, 3
on conflict (tenant_id, digest, codec) do update set unused_at = null where artifact.unused_at is not null"""

PROGRESS: Final = """
update node_execution n set progress = u.progress, progress_message = u.message
from json_to_recordset(%(rows)s::json) as u(
    execution_id uuid, node_id text, element int[], attempt int, progress real, message text)
join execution e on e.id = u.execution_id and e.engine_id = %(engine)s
where n.execution_id = u.execution_id and n.node_id = u.node_id and n.element = u.element
  and n.state = 'running' and n.attempt = u.attempt"""

EXECUTIONS: Final = """
with changed as (
    update execution e set state = u.state, started_at = u.started_at,
        finished_at = case when u.final then coalesce(u.finished_at, e.finished_at) end,
        cancel_requested_at = u.cancel_requested_at, paused_at = u.paused_at, waiting_for = u.waiting_for,
        error = u.error::jsonb, worked_s = u.worked_s, nodes_total = u.nodes_total, nodes_ended = u.nodes_ended,
        nodes_failed = u.nodes_failed, mailbox = u.mailbox::json, updated_at = now(),
        engine_id = case when u.final then null else e.engine_id end
    from json_to_recordset(%(rows)s::json) as u(
        id uuid, epoch int, state text, final bool, started_at timestamptz, finished_at timestamptz,
        cancel_requested_at timestamptz, paused_at timestamptz, waiting_for text, error text, worked_s float8, nodes_total int,
        nodes_ended int, nodes_failed int, mailbox text)
    where e.id = u.id and e.epoch = u.epoch and e.engine_id = %(engine)s
    returning e.id, u.final
)
update command c set done_at = now() from changed
where changed.final and c.execution_id = changed.id and c.done_at is null and c.kind <> 'retry'"""

_NEW: Final = """
insert into execution (id, tenant_id, version_id, workflow_name, priority, parameters, tags, created_by, timeout_s,
    parent_id, parent_node, parent_element, depth, idempotency_key, refresh, late_at, hook_of, hook_on)
select u.id, u.tenant_id, u.version_id, u.workflow_name, u.priority, u.parameters::json, u.tags, u.created_by, u.timeout_s,
    u.parent_id, u.parent_node, u.parent_element, u.depth, u.idempotency_key, u.refresh,
    now() + make_interval(secs => u.late_after_s), u.hook_of, u.hook_on
from json_to_recordset(%(rows)s::json) as u(
    id uuid, tenant_id uuid, version_id uuid, workflow_name text, priority int, parameters text, tags text[], created_by text,
    timeout_s float8, parent_id uuid, parent_node text, parent_element int[], depth int, idempotency_key text, refresh text[],
    late_after_s float8, hook_of uuid, hook_on text, told_in int)"""

# Hooks of an end stand in its commit, before the end itself: who writes it then still owns what it tells of.
CHILDREN: Final = f"""{_NEW}
where u.told_in is null
    or exists (select from execution e where e.id = u.hook_of and e.epoch = u.told_in and e.engine_id = %(engine)s)
on conflict do nothing"""

LATE: Final = """
select id, tenant_id, version_id, workflow_name, state, parameters, created_at, created_by, started_at, waiting_for, error, tags
from execution where late_at <= clock_timestamp() and state in ('pending', 'running', 'waiting')
order by late_at limit %(limit)s"""

# One that is being written into comes with the next look; it may be its end.
TELL_LATE: Final = f"""
with due as materialized (
    select id from execution
    where id = any(%(ids)s) and late_at <= clock_timestamp() and state in ('pending', 'running', 'waiting')
    order by id for update skip locked
), told as (
    update execution e set late_at = null from due where e.id = due.id returning e.id
) {_NEW}
join told on told.id = u.hook_of
on conflict do nothing"""  # noqa: S608 - made of constants

RELEASED_UNKNOWN: Final = """
update execution set engine_id = null, updated_at = now() where engine_id = %(engine)s and id <> all(%(known)s)"""

RELEASED: Final = """
update execution set engine_id = null, updated_at = now() where id = any(%(ids)s) and engine_id = %(engine)s"""

ASLEEP: Final = """
update execution e set engine_id = null, is_asleep = true, wake_at = u.wake_at, updated_at = now()
from json_to_recordset(%(rows)s::json) as u(id uuid, epoch int, wake_at timestamptz)
where e.id = u.id and e.epoch = u.epoch and e.engine_id = %(engine)s"""

# A commit that is sent again finds its commands open; those of an execution that has ended would never be read.
COMMANDS_NEW: Final = """
insert into command (tenant_id, execution_id, kind, payload, created_by)
select u.tenant_id, u.execution_id, u.kind, u.payload::json, u.created_by
from json_to_recordset(%(rows)s::json) as u(tenant_id uuid, execution_id uuid, kind text, payload text, created_by text)
where exists (select from execution e where e.id = u.execution_id and e.state in ('pending', 'running', 'waiting'))
  and not exists (select from command c where c.done_at is null and c.execution_id = u.execution_id and c.kind = u.kind
                  and c.payload::text = u.payload)"""

CACHE_NEW: Final = """
insert into cache_entry as c (tenant_id, key, execution_id, node_id, element, outputs, sizes, expires_at)
select u.tenant_id, u.key, u.execution_id, u.node_id, u.element, u.outputs::json, u.sizes::jsonb,
    now() + make_interval(secs => u.expires_s)
from json_to_recordset(%(rows)s::json) as u(
    tenant_id uuid, key text, execution_id uuid, node_id text, element int[], outputs text, sizes text, expires_s float8)
join execution e on e.id = u.execution_id and e.engine_id = %(engine)s
on conflict (tenant_id, key) do update set execution_id = excluded.execution_id, node_id = excluded.node_id,
    element = excluded.element, outputs = excluded.outputs, sizes = excluded.sizes, created_at = now(),
    expires_at = excluded.expires_at"""

CACHED: Final = """
select key, outputs, sizes, execution_id from cache_entry
where tenant_id = %(tenant)s and key = any(%(keys)s) and (expires_at is null or expires_at > now())"""

COMMANDS_DONE: Final = """
with done as (
    update command set done_at = now() where id = any(%(ids)s) and done_at is null returning execution_id, kind, created_by
)
update execution e set
    cancel_requested_by = case when d.kind = 'cancel' then d.created_by else e.cancel_requested_by end,
    paused_by = case d.kind when 'pause' then d.created_by when 'resume' then null else e.paused_by end
from done d where e.id = d.execution_id and d.kind in ('cancel', 'pause', 'resume')"""

# Executions that ended are taken again only when somebody wants a retry, those asleep when they are due or when there is a
# command for them; the engine finds the command afterwards. A trigger wakes an execution that gets an owner.
CLAIM: Final = """
with called as materialized (
    select e.id from command c join execution e on e.id = c.execution_id
    where c.done_at is null and e.engine_id is null
      and case when e.state in ('completed', 'failed', 'cancelled') then c.kind = 'retry' else e.is_asleep end
    order by c.id limit %(limit)s for update of e skip locked
), due as materialized (
    select id from execution
    where engine_id is null and is_asleep and wake_at <= clock_timestamp() + make_interval(secs => %(ahead_s)s)
      and state in ('pending', 'running', 'waiting')
    order by wake_at limit %(limit)s for update skip locked
), waiting as materialized (
    select id from execution where engine_id is null and not is_asleep and state in ('pending', 'running', 'waiting')
    order by priority desc, id limit %(limit)s for update skip locked
), picked as materialized (
    select id, bool_or(rank < 2) as woken from (
        select id, 0 as rank from called union all select id, 1 from due union all select id, 2 from waiting
    ) all_kinds
    group by id order by min(rank) limit %(limit)s
)
update execution e set engine_id = %(engine)s, epoch = e.epoch + 1, updated_at = now(),
    state = case e.state when 'pending' then 'running' else e.state end,
    started_at = case e.state when 'pending' then now() else e.started_at end
from picked where e.id = picked.id
returning e.id, e.tenant_id, e.epoch, e.state, e.version_id, e.workflow_name, e.parameters, e.priority, e.timeout_s, e.worked_s,
    e.created_at, e.started_at, e.cancel_requested_at, e.paused_at, e.parent_id, e.parent_node,
    e.parent_element, e.depth, e.error, e.mailbox, e.refresh, e.created_by, e.tags, e.hook_of, e.hook_on, picked.woken"""

NEXT: Final = """
select (select min(wake_at) from execution
        where engine_id is null and is_asleep and state in ('pending', 'running', 'waiting')),
    (select min(late_at) from execution where late_at is not null and state in ('pending', 'running', 'waiting'))"""
"""When the next one of those asleep is due, and when the next one of all is late."""

RUNS: Final = f"""
select n.execution_id, {RUN_COLUMNS}
from node_execution n where n.execution_id = any(%(ids)s) order by n.execution_id, n.node_id, n.element"""  # noqa: S608 - made of constants

COMMANDS: Final = """
select c.id, c.execution_id, c.kind, c.payload, c.created_by
from command c join execution e on e.id = c.execution_id
where c.done_at is null and e.engine_id = %(engine)s
order by c.id limit %(limit)s"""

COMMIT: Final = "commit"
"""As a statement, because psycopg's own does not send what is still buffered: within a pipeline, it waits for ever for the
answer to a request of some megabytes that has not left."""

TENANT: Final = "select set_config('app.current_tenant_id', %s, true)"
"""For the rest of the transaction."""

# Whoever sat in this engine's seat before it has ended, so its lease need not run out.
# Skips an engine that is in the middle of a commit: either it is alive, or the server ends its session within seconds.
TAKE_OVER: Final = """
with lapsed as materialized (
    select id from engine where id <> %(engine)s and fenced_at is null
      and (lease_expires_at < clock_timestamp()
           or facts ->> 'seat' = (select me.facts ->> 'seat' from engine me where me.id = %(engine)s))
    for update skip locked
), fenced as (
    update engine set fenced_at = clock_timestamp() from lapsed where engine.id = lapsed.id returning engine.id
)
update execution e set engine_id = null, updated_at = now()
where e.engine_id in (
    select id from fenced
    union all select o.id from engine o where o.fenced_at is not null and o.id in (select engine_id from
    execution where engine_id is not null)
)"""

TIDY: Final = """
update command c set done_at = now() from execution e
where c.done_at is null and c.kind <> 'retry' and e.id = c.execution_id and e.state in ('completed', 'failed', 'cancelled')"""

# A moving average that never weighs the past more than 20 samples, so that it follows a change.
LEARN: Final = """
insert into node_cost as k (version_id, node_id, mean_s, samples)
select version_id, node_id, mean_s, samples
from json_to_recordset(%(rows)s::json) as u(version_id uuid, node_id text, mean_s float8, samples bigint)
order by 1, 2
on conflict (version_id, node_id) do update set
    mean_s = (k.mean_s * least(k.samples, 20) + excluded.mean_s * excluded.samples)
        / (least(k.samples, 20) + excluded.samples),
    samples = k.samples + excluded.samples, updated_at = now()"""
