"""Brings a database to this release's schema, and says how far it is. Safe to call from many processes at one moment.

Refuses: going back, and touching a database that a newer release or another program made.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

import psycopg
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import create_engine
from sqlalchemy.pool import StaticPool

from wfplatform.errors import SchemaError
from wfplatform.store.database import Role, connect
from wfplatform.store.failure import explained
from wfplatform.store.partition import create_partitions
from wfplatform.store.role import ensure_roles

__all__ = ["SchemaState", "SchemaStatus", "check", "head", "revisions", "status", "upgrade"]

logger = logging.getLogger(__name__)

_FOLDER: Final = Path(__file__).with_name("migrations")
_LOCK: Final = 7165349002
_VERSION_TABLE: Final = "wf_schema_version"
OURS: Final = ("workflow", "execution", "node_execution")


class SchemaState(StrEnum):
    """How a database's schema stands to this release."""

    EMPTY = "empty"
    OLDER = "older"
    CURRENT = "current"
    NEWER = "newer"
    FOREIGN = "foreign"


@dataclass(frozen=True, slots=True, kw_only=True)
class SchemaStatus:
    """Where a database is.

    Args:
        revision: the database's revision, None when it has none.
        expected: the revision of this release.
        pending: revisions that `upgrade` would run, oldest first.
    """

    state: SchemaState
    revision: str | None
    expected: str
    pending: tuple[str, ...] = ()


def head() -> str:
    """The revision of this release."""
    found = _script().get_current_head()
    assert found is not None
    return found


def revisions() -> tuple[str, ...]:
    """All revisions up to this release's, oldest first."""
    return _after(None)


def status(dsn: str) -> SchemaStatus:
    """Where a database is. Takes no lock.

    Args:
        dsn: any account that can read the version table.

    Raises:
        UnreachableError: the database does not answer.
    """
    with explained(), connect(dsn, autocommit=True, application="wfplatform-migration") as connection:
        return _status(connection)


def check(dsn: str) -> None:
    """Passes only if the database has this release's schema.

    Raises:
        SchemaError: it has not; the hint says what to do.
    """
    found = status(dsn)
    if found.state is not SchemaState.CURRENT:
        raise _mismatch(found)


def upgrade(dsn: str, *, revision: str | None = None) -> SchemaStatus:
    """Makes the roles, runs the missing migrations and creates partitions ahead. Does next to nothing when all is done.

    Args:
        dsn: an account that may create roles, or for which an administrator has made them; a direct connection, since a pooler
            that changes sessions between transactions would lose the lock.
        revision: stop there, for tests of what comes after; this release's when None.

    Returns:
        The status afterwards.

    Raises:
        SchemaError: the database belongs to a newer release or another program, or the account lacks rights.
        UnreachableError: the database does not answer.
    """
    with explained(), connect(dsn, autocommit=True, application="wfplatform-migration") as connection:
        found = _status(connection)
        if found.state is SchemaState.CURRENT:
            return found
        if found.state in (SchemaState.NEWER, SchemaState.FOREIGN):
            raise _mismatch(found)
        expected = found.expected
        # Session level, because a migration may need several transactions.
        connection.execute("select pg_advisory_lock(%s)", (_LOCK,))
        found = _status(connection)
        if found.state in (SchemaState.NEWER, SchemaState.FOREIGN):
            raise _mismatch(found)
        if found.state is not SchemaState.CURRENT:
            ensure_roles(connection)
            _run(dsn, revision or expected)
            logger.info("schema upgraded", extra={"revision": revision or expected, "before": found.revision})
        with connect(dsn, role=Role.ENGINE) as engine:
            create_partitions(engine)
        return _status(connection)


def _run(dsn: str, revision: str) -> None:
    with connect(dsn, role=Role.OWNER, application="wfplatform-migration") as owned:
        engine = create_engine("postgresql+psycopg://", creator=lambda: owned, poolclass=StaticPool)
        with engine.connect() as connection:
            config = _config()
            config.attributes["connection"] = connection
            command.upgrade(config, revision)
            connection.commit()


def _status(connection: psycopg.Connection[tuple[Any, ...]]) -> SchemaStatus:
    expected = head()
    found = connection.execute("select to_regclass(%s) is not null", (_VERSION_TABLE,)).fetchone()
    revision: str | None = None
    if found and found[0]:
        row = connection.execute("select version_num from wf_schema_version").fetchone()
        revision = row[0] if row else None
    if revision is None:
        row = connection.execute(
            "select exists (select from unnest(%s::text[]) as name where to_regclass(name) is not null)",
            (list(OURS),),
        ).fetchone()
        state = SchemaState.FOREIGN if row and row[0] else SchemaState.EMPTY
        return SchemaStatus(state=state, revision=None, expected=expected, pending=_after(None))
    if revision == expected:
        return SchemaStatus(state=SchemaState.CURRENT, revision=revision, expected=expected)
    known = [step.revision for step in _script().walk_revisions()]
    if revision not in known:
        return SchemaStatus(state=SchemaState.NEWER, revision=revision, expected=expected)
    return SchemaStatus(state=SchemaState.OLDER, revision=revision, expected=expected, pending=_after(revision))


def _after(revision: str | None) -> tuple[str, ...]:
    steps = [step.revision for step in _script().walk_revisions()][::-1]
    return tuple(steps[steps.index(revision) + 1 :] if revision else steps)


def _mismatch(found: SchemaStatus) -> SchemaError:
    facts = {"state": found.state.value, "revision": found.revision, "expected": found.expected}
    match found.state:
        case SchemaState.NEWER:
            message = (
                f"The database has schema {found.revision}, which this release (schema {found.expected}) does not know."
            )
            hint = "Install the newer release that upgraded it; a schema is never taken back."
        case SchemaState.FOREIGN:
            message = "The database has tables with the platform's names that the platform did not make."
            hint = "Give the platform a database of its own."
        case SchemaState.EMPTY:
            message = "The database is empty."
            hint = "Run `wfp db upgrade`."
        case _:
            message = f"The database has schema {found.revision}, this release needs {found.expected}."
            hint = "Run `wfp db upgrade`."
    return SchemaError(f"schema_{found.state}", message, hint, **facts)


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(_FOLDER).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _script() -> ScriptDirectory:
    return ScriptDirectory.from_config(_config())
