"""Tenants never see each other, and no role can do more than its work needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple
from uuid import UUID

import psycopg
import pytest
from psycopg import errors
from sqlalchemy import text

from wfplatform.core.event import Recorded
from wfplatform.core.execution import NodeState, Outcome, OutcomeKind, Run
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.core.ports import Commit, NodeRecord, Publication
from wfplatform.core.start import NewExecution
from wfplatform.errors import NotFoundError
from wfplatform.store.catalog import Catalog
from wfplatform.store.database import Database, Role, connect
from wfplatform.store.engine_store import PostgresEngineStore
from wfplatform.store.reader import Reader

IDS = TimeOrderedIds()
OTHER = UUID("00000000-0000-7000-8000-000000000002")
TABLES = (
    "tenant", "workflow", "workflow_version", "code", "execution", "node_execution", "attempt", "node_log", "artifact",
    "command",
)  # fmt: skip


class Two(NamedTuple):
    """A database with the same rows for two tenants."""

    dsn: str
    database: Database
    executions: dict[UUID, UUID]


@pytest.fixture
def two(dsn: str) -> Iterator[Two]:
    with psycopg.connect(dsn) as connection:
        connection.execute("insert into tenant (id, name) values (%s, 'other')", (OTHER,))
    database, store = Database(dsn, pool_size=1), PostgresEngineStore(dsn)
    catalog, engine = Catalog(database), IDS.new()
    store.register(engine, lease_s=60, facts={})
    executions = {}
    for tenant in (DEFAULT_TENANT, OTHER):
        version = catalog.publish(tenant, Publication(name="delays", digest="d", document={}, code=b"code"))
        new = NewExecution(id=IDS.new(), version_id=version.id, workflow_name="delays", parameters={})
        catalog.insert(tenant, [new])
        catalog.command(tenant, new.id, "signal")
        executions[tenant] = new.id
    output = {"result": {"codec": "arrow", "size": 1, "digest": "a", "body": b"1"}}
    error = {"type": "E"}
    told = Outcome("a", (), 1, OutcomeKind.FAILED, logs=((1.0, 20, "l", "m"),), outputs=output, error=error)
    tried = Recorded("a", (), Run(NodeState.WAITING, 1, tries=1, error=error), told, True)
    claims = store.look(engine, claims=9).claims
    store.commit(Commit(engine_id=engine, nodes=[NodeRecord(claim.id, claim.epoch, tried) for claim in claims]))
    assert {claim.tenant_id for claim in claims} == {DEFAULT_TENANT, OTHER}
    yield Two(dsn, database, executions)
    store.close()
    database.close()


def rows(connection: psycopg.Connection[Any], table: str) -> int:
    row = connection.execute(f"select count(*) from {table}").fetchone()
    return int(row[0]) if row else -1


def in_tenant(connection: psycopg.Connection[Any], tenant: UUID) -> None:
    connection.execute("select set_config('app.current_tenant_id', %s, true)", (str(tenant),))


def test_every_table_of_a_tenant_is_protected(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        found = connection.execute(
            "select c.relname, c.relrowsecurity, c.relforcerowsecurity,"
            " exists (select from pg_policy p where p.polrelid = c.oid and p.polname = 'tenant' and p.polcmd = '*'"
            "   and p.polqual is not null and p.polwithcheck is not null)"
            " from pg_class c join pg_attribute a on a.attrelid = c.oid and a.attname = 'tenant_id'"
            " where c.relkind in ('r', 'p') and c.relnamespace = current_schema()::regnamespace"
        ).fetchall()
    assert {row[0] for row in found} >= set(TABLES) - {"tenant"}
    assert [row for row in found if row[1:] != (True, True, True)] == []


def test_a_tenant_sees_its_own_rows_only(two: Two) -> None:
    for role in (Role.RUNTIME, Role.OWNER):
        with connect(two.dsn, role=role) as connection:
            for tenant in (DEFAULT_TENANT, OTHER):
                in_tenant(connection, tenant)
                assert {table: rows(connection, table) for table in TABLES} == dict.fromkeys(TABLES, 1), role
                connection.commit()


def test_without_a_tenant_there_are_no_rows(two: Two) -> None:
    with connect(two.dsn, role=Role.RUNTIME) as connection:
        assert sum(rows(connection, table) for table in TABLES) == 0
        connection.execute("select set_config('app.current_tenant_id', '', true)")
        assert sum(rows(connection, table) for table in TABLES) == 0


def test_an_engine_sees_every_tenant(two: Two) -> None:
    with connect(two.dsn, role=Role.ENGINE) as connection:
        assert {table: rows(connection, table) for table in TABLES} == dict.fromkeys(TABLES, 2)


def test_a_pooled_connection_forgets_its_tenant(two: Two) -> None:
    with two.database.session(DEFAULT_TENANT) as session:
        assert session.connection().execute(text("select count(*) from execution")).scalar() == 1
    with pytest.raises(ZeroDivisionError), two.database.session(DEFAULT_TENANT):
        raise ZeroDivisionError
    with two.database.driver() as connection:
        assert rows(connection, "execution") == 0
        found = connection.execute("select current_setting('app.current_tenant_id', true)").fetchone()
        assert found in [("",), (None,)]


def test_another_tenants_things_are_not_found(two: Two) -> None:
    reader, catalog = Reader(two.database), Catalog(two.database)
    foreign = two.executions[OTHER]
    with pytest.raises(NotFoundError):
        reader.execution(DEFAULT_TENANT, foreign)
    with pytest.raises(NotFoundError):
        reader.find(DEFAULT_TENANT, str(foreign))
    with pytest.raises(NotFoundError):
        catalog.command(DEFAULT_TENANT, foreign, "cancel")
    version = reader.workflow(OTHER, "delays").version_id
    assert version is not None
    with pytest.raises(NotFoundError):
        reader.version(DEFAULT_TENANT, version)
    wish = NewExecution(id=IDS.new(), version_id=version, workflow_name="delays", parameters={})
    with pytest.raises(NotFoundError):
        catalog.insert(DEFAULT_TENANT, [wish])
    assert list(reader.nodes(DEFAULT_TENANT, foreign).items) == []
    assert list(reader.logs(DEFAULT_TENANT, foreign).items) == []
    assert list(reader.attempts(DEFAULT_TENANT, foreign).items) == []
    assert list(reader.summary(DEFAULT_TENANT, foreign)) == []
    assert reader.outputs(DEFAULT_TENANT, {foreign: [("a", ())]}) == {}
    assert [row.id for row in reader.executions(DEFAULT_TENANT, total=True).items] == [two.executions[DEFAULT_TENANT]]


@pytest.mark.parametrize(
    "statement",
    [
        "update execution set state = 'completed'",
        "update execution set priority = 99",
        "delete from execution",
        "delete from workflow",
        "update workflow set tenant_id = tenant_id",
        "update workflow set name = 'x'",
        "insert into node_execution (execution_id, node_id, tenant_id, state) select id, 'x', tenant_id, state from execution",
        "update node_execution set state = 'failed'",
        "delete from node_log",
        "update command set done_at = now()",
        "update engine set fenced_at = now()",
        "insert into engine (id, lease_expires_at) values (gen_random_uuid(), now())",
        "select * from node_cost for update",
        "select * from node_execution_default",
        "update wf_schema_version set version_num = '0'",
        "select wf_create_partitions(current_date + 99, 1)",
        "select wf_attach_partition('node_log', current_date + 99)",
        "select wf_drop_partition('node_log', current_date)",
        "select wf_protect('execution')",
        "create table mine (id int)",
        "set session_replication_role = replica",
        (
            "insert into execution (id, tenant_id, version_id, workflow_name, parameters, state)"
            " select gen_random_uuid(), tenant_id, version_id, workflow_name, '{}', 'completed' from execution"
        ),
        (
            "insert into execution (id, tenant_id, version_id, workflow_name, parameters, engine_id)"
            " select gen_random_uuid(), tenant_id, version_id, workflow_name, '{}', gen_random_uuid() from execution"
        ),
        f"insert into command (tenant_id, execution_id, kind, payload) values ('{OTHER}', gen_random_uuid(), 'cancel', '{{}}')",
        f"insert into tenant (id, name) values ('{OTHER}', 'again')",
    ],
)
def test_use_cases_may_only_ask(two: Two, statement: str) -> None:
    with connect(two.dsn, role=Role.RUNTIME) as connection:
        in_tenant(connection, DEFAULT_TENANT)
        with pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_an_engine_cannot_change_the_schema(two: Two) -> None:
    for statement in (
        "drop table execution",
        "update wf_schema_version set version_num = '0'",
        "create table x (i int)",
    ):
        with connect(two.dsn, role=Role.ENGINE) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(statement)


def test_open_executions_of_any_tenant_keep_the_platform_alive(two: Two) -> None:
    with psycopg.connect(two.dsn) as connection:
        for role in ("none", Role.ENGINE):
            connection.execute(f"set role {role}")
            assert connection.execute("select wf_is_idle()").fetchone() == (False,)
        connection.execute("reset role")
        connection.execute("update execution set state = 'completed'")
        assert connection.execute("select wf_is_idle()").fetchone() == (True,)


def test_todays_partition_is_no_way_around(two: Two) -> None:
    with psycopg.connect(two.dsn) as connection:
        names = connection.execute(
            "select inhrelid::regclass::text from pg_inherits where inhparent = 'node_log'::regclass"
        )
        partitions = [row[0] for row in names]
    assert len(partitions) >= 2
    for name in partitions:
        with connect(two.dsn, role=Role.RUNTIME) as connection, pytest.raises(errors.InsufficientPrivilege):
            connection.execute(f"select * from {name}")
        with connect(two.dsn, role=Role.OWNER) as connection:
            assert rows(connection, name) == 0, "even the owner needs a tenant"
