"""Dead letters in PostgreSQL: found by an index that holds them alone, looked at, discarded.

Refuses: replaying; that changes an execution, and its engine does it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from psycopg.rows import dict_row

from wfplatform.core.dead_letter import DeadLetterFilter, DeadLetterRecord, History
from wfplatform.core.execution import Element, ExecutionState
from wfplatform.core.record import Page
from wfplatform.errors import NotFoundError
from wfplatform.store import statement
from wfplatform.store.database import Database
from wfplatform.store.failure import explained
from wfplatform.store.record_row import attempt_record, bounded, log_record, node_record, read_cursor, read_key
from wfplatform.store.table import Row
from wfplatform.store.text import clean

__all__ = ["PostgresDeadLetters", "page_query"]

_LINES: Final = 200
_ATTEMPTS: Final = 1000

# Who cancelled an execution has decided about all of it.
_PAGE: Final = """
select n.execution_id, e.version_id, e.workflow_name, e.state as execution_state, n.node_id as node, n.element, n.attempt,
    coalesce(n.error, '{}') - 'traceback' as error, coalesce(n.worker, '') as worker, n.dead_at, n.edit
from node_execution n join execution e on e.id = n.execution_id
where n.tenant_id = %(tenant)s and n.dead_at > now() - make_interval(secs => %(kept_s)s) and e.state <> 'cancelled'"""
_ORDER: Final = """
order by n.dead_at desc, n.execution_id, n.node_id, n.element limit %(limit)s"""
_AFTER: Final = """
 and n.dead_at <= %(at)s
 and (n.dead_at < %(at)s or (n.execution_id, n.node_id, n.element) > (%(last)s, %(last_node)s, %(last_element)s::int[]))"""
_WANTED: Final = {
    "execution_id": "n.execution_id = %(execution_id)s",
    "workflow": "e.workflow_name = %(workflow)s",
    "node": "n.node_id = %(node)s",
    # A class goes by its bare name too.
    "error": "exists (select from unnest(array[n.error ->> 'type', n.error ->> 'code'] || array(select"
    " jsonb_array_elements_text(n.error -> 'kinds'))) as name where name = %(error)s"
    " or right(name, length(%(error)s) + 1) = '.' || %(error)s)",
    "element": "n.element = %(element)s::int[]",
}
_HIDDEN: Final = {"tenant_id", "upstream", "alone"}
_NODE: Final = f"""
select {", ".join(c.name for c in Row.metadata.tables["node_execution"].columns if c.name not in _HIDDEN)}
from node_execution where execution_id = %(execution)s and node_id = %(node)s and element = %(element)s::int[]"""  # noqa: S608 - made of constants
_TRIES: Final = """
select execution_id, node_id, element, attempt, state, worker, started_at, finished_at, error from attempt
where execution_id = %(execution)s and node_id = %(node)s and element = %(element)s::int[] order by attempt desc limit %(most)s"""
_LOGS: Final = """
select at, node_id, element, attempt, line, level, logger, message from node_log
where execution_id = %(execution)s and node_id = %(node)s and element = %(element)s::int[]
order by at desc, attempt desc, line desc limit %(most)s"""
_DISCARD: Final = """
update node_execution n set dead_at = null, discarded = %(discarded)s::jsonb || jsonb_build_object('at', now())
from json_to_recordset(%(rows)s::json) as u(execution_id uuid, node text, element int[], attempt int)
where n.execution_id = u.execution_id and n.node_id = u.node and n.element = u.element and n.attempt = u.attempt
  and n.tenant_id = %(tenant)s and n.dead_at > now() - make_interval(secs => %(kept_s)s)"""


class PostgresDeadLetters:
    """Dead letters of a tenant. Each method raises UnreachableError when the database does not answer.

    Args:
        database: as the runtime role.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def page(
        self,
        tenant_id: UUID,
        wanted: DeadLetterFilter,
        *,
        kept_s: float,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[DeadLetterRecord]:
        """Dead letters, newest first.

        Args:
            kept_s: how old they are at most.
            limit: rows of a page.
            after: `next` of the page before.
        """
        query, values = page_query(tenant_id, wanted, kept_s, bounded(limit) + 1, after)
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(query, values).fetchall()
        items = [_record(row) for row in rows[:limit]]
        return Page(items, _cursor(items[-1]) if len(rows) > limit else None)

    def history(self, tenant_id: UUID, execution_id: UUID, node: str, element: Element) -> History:
        """What became of an element.

        Raises:
            NotFoundError: nothing is recorded of it.
        """
        values = {"execution": execution_id, "node": node, "element": list(element)}
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            with connection.cursor(row_factory=dict_row) as cursor:
                found = cursor.execute(_NODE, values).fetchone()
                tries = cursor.execute(_TRIES, {**values, "most": _ATTEMPTS}).fetchall()
                lines = cursor.execute(_LOGS, {**values, "most": _LINES}).fetchall()
        if found is None:
            raise NotFoundError(
                "node_execution_not_found", f"Nothing is recorded of {node}{[*element]} of {execution_id}."
            )
        return History(
            node=node_record(found),
            attempts=[attempt_record(row) for row in reversed(tries)],
            logs=[log_record(row) for row in reversed(lines)],
        )

    def discard(
        self, tenant_id: UUID, letters: Sequence[DeadLetterRecord], *, kept_s: float, by: str, reason: str = ""
    ) -> int:
        """Note that nothing is to be done about these; returns how many of them were dead letters until now."""
        rows = [
            {"execution_id": str(one.execution_id), "node": one.node, "element": one.element, "attempt": one.attempt}
            for one in letters
        ]
        values = {
            "tenant": tenant_id,
            "kept_s": kept_s,
            "rows": json.dumps(rows),
            "discarded": json.dumps({"by": clean(by), "reason": clean(reason)}),
        }
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            return connection.execute(_DISCARD, values).rowcount


def page_query(
    tenant_id: UUID, wanted: DeadLetterFilter, kept_s: float, limit: int, after: str | None = None
) -> tuple[str, dict[str, Any]]:
    """The query of a page, and its values.

    Raises:
        UserError: `after` is no cursor.
    """
    query, values = _PAGE, {"tenant": tenant_id, "kept_s": kept_s, "limit": limit}
    for name, condition in _WANTED.items():
        value = getattr(wanted, name)
        if value is not None:
            values[name] = list(value) if name == "element" else value
            query += f" and {condition}"
    if after is not None:
        at, last, last_node, last_element = read_key(after, str, str, str, list)
        instant, execution = read_cursor(at, datetime.fromisoformat), read_cursor(last, UUID)
        element = read_cursor(last_element, lambda found: [int(index) for index in found])
        values |= {"at": instant, "last": execution, "last_node": last_node, "last_element": element}
        query += _AFTER
    return query + _ORDER, values


def _record(row: Mapping[str, Any]) -> DeadLetterRecord:
    state = ExecutionState(row["execution_state"])
    return DeadLetterRecord(**{**row, "element": tuple(row["element"]), "execution_state": state})


def _cursor(last: DeadLetterRecord) -> str:
    return json.dumps([last.dead_at.isoformat(), str(last.execution_id), last.node, list(last.element)])
