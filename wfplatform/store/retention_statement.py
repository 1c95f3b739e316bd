"""The statements of retention, in SQL: what goes, how much that is, and removing some of it.

None of them waits for a row that somebody else holds. Refuses: rows of what is open or is to be tried again.
"""

from __future__ import annotations

from typing import Final

__all__ = [
    "ARTIFACTS_GO", "BOUNDS", "CANDIDATES", "CHILDREN_GO", "COUNT", "COUNTS", "EXECUTIONS_GO", "EXPIRED_GO", "KEYS", "KNOWN",
    "LATE", "LEAVING", "LINES_GO", "MARK", "NONE_LEAVING",
    "NO_BOUNDS", "PARTITIONS", "QUEUE", "QUEUE_DONE", "REFERRED",
    "SHARED", "STRAYS", "STRAY_COMMANDS_GO", "UNMARK", "UNUSED", "WORKFLOWS", "rows_go",
]  # fmt: skip

_ENDED: Final = "state in ('completed', 'failed', 'cancelled')"
_RETRIED: Final = "select from command k where k.done_at is null and k.kind = 'retry' and k.execution_id ="

BOUNDS: Final = f"""
create temporary table retention_bound as
select tenant_id, workflow_name, id from (
    select tenant_id, workflow_name, id, row_number() over (partition by tenant_id, workflow_name order by id desc) as place
    from execution where parent_id is null and {_ENDED}
) ranked
where place = %(kept)s"""  # noqa: S608 - made of constants
"""Of each workflow the oldest execution that its number lets stay."""

# By its id first: no execution has ended before it was asked for, and ids tell when that was.
_GOES: Final = f"""
e.id < %(born_before)s and e.{_ENDED} and e.engine_id is null
and (e.parent_id is null or not exists (select from execution p where p.id = e.parent_id))
and (coalesce(e.finished_at, e.updated_at) <= %(ended_before)s
     or (coalesce(e.finished_at, e.updated_at) <= %(settled_before)s and exists (
         select from retention_bound b
         where b.tenant_id = e.tenant_id and b.workflow_name = e.workflow_name and e.id < b.id)))
and not exists ({_RETRIED} e.id)
and not exists (
    with recursive below as (
        select c.id, c.state, c.engine_id from execution c where c.parent_id = e.id
        union all select c.id, c.state, c.engine_id from below b join execution c on c.parent_id = b.id
    )
    select from below b where not b.{_ENDED} or b.engine_id is not null or exists ({_RETRIED} b.id))"""  # noqa: S608 - made of constants

NO_BOUNDS: Final = "create temporary table retention_bound (tenant_id uuid, workflow_name text, id uuid)"
NONE_LEAVING: Final = "create temporary table leaving (id uuid)"

LEAVING: Final = f"""
create temporary table leaving as
with recursive tree as (
    select e.id, e.workflow_name, coalesce(e.finished_at, e.updated_at) as ended_at from execution e where {_GOES}
    union all
    select c.id, c.workflow_name, coalesce(c.finished_at, c.updated_at) from tree t join execution c on c.parent_id = t.id
)
select * from tree union all select id, null, null from removed_execution"""  # noqa: S608 - made of constants
"""What would go, and what is left of what went."""

_GO: Final = """, gone as (delete from execution e using picked where e.id = picked.id returning e.id)
insert into removed_execution (id) select id from gone"""

EXECUTIONS_GO: Final = f"""
with picked as materialized (
    select e.id from execution e where {_GOES} order by e.id limit %(limit)s for update of e skip locked
){_GO}"""  # noqa: S608 - made of constants

CHILDREN_GO: Final = f"""
with picked as materialized (
    select e.id from removed_execution r join execution e on e.parent_id = r.id
    where e.{_ENDED} and e.engine_id is null limit %(limit)s for update of e skip locked
){_GO}"""  # noqa: S608 - made of constants

QUEUE: Final = """
select id from removed_execution where %(after)s::uuid is null or id > %(after)s order by id limit %(limit)s"""

QUEUE_DONE: Final = """
delete from removed_execution r where id = any(%(ids)s) and not exists (select from execution e where e.parent_id = r.id)"""

KEYS: Final = {
    "node_log": ("execution_id", "at", "node_id", "element", "attempt", "line"),
    "attempt": ("execution_id", "node_id", "element", "attempt"),
    "node_execution": ("execution_id", "node_id", "element"),
    "cache_entry": ("tenant_id", "key"),
    "command": ("id",),
}
"""What is recorded of executions, in the order in which it goes, by its key."""


