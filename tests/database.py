"""Databases for tests: one server a test process, one migrated template, one copy of it a test.

Refuses: durability (fsync is off), and leaving anything behind.
"""

from __future__ import annotations

import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from wfplatform.store import migration
from wfplatform.store.embedded import EmbeddedServer

__all__ = ["dsn", "empty_dsn", "new_database", "postgres", "template"]


def in_database(server: str, name: str) -> str:
    """The DSN of another database of the same server."""
    return make_conninfo(**{**conninfo_to_dict(server), "dbname": name})


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of this test process; the DSN of its superuser."""
    # Not below pytest's own folder, which the account that runs PostgreSQL cannot enter when the tests run as root.
    folder = Path(tempfile.mkdtemp(prefix="wf-postgres-"))
    folder.chmod(0o755)
    try:
        with EmbeddedServer(folder=folder / "server", fsync=False) as server:
            yield server.address.dsn
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def new_database(postgres: str) -> Callable[[str], str]:
    """Makes databases from a template; the returned function takes the template's name and gives the new one's DSN."""
    numbers = itertools.count()

    def make(template: str) -> str:
        name = f"test_{next(numbers)}"
        with psycopg.connect(postgres, autocommit=True) as connection:
            connection.execute(f"create database {name} template {template}")
        return in_database(postgres, name)

    return make


@pytest.fixture(scope="session")
def template(postgres: str) -> str:
    """The name of a migrated database that nobody is connected to."""
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute("create database wf_template template template0")
    made = in_database(postgres, "wf_template")
    migration.upgrade(made)
    with psycopg.connect(made) as connection:
        # Every partition is a dozen files to copy for each test; today's and tomorrow's will do.
        rows = connection.execute(
            "select format('drop table %I', relname) from pg_class where relkind = 'r' and relispartition"
            " and relname ~ '[0-9]{8}$' and to_date(right(relname, 8), 'YYYYMMDD') > current_date + 1"
        ).fetchall()
        for (statement,) in rows:
            connection.execute(statement)
    return "wf_template"


@pytest.fixture
def dsn(postgres: str, template: str, new_database: Callable[[str], str]) -> Iterator[str]:
    """A migrated database of this test's own."""
    made = new_database(template)
    yield made
    drop(postgres, made)


@pytest.fixture
def empty_dsn(postgres: str, new_database: Callable[[str], str]) -> Iterator[str]:
    """An empty database of this test's own."""
    made = new_database("template0")
    yield made
    drop(postgres, made)


def drop(server: str, made: str) -> None:
    """Drops a database, whoever is still connected."""
    with psycopg.connect(server, autocommit=True) as connection:
        connection.execute(f"drop database {conninfo_to_dict(made)['dbname']} with (force)")
