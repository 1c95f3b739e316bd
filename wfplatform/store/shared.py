"""What people see and set of what executions share: concurrency limits with their slots, and circuit breakers.

Every statement runs under row-level security. Refuses: giving or taking slots; engines do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row

from wfplatform.core.breaker import BreakerRecord, BreakerState, Calls
from wfplatform.core.slot import LimitRecord, SlotRecord
from wfplatform.core.why import EngineRecord
from wfplatform.store import statement
from wfplatform.store.database import Database
from wfplatform.store.failure import explained

__all__ = ["Shared", "breaker_state"]

_HELD: Final = "from slot s join execution e on e.id = s.execution_id and e.epoch = s.epoch and e.engine_id is not null"
_LIMITS: Final = f"""
with used as (
    select s.called, s.name, max(s.most) as most, count(s.number) as held, count(*) - count(s.number) as waiting
    {_HELD} where s.gate like 'limit:%%' or s.gate like 'executions:%%'
    group by s.gate, s.called, s.name
)
select coalesce(u.called, l.name) as called, coalesce(l.name, u.name) as name, coalesce(l.most, u.most) as most,
    coalesce(l.set_by, '') as set_by, coalesce(u.held, 0) as held, coalesce(u.waiting, 0) as waiting
from used u full join concurrency_limit l on l.name = u.name order by 1"""  # noqa: S608 - made of constants
_SET_LIMIT: Final = """
insert into concurrency_limit (tenant_id, name, most, set_by) values (%(tenant)s, %(name)s, %(most)s, %(by)s)
on conflict (tenant_id, name) do update set most = excluded.most, set_by = excluded.set_by, set_at = now()"""
_SLOTS: Final = f"""
select s.gate, s.called, coalesce(l.most, s.most) as most, s.execution_id, e.workflow_name, s.node_id as node, s.element,
    s.priority, s.asked_at, s.granted_at
{_HELD} left join concurrency_limit l on l.name = s.name
where %(execution)s::uuid is null
   or s.gate in (select o.gate from slot o where o.execution_id = %(execution)s and o.number is null)
   or s.execution_id = %(execution)s
order by s.gate, s.number nulls last, s.priority desc, s.asked_at limit %(limit)s"""  # noqa: S608 - made of constants
_BREAKERS: Final = "select name, opened_at, until_at, calls, updated_at from breaker order by name limit 1000"
_SET_BREAKER: Final = """
insert into breaker (tenant_id, name, opened_at, until_at)
values (%(tenant)s, %(name)s, case when %(open_s)s::float8 is not null then clock_timestamp() end,
    clock_timestamp() + make_interval(secs => %(open_s)s))
on conflict (tenant_id, name) do update set opened_at = excluded.opened_at, until_at = excluded.until_at, calls = '[]',
    updated_at = clock_timestamp()"""


_ENGINES: Final = """
select g.id, g.host, g.pid, (g.facts ->> 'slots')::int as workers, coalesce(g.facts -> 'resources', '[]') as resources,
    coalesce((g.facts ->> 'away')::bool, false) as away,
    (select count(*) from execution e where e.engine_id = g.id) as executions
from engine g where g.fenced_at is null and g.lease_expires_at > clock_timestamp() order by g.id"""


class Shared:
    """Reads and writes for people.

    Args:
        database: as the runtime role.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def limits(self, tenant_id: UUID) -> Sequence[LimitRecord]:
        """Limits that are set, or of which slots are held or asked for."""
        return [LimitRecord(**row) for row in self._rows(tenant_id, _LIMITS)]

    def set_limit(self, tenant_id: UUID, name: str, most: int | None, *, set_by: str = "") -> None:
        """Say how many slots a limit across all workflows has; None = what workflows say."""
        if most is None:
            query = "delete from concurrency_limit where name = %(name)s"
        else:
            query = _SET_LIMIT
        self._write(tenant_id, query, {"tenant": tenant_id, "name": name, "most": most, "by": set_by})

    def slots(self, tenant_id: UUID, execution_id: UUID | None = None, *, limit: int = 1000) -> Sequence[SlotRecord]:
        """Slots held and asked for, of an execution with those that others hold of what it waits for."""
        rows = self._rows(tenant_id, _SLOTS, {"execution": execution_id, "limit": limit})
        return [SlotRecord(**{**row, "element": tuple(row["element"])}) for row in rows]

    def breakers(self, tenant_id: UUID) -> Sequence[BreakerRecord]:
        """Circuit breakers of which calls were counted."""
        return [
            BreakerRecord(
                name=row["name"],
                state=breaker_state(row["opened_at"], row["until_at"], row["calls"]),
                updated_at=row["updated_at"].astimezone(UTC),
            )
            for row in self._rows(tenant_id, _BREAKERS)
        ]

    def set_breaker(self, tenant_id: UUID, name: str, *, open_s: float | None) -> None:
        """Open a circuit breaker for so many seconds, or close it."""
        self._write(tenant_id, _SET_BREAKER, {"tenant": tenant_id, "name": name, "open_s": open_s})

    def engines(self) -> Sequence[EngineRecord]:
        """Engines that hold a lease; `executions` counts those of the tenant that can be seen."""
        with explained(), self._database.driver() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return [EngineRecord(**row) for row in cursor.execute(_ENGINES).fetchall()]

    def _rows(self, tenant_id: UUID, query: str, values: Mapping[str, Any] | None = None) -> list[dict[str, Any]]:
        with explained(), self._database.driver() as connection, connection.cursor(row_factory=dict_row) as cursor:
            connection.execute(statement.TENANT, (str(tenant_id),))
            return cursor.execute(query, values or {}).fetchall()

    def _write(self, tenant_id: UUID, query: str, values: Mapping[str, Any]) -> None:
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            connection.execute(query, values)


def breaker_state(
    opened_at: datetime | None, until_at: datetime | None, calls: Sequence[Sequence[Any]]
) -> BreakerState:
    """What a row says."""
    return BreakerState(
        opened_at=opened_at and opened_at.astimezone(UTC),
        until_at=until_at and until_at.astimezone(UTC),
        window=tuple(Calls(*one) for one in calls),
    )