def rows_go(table: str, where: str) -> str:
    """Deletes some of the rows for which a condition holds."""
    # Engines write these two for other executions too; the rest is of executions that nobody can write for.
    unheld = " for update skip locked" if table in ("cache_entry", "command") else ""
    columns = ", ".join(KEYS[table])
    same = " and ".join(f"d.{column} = picked.{column}" for column in KEYS[table])
    return f"""
with picked as materialized (select {columns} from {table} where {where} limit %(limit)s{unheld})
delete from {table} d using picked where {same}"""  # noqa: S608 - made of constants


EXPIRED_GO: Final = rows_go("cache_entry", "expires_at <= %(unused_before)s")

_STRAY: Final = """done_at is null and created_at <= %(settled_before)s
and not exists (select from execution e where e.id = execution_id)
and not exists (select from removed_execution r where r.id = execution_id)"""

STRAY_COMMANDS_GO: Final = rows_go("command", _STRAY)
"""Asked of an execution in the moment in which it went."""

LATE: Final = f"""
select coalesce(array_agg(id), '{{}}') from execution
where id >= %(from)s and id < %(before)s and not ({_ENDED} and coalesce(finished_at, updated_at) <= %(lines_before)s)"""  # noqa: S608 - made of constants
"""Executions of some days whose lines stay."""

_OLD_LINES: Final = "execution_id < %(before)s and execution_id <> all(%(late)s)"
LINES_GO: Final = rows_go("node_log", _OLD_LINES)

PARTITIONS: Final = """
select p.relname, wf_day(d.day), wf_day(d.day + 1), d.day
from pg_inherits i join pg_class c on c.oid = i.inhrelid join pg_class p on p.oid = i.inhparent
cross join lateral (select to_date(right(c.relname, 8), 'YYYYMMDD') as day) d
where i.inhparent in ('node_execution'::regclass, 'attempt'::regclass, 'node_log'::regclass) and c.relname ~ '_[0-9]{8}$'
order by d.day, 1"""
"""Of each partition but the default ones: table, first id of its day and of the next, day."""

COUNT: Final = {
    table: f"select count(*) from {table} where execution_id >= %s and execution_id < %s"  # noqa: S608 - made of constants
    for table in ("node_execution", "attempt", "node_log")
}

WORKFLOWS: Final = """
select l.workflow_name, count(*)::int as executions, sum(n.count)::int as nodes, sum(g.count)::int as lines,
    sum(n.bytes + a.bytes + g.bytes)::bigint as size_bytes, min(l.ended_at) as ended_at
from leaving l
cross join lateral (select count(*) as count, coalesce(sum(pg_column_size(r.*)), 0) as bytes from node_execution r
                    where r.execution_id = l.id) n
cross join lateral (select coalesce(sum(pg_column_size(r.*)), 0) as bytes from attempt r where r.execution_id = l.id) a
cross join lateral (select count(*) as count, coalesce(sum(pg_column_size(r.*)), 0) as bytes from node_log r
                    where r.execution_id = l.id) g
where l.workflow_name is not null
group by l.workflow_name order by min(l.ended_at), l.workflow_name"""

COUNTS: Final = f"""
select (select count(*) from leaving where workflow_name is not null) as executions,
    (select count(*) from node_execution n join leaving l on l.id = n.execution_id) as nodes,
    (select count(*) from attempt a join leaving l on l.id = a.execution_id) as attempts,
    (select count(*) from node_log g join leaving l on l.id = g.execution_id)
        + (select count(*) from node_log g where {_OLD_LINES} and not exists (select from leaving l where l.id = g.execution_id))
        as lines,
    (select count(*) from command c where exists (select from leaving l where l.id = c.execution_id) or ({_STRAY})) as commands,
    (select count(*) from cache_entry c where c.expires_at <= %(unused_before)s
        or exists (select from leaving l where l.id = c.execution_id)) as cache_entries"""  # noqa: S608 - made of constants

CANDIDATES: Final = """
create temporary table unreferenced as
select tenant_id, digest, codec, size_bytes, location, unused_at from artifact where created_at <= %(unused_before)s"""

# An output that does not hold its value names the digest of what it refers to; a tree of outputs, of each, however deep.
_NAMED: Final = r"""cross join lateral json_each({row}.outputs) as port
cross join lateral regexp_matches(port.value::text, '"digest":\s*"([^"]+)"', 'g') as named(words)"""


