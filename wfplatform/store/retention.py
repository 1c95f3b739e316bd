"""What is old, found and removed in PostgreSQL and in the artifact storage, a short transaction at a time.

Nobody waits for it, and it waits for nobody: rows that others hold are left for the next time, and so are partitions whose
lock is not given at once. Refuses: two processes that remove at one moment.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import closing
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from typing import Any, Final, NamedTuple, Protocol
from uuid import UUID

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from wfplatform.core.identifier import DEFAULT_TENANT, lowest_id_at
from wfplatform.core.retention import GoingWorkflow, Gone, Preview, RetentionRules
from wfplatform.errors import ConflictError
from wfplatform.store import retention_statement as statement
from wfplatform.store.database import Role, connect
from wfplatform.store.failure import explained
from wfplatform.store.partition import drop_partition

__all__ = ["PostgresRetention", "PutAside"]

logger = logging.getLogger(__name__)

BATCH_ROWS: Final = 2000
"""Removed in one transaction: some ten milliseconds."""
EXECUTIONS_AT_ONCE: Final = 200
_LOCK: Final = 7165349004
_SETTINGS: Final = {
    "lock_timeout": "500ms",
    "statement_timeout": "5min",
    "idle_in_transaction_session_timeout": "30s",
    "jit": "off",
}
_FIRST: Final = UUID(int=0)
_LAST: Final = UUID(int=(1 << 128) - 1)

type Connection = psycopg.Connection[tuple[Any, ...]]
type Values = dict[str, Any]


class PutAside(Protocol):
    """Artifacts in the storage that nobody refers to."""

    def put(self, location: str) -> bool:
        """Put one aside; returns whether it was at its place."""
        ...

    def put_back(self, location: str) -> bool:
        """Put one back; returns whether it was aside."""
        ...

    def locations(self) -> Sequence[str]:
        """What is aside."""
        ...

    def at_their_places(self) -> Iterator[Mapping[str, int]]:
        """Location -> size in bytes of all that is at its place, some at a time."""
        ...

    def delete(self, location: str) -> bool:
        """Delete one that is aside; returns whether it was there."""
        ...


class _Partition(NamedTuple):
    table: str
    first_id: UUID
    next_id: UUID
    day: date


class PostgresRetention:
    """RetentionStore in PostgreSQL.

    Args:
        dsn: the database; the account must be able to play wf_engine.
        aside: where artifacts wait before they are deleted.
        batch_rows: most rows of a transaction.
    """

    def __init__(self, dsn: str, aside: PutAside, *, batch_rows: int = BATCH_ROWS) -> None:
        self._dsn = dsn
        self._aside = aside
        self._batch_rows = batch_rows

    # -- when

    def take_chore(self, name: str, every: timedelta) -> bool:
        """Whether a chore was last done longer ago than that; it counts as done from now on."""
        with explained(), closing(self._connect()) as connection:
            taken = connection.execute(
                "insert into chore as c (name, done_at) values (%(name)s, now())"
                " on conflict (name) do update set done_at = now() where c.done_at <= now() - %(every)s",
                {"name": name, "every": every},
            )
            return taken.rowcount == 1

    def leave_chore(self, name: str) -> None:
        """The chore was not done after all."""
        with explained(), closing(self._connect()) as connection:
            connection.execute("delete from chore where name = %s", (name,))

    # -- what would go

    def preview(self, rules: RetentionRules) -> Preview:
        """What would go now, as it is at one moment. Changes nothing."""
        with explained(), closing(self._connect()) as connection:
            connection.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
            with connection.transaction(), connection.cursor(row_factory=dict_row) as cursor:
                values = _values(connection, rules)
                _bound(connection, rules)
                connection.execute(statement.LEAVING, values)
                connection.execute("create index on leaving (id)")
                connection.execute("analyze leaving")
                lines_before = _lines_before(values)
                late = _late(connection, values, _FIRST, lines_before)
                workflows = cursor.execute(statement.WORKFLOWS).fetchall()
                counts = cursor.execute(statement.COUNTS, {**values, "before": lines_before, "late": late}).fetchone()
                for query, asked in _scanning(connection, values):
                    connection.execute(query, asked)
                unused = cursor.execute(statement.UNUSED, values).fetchone()
                assert counts is not None
                assert unused is not None
        return Preview(
            workflows=[GoingWorkflow(name=row.pop("workflow_name"), **row) for row in workflows],
            gone=Gone(**counts, **unused),
        )

    # -- going

    def remove(self, rules: RetentionRules) -> Generator[Gone]:
        """Remove it; each step is one short transaction and tells what went with it.

        Raises:
            ConflictError: code `retention_runs`; another process does so at this moment.
        """
        with explained(), closing(self._connect()) as connection:
            if not _one(connection, "select pg_try_advisory_lock(%s)", _LOCK):
                raise ConflictError(
                    "retention_runs",
                    "What is old is being removed at this moment by an engine or another command.",
                    "Try again when it has ended.",
                )
            values = _values(connection, rules)
            _bound(connection, rules)
            connection.execute(statement.NONE_LEAVING)
            yield from self._executions(connection, values)
            yield from self._days(connection, values)
            yield from self._leftovers(connection)
            yield from self._lines(connection, values)
            for query, name in ((statement.EXPIRED_GO, "cache_entries"), (statement.STRAY_COMMANDS_GO, "commands")):
                yield from self._drained(connection, query, values, name)
            yield from self._artifacts(connection, values)

    def _executions(self, connection: Connection, values: Values) -> Iterator[Gone]:
        """Executions leave, then their children: whoever is killed in between finds the rest in removed_execution."""
        limit = min(EXECUTIONS_AT_ONCE, self._batch_rows)
        for query in (statement.EXECUTIONS_GO, statement.CHILDREN_GO):
            yield from self._drained(connection, query, values, "executions", limit)

    def _leftovers(self, connection: Connection) -> Iterator[Gone]:
        """What was recorded of executions that have left."""
        fields = {
            "node_log": "lines", "attempt": "attempts", "node_execution": "nodes", "cache_entry": "cache_entries",
            "command": "commands",
        }  # fmt: skip
        after: UUID | None = None
        while True:
            found = connection.execute(statement.QUEUE, {"after": after, "limit": EXECUTIONS_AT_ONCE}).fetchall()
            if not found:
                return
            ids = [row[0] for row in found]
            after = ids[-1]
            for table, name in fields.items():
                query = statement.rows_go(table, "execution_id = any(%(ids)s)")
                yield from self._drained(connection, query, {"ids": ids}, name)
            connection.execute(statement.QUEUE_DONE, {"ids": ids})

    def _days(self, connection: Connection, values: Values) -> Iterator[Gone]:
        """Days of which no execution is left go as a whole, and days of lines that are all old."""
        fields = {"node_execution": "nodes", "attempt": "attempts", "node_log": "lines"}
        # Nobody asks for an execution with an id of the day before yesterday.
        over_id = lowest_id_at(values["now"] - timedelta(days=1))
        lines_before = _lines_before(values)
        for table, first_id, next_id, day in _partitions(connection):
            if next_id > over_id:
                continue
            left = _one(
                connection, "select exists (select from execution where id >= %s and id < %s)", first_id, next_id
            )
            if left and (table != "node_log" or next_id > lines_before or _late(connection, values, first_id, next_id)):
                continue
            count = int(_one(connection, statement.COUNT[table], first_id, next_id))
            try:
                drop_partition(connection, table, day)
            except errors.LockNotAvailable:
                # Its rows go one by one, and it goes another day.
                logger.info("partition not dropped", extra={"table": table, "day": day.isoformat()})
                continue
            yield Gone(**{fields[table]: count})

    def _lines(self, connection: Connection, values: Values) -> Iterator[Gone]:
        before = _lines_before(values)
        late = _late(connection, values, _FIRST, before)
        yield from self._drained(connection, statement.LINES_GO, {"before": before, "late": late}, "lines")

    def _drained(
        self, connection: Connection, query: str, values: Values, name: str, limit: int | None = None
    ) -> Iterator[Gone]:
        """A statement again and again, until nothing is left for it."""
        while count := connection.execute(query, {**values, "limit": limit or self._batch_rows}).rowcount:
            yield Gone(**{name: count})

    # -- artifacts

    def _artifacts(self, connection: Connection, values: Values) -> Iterator[Gone]:
        for found in self._aside.at_their_places():
            if found:
                connection.execute(statement.STRAYS, _strays(found))
                yield Gone()
        for query, asked in _scanning(connection, values):
            connection.execute(query, asked)
            yield Gone()
        connection.execute(statement.UNMARK)
        yield from self._mark(connection)
        # By the clock of now: what was marked just now may go at once where nothing is to be waited for.
        unused = {"unused_before": _one(connection, "select clock_timestamp()") - values["unused"]}
        while rows := connection.execute(statement.ARTIFACTS_GO, {**unused, "limit": self._batch_rows}).fetchall():
            yield Gone(artifacts=len(rows), artifact_bytes=sum(row[0] for row in rows))
        yield from self._sort_aside(connection)

    def _mark(self, connection: Connection) -> Iterator[Gone]:
        """Files are put aside first: one that is aside and not marked is merely found there."""
        limit = min(EXECUTIONS_AT_ONCE, self._batch_rows)
        place: Values = {"after": None, "codec": None, "tenant": None}
        while found := connection.execute(statement.SHARED, {**place, "limit": limit}).fetchall():
            tenants, digests, codecs, locations = map(list, zip(*found, strict=True))
            place = {"after": digests[-1], "codec": codecs[-1], "tenant": str(tenants[-1])}
            for location in locations:
                if location is not None:
                    self._aside.put(location)
            marking = {"tenants": tenants, "digests": digests, "codecs": codecs}
            rows = connection.execute(statement.MARK, marking).fetchall()
            yield Gone(unused_artifacts=len(rows), unused_bytes=sum(row[0] for row in rows))

    def _sort_aside(self, connection: Connection) -> Iterator[Gone]:
        """Of the files that are aside, what is in use again is put back, and what no row tells of any more is deleted."""
        aside = self._aside.locations()
        for start in range(0, len(aside), EXECUTIONS_AT_ONCE):
            batch = aside[start : start + EXECUTIONS_AT_ONCE]
            digests = [location.rpartition("/")[2].partition(".")[0] for location in batch]
            asked = {"digests": digests, "locations": list(batch)}
            in_use: dict[str, bool] = dict(connection.execute(statement.KNOWN, asked).fetchall())
            for location in batch:
                if location not in in_use:
                    self._aside.delete(location)
                elif in_use[location]:
                    self._aside.put_back(location)
            yield Gone()

    def _connect(self) -> Connection:
        return connect(
            self._dsn, role=Role.ENGINE, autocommit=True, application="wfplatform-retention", settings=_SETTINGS
        )


def _scanning(connection: Connection, values: Values) -> Iterator[tuple[str, Values]]:
    """Statements that leave in a temporary table what nobody refers to; each reads a day, and none locks a row."""
    connection.execute(statement.CANDIDATES, values)
    connection.execute("create index on unreferenced (digest)")
    connection.execute("analyze unreferenced")
    if not _one(connection, "select exists (select from unreferenced)"):
        return
    days = {first for one in _partitions(connection) for first in (one.first_id, one.next_id)}
    for first_id, next_id in pairwise([_FIRST, *sorted(days), _LAST]):
        yield statement.REFERRED["node_execution"], {**values, "from": first_id, "before": next_id}
    yield statement.REFERRED["cache_entry"], values


def _values(connection: Connection, rules: RetentionRules) -> Values:
    now: datetime = _one(connection, "select now()").astimezone(UTC)
    ended_before = None if rules.executions is None else now - rules.executions
    settled_before = now - rules.settled
    # A number may let any of them go that has settled.
    born_before = settled_before if rules.executions_per_workflow is not None or ended_before is None else ended_before
    return {
        "now": now,
        "ended_before": ended_before,
        "settled_before": settled_before,
        "born_before": lowest_id_at(born_before),
        "lines_before": None if rules.logs is None else now - rules.logs,
        "unused_before": now - rules.unused,
        "unused": rules.unused,
    }


def _bound(connection: Connection, rules: RetentionRules) -> None:
    if rules.executions_per_workflow is None:
        connection.execute(statement.NO_BOUNDS)
    else:
        connection.execute(statement.BOUNDS, {"kept": rules.executions_per_workflow})


def _lines_before(values: Values) -> UUID:
    """The first execution of the first day whose lines may not all be old."""
    at: datetime | None = values["lines_before"]
    return _FIRST if at is None else lowest_id_at(at.replace(hour=0, minute=0, second=0, microsecond=0))


def _strays(found: Mapping[str, int]) -> Values:
    names = [location.rpartition("/")[2].partition(".") for location in found]
    return {
        "tenant": DEFAULT_TENANT,
        "digests": [digest for digest, _, _ in names],
        "codecs": [codec for _, _, codec in names],
        "sizes": list(found.values()),
        "locations": list(found),
    }


def _late(connection: Connection, values: Values, first_id: UUID, next_id: UUID) -> list[UUID]:
    """Executions of some days whose lines stay."""
    found = connection.execute(statement.LATE, {**values, "from": first_id, "before": next_id}).fetchone()
    return list(found[0]) if found else []


def _partitions(connection: Connection) -> list[_Partition]:
    return [_Partition(*row) for row in connection.execute(statement.PARTITIONS)]


def _one(connection: Connection, query: str, *values: object) -> Any:
    row = connection.execute(query, values).fetchone()
    assert row is not None
    return row[0]
