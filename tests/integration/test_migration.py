"""The schema: made once by however many begin it, compared with what the classes say, and refused when it is another's."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy import create_engine, pool

from tests.database import drop, in_database
from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds
from wfplatform.errors import SchemaError
from wfplatform.store import migration
from wfplatform.store.migration import SchemaState
from wfplatform.store.table import Row


def test_an_empty_database_is_brought_to_this_release(empty_dsn: str) -> None:
    before = migration.status(empty_dsn)
    assert (before.state, before.revision) == (SchemaState.EMPTY, None)
    assert before.pending == migration.revisions()
    with pytest.raises(SchemaError, match="empty") as caught:
        migration.check(empty_dsn)
    assert "wfp db upgrade" in caught.value.hint
    assert migration.upgrade(empty_dsn).state is SchemaState.CURRENT
    migration.check(empty_dsn)
    with psycopg.connect(empty_dsn) as connection:
        assert one(connection, "select id from tenant") == DEFAULT_TENANT
        assert one(connection, "select tableowner from pg_tables where tablename = 'execution'") == "wf_owner"


def test_upgrading_again_does_nothing(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        before = one(connection, "select array_agg(oid order by oid) from pg_class")
        assert migration.upgrade(dsn).pending == ()
        assert one(connection, "select array_agg(oid order by oid) from pg_class") == before


def test_processes_that_upgrade_at_once_all_succeed(empty_dsn: str) -> None:
    program = "import sys; from wfplatform.store import migration; print(migration.upgrade(sys.argv[1]).state)"
    command = [sys.executable, "-c", program, empty_dsn]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(5)]
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0] * 5, said
    assert {out.strip() for out, _ in said} == {b"current"}
    migration.check(empty_dsn)


@pytest.mark.parametrize("revision", migration.revisions())
def test_every_release_before_is_brought_here_with_its_rows(empty_dsn: str, revision: str) -> None:
    migration.upgrade(empty_dsn, revision=revision)
    found = migration.status(empty_dsn)
    assert found.revision == revision
    assert found.state is (SchemaState.CURRENT if revision == migration.head() else SchemaState.OLDER)
    filled = fill(empty_dsn)
    assert migration.upgrade(empty_dsn).revision == migration.head()
    with psycopg.connect(empty_dsn) as connection:
        counts = {name: one(connection, f"select count(*) from {name}") for name in filled}
    assert counts == filled


def fill(dsn: str) -> dict[str, int]:
    """Puts a row into each table with nothing but what the first release knew; how many rows each has then."""
    new = TimeOrderedIds().new
    workflow, version, execution = new(), new(), new()
    key = "execution_id, node_id, attempt, tenant_id"
    statements: list[tuple[str, tuple[object, ...]]] = [
        ("insert into workflow (id, tenant_id, name) values (%s, %s, 'delays')", (workflow, DEFAULT_TENANT)),
        ("insert into code (tenant_id, digest, body) values (%s, 'c', 'x')", (DEFAULT_TENANT,)),
        (
            (
                "insert into workflow_version (id, tenant_id, workflow_id, number, digest, document, code_digest)"
                " values (%s, %s, %s, 1, 'd', '{}', 'c')"
            ),
            (version, DEFAULT_TENANT, workflow),
        ),
        (
            "insert into execution (id, tenant_id, version_id, workflow_name, parameters) values (%s, %s, %s, 'delays', '{}')",
            (execution, DEFAULT_TENANT, version),
        ),
        (
            f"insert into node_execution ({key}, state) values (%s, 'a', 1, %s, 'completed')",
            (execution, DEFAULT_TENANT),
        ),
        (f"insert into attempt ({key}, state) values (%s, 'a', 1, %s, 'lost')", (execution, DEFAULT_TENANT)),
        (
            f"insert into node_log ({key}, at, line, level, message) values (%s, 'a', 1, %s, now(), 0, 20, 'm')",
            (execution, DEFAULT_TENANT),
        ),
        (
            "insert into artifact (tenant_id, digest, codec, size_bytes, body) values (%s, 'd', 'json', 1, '1')",
            (DEFAULT_TENANT,),
        ),
        ("insert into engine (id, lease_expires_at) values (%s, now())", (new(),)),
        (
            "insert into command (tenant_id, execution_id, kind, payload) values (%s, %s, 'cancel', '{}')",
            (DEFAULT_TENANT, execution),
        ),
        ("insert into node_cost (version_id, node_id, mean_s, samples) values (%s, 'a', 1, 1)", (version,)),
    ]
    with psycopg.connect(dsn) as connection:
        for statement, values in statements:
            connection.execute(statement, values)
        names = [statement.split()[2] for statement, _ in statements]
        return {name: one(connection, f"select count(*) from {name}") for name in names}


def test_the_classes_say_what_the_database_has(dsn: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn), poolclass=pool.NullPool)

    def ours(entry: Any, name: str | None, kind: str, reflected: bool, compared: Any) -> bool:
        return not (kind == "table" and reflected and compared is None and is_partition(name or ""))

    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection,
            opts={
                "version_table": "wf_schema_version",
                "compare_type": True,
                "compare_server_default": True,
                "include_object": ours,
            },
        )
        assert compare_metadata(context, Row.metadata) == []


def is_partition(name: str) -> bool:
    return name.endswith("_default") or name[-8:].isdigit()


def test_the_database_of_a_newer_release_is_left_alone(dsn: str) -> None:
    with psycopg.connect(dsn) as connection:
        connection.execute("update wf_schema_version set version_num = '9999'")
    assert migration.status(dsn).state is SchemaState.NEWER
    for attempt in (migration.check, migration.upgrade):
        with pytest.raises(SchemaError, match="9999") as caught:
            attempt(dsn)
        assert "newer release" in caught.value.hint


def test_the_database_of_another_program_is_left_alone(empty_dsn: str) -> None:
    with psycopg.connect(empty_dsn) as connection:
        connection.execute("create table execution (id int)")
    for attempt in (migration.check, migration.upgrade):
        with pytest.raises(SchemaError, match="did not make") as caught:
            attempt(empty_dsn)
        assert "database of its own" in caught.value.hint


def test_an_account_without_rights_is_told_what_an_administrator_has_to_run(
    postgres: str, template: str, new_database: Callable[[str], str]
) -> None:
    made = new_database("template0")
    name = conninfo_to_dict(made)["dbname"]
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create role plain login")
        connection.execute(f"alter database {name} owner to plain")
    poor = make_conninfo(**{**conninfo_to_dict(made), "user": "plain"})
    with pytest.raises(SchemaError, match="plain may not") as caught:
        migration.upgrade(poor)
    hint = caught.value.hint
    grants = [line for line in hint.splitlines() if line.startswith("GRANT")]
    assert "CREATE ROLE wf_engine LOGIN BYPASSRLS;" in hint
    with psycopg.connect(in_database(postgres, str(name)), autocommit=True) as connection:
        for grant in grants:
            connection.execute(grant)
    assert migration.upgrade(poor).state is SchemaState.CURRENT
    drop(postgres, made)
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("drop role plain")


def one(connection: psycopg.Connection[tuple[Any, ...]], query: str) -> Any:
    row = connection.execute(query).fetchone()
    assert row is not None
    return row[0]