def _referred(table: str, row: str, more: str) -> str:
    return f"""
delete from unreferenced u using {table} {row} {_NAMED.format(row=row)}
where u.tenant_id = {row}.tenant_id and u.digest = named.words[1] and port.value -> 'value' is null {more}
  and not exists (select from leaving l where l.id = {row}.execution_id)"""  # noqa: S608 - made of constants


REFERRED: Final = {
    "node_execution": _referred(
        "node_execution",
        "n",
        "and n.execution_id >= %(from)s and n.execution_id < %(before)s and n.outputs is not null",
    ),
    "cache_entry": _referred("cache_entry", "c", "and (c.expires_at is null or c.expires_at > %(unused_before)s)"),
}
"""Takes out of the candidates what the nodes of executions of some days, or the result cache, refer to."""

# Outcomes that were never committed left them. A row lets them go like all others that nobody refers to.
STRAYS: Final = """
insert into artifact (tenant_id, digest, codec, size_bytes, location)
select %(tenant)s, u.* from unnest(%(digests)s::text[], %(codecs)s::text[], %(sizes)s::bigint[], %(locations)s::text[])
    as u(digest, codec, size_bytes, location)
where not exists (select from tenant t join artifact a on a.tenant_id = t.id and a.digest = u.digest and a.codec = u.codec)
on conflict do nothing"""

UNUSED: Final = """
select count(*) filter (where coalesce(unused_at, now()) <= %(unused_before)s) as artifacts,
    coalesce(sum(size_bytes) filter (where coalesce(unused_at, now()) <= %(unused_before)s), 0)::bigint as artifact_bytes,
    count(*) filter (where unused_at is null) as unused_artifacts,
    coalesce(sum(size_bytes) filter (where unused_at is null), 0)::bigint as unused_bytes
from unreferenced"""

_SAME: Final = "a.tenant_id = u.tenant_id and a.digest = u.digest and a.codec = u.codec"

UNMARK: Final = f"""
with picked as materialized (
    select a.tenant_id, a.digest, a.codec from artifact a
    where a.unused_at is not null and not exists (select from unreferenced u where {_SAME}) for update skip locked
)
update artifact a set unused_at = null from picked u where {_SAME}"""  # noqa: S608 - made of constants
"""Somebody refers to it again."""

SHARED: Final = """
select u.tenant_id, u.digest, u.codec, case when not exists (
    select from tenant t join artifact a on a.tenant_id = t.id and a.digest = u.digest and a.codec = u.codec
    where not exists (select from unreferenced o where o.tenant_id = a.tenant_id and o.digest = a.digest and o.codec = a.codec)
) then u.location end
from unreferenced u
where u.unused_at is null
  and (%(after)s::text is null or (u.digest, u.codec, u.tenant_id::text) > (%(after)s, %(codec)s, %(tenant)s))
order by u.digest, u.codec, u.tenant_id::text limit %(limit)s"""
"""What nobody referred to before, with its location unless another tenant uses what lies there."""

MARK: Final = """
with picked as materialized (
    select a.tenant_id, a.digest, a.codec from artifact a
    join unnest(%(tenants)s::uuid[], %(digests)s::text[], %(codecs)s::text[]) as u(tenant_id, digest, codec)
        on a.tenant_id = u.tenant_id and a.digest = u.digest and a.codec = u.codec
    where a.unused_at is null for update of a skip locked
)
update artifact a set unused_at = clock_timestamp() from picked u
where a.tenant_id = u.tenant_id and a.digest = u.digest and a.codec = u.codec
returning a.size_bytes"""

# Looked at again once its lock is held: whoever refers to it again has cleared the mark, or waits, and then stores it anew.
ARTIFACTS_GO: Final = f"""
with picked as materialized (
    select a.tenant_id, a.digest, a.codec from unreferenced u join artifact a on {_SAME}
    where a.unused_at <= %(unused_before)s limit %(limit)s for update of a skip locked
)
delete from artifact a using picked u where {_SAME} returning a.size_bytes"""  # noqa: S608 - made of constants

KNOWN: Final = """
select a.location, bool_or(a.unused_at is null) from artifact a
where a.digest = any(%(digests)s) and a.location = any(%(locations)s) and a.tenant_id in (select id from tenant)
group by a.location"""
"""Of what is aside: what a row still tells of, and whether it is in use."""
