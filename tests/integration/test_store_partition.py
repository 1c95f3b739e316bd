"""Days of what was recorded: made ahead, found by the key, dropped as a whole."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds, lowest_id_at
from wfplatform.store.database import Role, connect
from wfplatform.store.partition import create_partitions, drop_partition

DAY = date(2030, 5, 6)
KINDS = ("node_execution", "attempt", "node_log")


@pytest.fixture
def engine(dsn: str) -> Iterator[psycopg.Connection[Any]]:
    with connect(dsn, role=Role.ENGINE) as connection:
        yield connection


def days(connection: psycopg.Connection[Any], parent: str = "node_execution") -> list[str]:
    found = connection.execute(
        "select right(inhrelid::regclass::text, 8) from pg_inherits where inhparent = %s::regclass order by 1",
        (parent,),
    ).fetchall()
    return [day for (day,) in found if day.isdigit()]


def asked(connection: psycopg.Connection[Any], at: datetime, state: str = "completed") -> UUID:
    """An execution asked for at an instant, with one node recorded."""
    execution = TimeOrderedIds(now_ms=lambda: int(at.timestamp() * 1000)).new()
    new = TimeOrderedIds().new
    workflow, version = new(), new()
    connection.execute(
        "insert into workflow (id, tenant_id, name) values (%s, %s, %s)", (workflow, DEFAULT_TENANT, str(workflow))
    )
    connection.execute(
        "insert into code (tenant_id, digest, body) values (%s, 'c', 'x') on conflict do nothing", (DEFAULT_TENANT,)
    )
    connection.execute(
        "insert into workflow_version (id, tenant_id, workflow_id, number, digest, document, code_digest)"
        " values (%s, %s, %s, 1, 'd', '{}', 'c')",
        (version, DEFAULT_TENANT, workflow),
    )
    connection.execute(
        "insert into execution (id, tenant_id, version_id, workflow_name, parameters, state) values (%s, %s, %s, 'w', '{}', %s)",
        (execution, DEFAULT_TENANT, version, state),
    )
    connection.execute(
        "insert into node_execution (execution_id, node_id, tenant_id, state) values (%s, 'a', %s, 'completed')",
        (execution, DEFAULT_TENANT),
    )
    connection.commit()
    return execution


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def place(connection: psycopg.Connection[Any], execution: UUID) -> str:
    row = connection.execute(
        "select tableoid::regclass::text from node_execution where execution_id = %s", (execution,)
    ).fetchone()
    assert row is not None
    return str(row[0])


def test_partitions_are_made_ahead_once(engine: psycopg.Connection[Any]) -> None:
    before = days(engine)
    assert create_partitions(engine, first_day=DAY, days=3) == 9
    assert create_partitions(engine, first_day=DAY, days=4) == 3
    assert create_partitions(engine, first_day=DAY, days=4) == 0
    for parent in KINDS:
        assert set(days(engine, parent)) - set(before) == {"20300506", "20300507", "20300508", "20300509"}
    create_partitions(engine)
    today = datetime.now(UTC).date()
    assert {f"{today + timedelta(days=ahead):%Y%m%d}" for ahead in range(14)} <= set(days(engine))


def test_an_execution_lies_in_the_partition_of_its_day(engine: psycopg.Connection[Any]) -> None:
    create_partitions(engine, first_day=DAY, days=2)
    first = datetime(DAY.year, DAY.month, DAY.day, tzinfo=UTC)
    found = [
        place(engine, asked(engine, at))
        for at in (first - timedelta(milliseconds=1), first, first + timedelta(days=1, milliseconds=-1))
    ]
    assert found == ["node_execution_default", "node_execution_20300506", "node_execution_20300506"]
    plan = engine.execute(
        "explain select * from node_execution where execution_id = %s", (lowest_id_at(noon(DAY)),)
    ).fetchall()
    assert "node_execution_20300506" in str(plan)
    assert "node_execution_20300507" not in str(plan)


def test_a_partition_has_the_settings_and_indexes_of_the_hot_table(engine: psycopg.Connection[Any]) -> None:
    create_partitions(engine, first_day=DAY, days=1)
    row = engine.execute(
        "select c.reloptions, (select count(*) from pg_index i where i.indrelid = c.oid),"
        " (select count(*) from pg_inherits h join pg_index i on i.indexrelid = h.inhrelid where i.indrelid = c.oid)"
        " from pg_class c where c.relname = 'node_execution_20300506'"
    ).fetchone()
    assert row is not None
    assert "fillfactor=80" in row[0]
    assert row[1:] == (4, 4), "all indexes hang below those of the whole"


def test_a_day_that_began_without_its_partition_stays_where_it_is(engine: psycopg.Connection[Any]) -> None:
    execution = asked(engine, noon(DAY))
    assert create_partitions(engine, first_day=DAY, days=1) == 2, "the two other tables have no row of that day"
    assert place(engine, execution) == "node_execution_default"
    assert create_partitions(engine, first_day=DAY + timedelta(days=1), days=1) == 3


def test_engines_that_make_them_at_once_do_not_collide(dsn: str, engine: psycopg.Connection[Any]) -> None:
    made: list[int] = []

    def work() -> None:
        with connect(dsn, role=Role.ENGINE) as connection:
            made.append(create_partitions(connection, first_day=DAY, days=3))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(made) == [0, 0, 0, 9]


def test_a_day_is_dropped_unless_the_table_is_in_use(dsn: str, engine: psycopg.Connection[Any]) -> None:
    create_partitions(engine, first_day=DAY, days=2)
    ended = asked(engine, noon(DAY))
    engine.autocommit = True
    with psycopg.connect(dsn) as reader:
        reader.execute("select count(*) from node_execution")
        with pytest.raises(errors.LockNotAvailable):
            drop_partition(engine, "node_execution", DAY)
    drop_partition(engine, "node_execution", DAY)
    assert [day for day in days(engine) if day.startswith("2030")] == ["20300507"]
    assert [day for day in days(engine, "node_log") if day.startswith("2030")] == ["20300506", "20300507"]
    assert engine.execute("select from node_execution where execution_id = %s", (ended,)).fetchall() == []
    row = engine.execute("select state from execution where id = %s", (ended,)).fetchone()
    assert row == ("completed",), "the execution itself stays"
