"""The statements of an exchange of slots, in SQL. They are sent together and run one after the other under one lock.

Each sees what the one before has done, and no exchange of another engine comes in between.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ASK", "GRANT", "LEARN", "LOCK", "RETURN", "TIDY"]

LOCK: Final = "select pg_advisory_xact_lock(7165349011)"

# Another engine has taken the execution over, or it has ended: nobody will give these back.
TIDY: Final = """
delete from slot s where not exists (
    select from execution e where e.id = s.execution_id and e.epoch = s.epoch and e.engine_id is not null)"""

RETURN: Final = """
delete from slot s
using json_to_recordset(%(rows)s::json) as u(execution_id uuid, epoch int, node_id text, element int[], gate text)
where s.execution_id = u.execution_id and s.node_id = u.node_id and s.element = u.element and s.gate = u.gate
  and s.epoch = u.epoch"""

ASK: Final = """
insert into slot (execution_id, node_id, element, gate, epoch, tenant_id, called, name, most, priority)
select u.execution_id, u.node_id, u.element, u.gate, u.epoch, e.tenant_id, u.called, u.name, u.most, u.priority
from json_to_recordset(%(rows)s::json) as u(
    execution_id uuid, epoch int, node_id text, element int[], gate text, called text, name text, most int, priority int,
    place int)
join execution e on e.id = u.execution_id and e.epoch = u.epoch and e.engine_id = %(engine)s
order by u.place
on conflict do nothing"""

# Those who wait for one gate: by priority, then who has fewer of it, then who asked first.
GRANT: Final = """
with wanted as (
    select distinct tenant_id, gate from slot where number is null
), standing as (
    select s.*, coalesce(l.most, s.most) as allowed,
        count(*) filter (where s.number is not null) over (partition by s.tenant_id, s.gate) as held,
        count(*) filter (where s.number is not null) over (partition by s.tenant_id, s.gate, s.execution_id) as own,
        row_number() over (partition by s.tenant_id, s.gate, s.execution_id, s.number is null
                           order by s.asked_at, s.node_id, s.element) as turn
    from slot s
    join wanted w on w.tenant_id = s.tenant_id and w.gate = s.gate
    left join concurrency_limit l on l.tenant_id = s.tenant_id and l.name = s.name
), ranked as (
    select *, row_number() over (partition by tenant_id, gate
                                 order by priority desc, own + turn, asked_at, execution_id, node_id, element) as place
    from standing where number is null
), next as (
    select * from ranked where place <= allowed - held order by asked_at
)
update slot s set number = nextval('slot_number'), granted_at = clock_timestamp()
from next n, execution e
where s.execution_id = n.execution_id and s.node_id = n.node_id and s.element = n.element and s.gate = n.gate
  and e.id = s.execution_id
returning e.engine_id <> %(engine)s"""

LEARN: Final = """
select s.gate, s.execution_id, s.epoch, s.node_id, s.element, s.number
from slot s join execution e on e.id = s.execution_id
where s.number > %(known)s and e.engine_id = %(engine)s order by s.number"""
