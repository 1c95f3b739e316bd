"""What executions share, in PostgreSQL: who holds slots and who waits for them, and how circuit breakers stand.

All engines see the same. Refuses: knowing for what there are slots.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

import psycopg

from wfplatform.core.breaker import CLOSED, BreakerKey, BreakerState, after
from wfplatform.core.policy import Breaker
from wfplatform.core.slot import Asked, Exchange, Granted, Slot
from wfplatform.store import slot_statement, statement
from wfplatform.store.engine_store import PostgresEngineStore
from wfplatform.store.shared import breaker_state

__all__ = ["PostgresSharing"]

type Connection = psycopg.Connection[tuple[Any, ...]]

_BREAKERS: Final = """
select b.tenant_id, b.name, b.opened_at, b.until_at, b.calls
from json_to_recordset(%(rows)s::json) as u(tenant_id uuid, name text)
join breaker b on b.tenant_id = u.tenant_id and b.name = u.name
order by 1, 2"""
_NEW_BREAKERS: Final = """
insert into breaker (tenant_id, name)
select tenant_id, name from json_to_recordset(%(rows)s::json) as u(tenant_id uuid, name text) order by 1, 2
on conflict do nothing"""
_SET_BREAKERS: Final = """
update breaker b set opened_at = u.opened_at, until_at = u.until_at, calls = u.calls, updated_at = clock_timestamp()
from json_to_recordset(%(rows)s::json) as u(
    tenant_id uuid, name text, opened_at timestamptz, until_at timestamptz, calls jsonb)
where b.tenant_id = u.tenant_id and b.name = u.name"""


class PostgresSharing:
    """SlotStore and BreakerStore in PostgreSQL. Safe to share between threads.

    Args:
        store: whose connections it uses.
    """

    def __init__(self, store: PostgresEngineStore) -> None:
        self._store = store

    def exchange(self, engine_id: UUID, *, returned: Sequence[Slot], asked: Sequence[Asked], known: int) -> Exchange:
        """Give slots back, ask for others, and learn which were granted after the number `known`.

        Raises:
            ConflictError: code `fenced`.
            UnreachableError: the database does not answer; whether it happened is unknown.
        """

        def work(connection: Connection) -> Exchange:
            engine = {"engine": engine_id}
            # Sent as a whole, with its end: an engine that is stopped in the middle of it keeps nobody waiting.
            with connection.pipeline():
                connection.execute(statement.FENCE, engine)
                connection.execute(slot_statement.LOCK)
                connection.execute(slot_statement.TIDY)
                if returned:
                    connection.execute(slot_statement.RETURN, {"rows": json.dumps(list(map(_slot_row, returned)))})
                if asked:
                    rows = json.dumps([{**_asked_row(one), "place": place} for place, one in enumerate(asked)])
                    connection.execute(slot_statement.ASK, {"rows": rows, **engine})
                granted = connection.execute(slot_statement.GRANT, engine)
                learnt = connection.execute(slot_statement.LEARN, {"known": known, **engine})
                connection.execute(statement.COMMIT)
                rows_granted, rows_learnt = granted.fetchall(), learnt.fetchall()
            mine = tuple(
                Granted(Slot(gate, id, epoch, node, tuple(element)), number)
                for gate, id, epoch, node, element, number in rows_learnt
            )
            return Exchange(mine, others=any(row[0] for row in rows_granted))

        return self._store.retried(work)

    def breakers(self, keys: Sequence[BreakerKey]) -> Mapping[BreakerKey, BreakerState]:
        """How some circuit breakers stand; those of which nothing is kept are left out."""
        return self._store.retried(lambda connection: _read(connection, keys))

    def called(self, calls: Mapping[BreakerKey, tuple[Breaker, int, int]]) -> Mapping[BreakerKey, BreakerState]:
        """Count calls that have ended; returns how these breakers stand now. By the clock of the database.

        Raises:
            UnreachableError: the database does not answer; whether they were counted is unknown.
        """

        def work(connection: Connection) -> Mapping[BreakerKey, BreakerState]:
            connection.execute(_NEW_BREAKERS, {"rows": _keys(list(calls))})
            known = _read(connection, list(calls), lock=True)
            row = connection.execute("select clock_timestamp()").fetchone()
            assert row is not None
            now: datetime = row[0].astimezone(UTC)
            found = {
                key: after(known.get(key, CLOSED), breaker, good, bad, now)
                for key, (breaker, good, bad) in calls.items()
            }
            rows = [
                {
                    "tenant_id": str(tenant_id),
                    "name": name,
                    "opened_at": state.opened_at and state.opened_at.isoformat(),
                    "until_at": state.until_at and state.until_at.isoformat(),
                    "calls": state.window,
                }
                for (tenant_id, name), state in found.items()
            ]
            connection.execute(_SET_BREAKERS, {"rows": json.dumps(rows)})
            return found

        return self._store.retried(work)


def _read(connection: Connection, keys: Sequence[BreakerKey], *, lock: bool = False) -> dict[BreakerKey, BreakerState]:
    query = _BREAKERS + (" for update of b" if lock else "")
    return {
        (tenant_id, name): breaker_state(opened_at, until_at, calls)
        for tenant_id, name, opened_at, until_at, calls in connection.execute(query, {"rows": _keys(keys)})
    }


def _keys(keys: Sequence[BreakerKey]) -> str:
    return json.dumps([{"tenant_id": str(tenant_id), "name": name} for tenant_id, name in keys])


def _slot_row(slot: Slot) -> dict[str, Any]:
    return {
        "execution_id": str(slot.execution_id),
        "epoch": slot.epoch,
        "node_id": slot.node,
        "element": slot.element,
        "gate": slot.gate,
    }


def _asked_row(asked: Asked) -> dict[str, Any]:
    gate = asked.gate
    return {
        **_slot_row(asked.slot),
        "called": gate.called,
        "name": gate.name,
        "most": gate.most,
        "priority": asked.priority,
    }
