"""What an operator asks of a platform without running anything on it: where it is, if it runs, and its schema.

Refuses: starting what only is to be looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing

import psutil

from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.health import what_is_wrong
from wfplatform.bootstrap.supervisor import PlatformAddress, ProcessRow, is_supervised
from wfplatform.errors import PlatformError
from wfplatform.settings import Settings
from wfplatform.store import migration
from wfplatform.store.database import Database
from wfplatform.store.migration import SchemaStatus

__all__ = ["find_running", "is_supervised", "problem_now", "schema_status", "upgrade_schema", "worker_pids"]


def find_running(settings: Settings) -> PlatformAddress | None:
    """Where the platform of the home is; None when it does not run.

    Raises:
        UnreachableError: a supervisor runs and does not answer.
    """
    if is_supervised(settings) and not supervisor.status(settings):
        return None
    return supervisor.ensure_running(settings)


def problem_now(settings: Settings, address: PlatformAddress) -> PlatformError | None:
    """What keeps executions from going on at this moment, or None.

    Args:
        settings: of the home.
        address: where its database is, which has been brought to this release.

    Raises:
        UnreachableError: supervisor or database does not answer.
    """
    with closing(Database(address.dsn)) as database:
        return what_is_wrong(settings, database)


def schema_status(settings: Settings) -> SchemaStatus | None:
    """How the schema of the database stands to this release; None when the platform's own database does not run.

    Raises:
        UnreachableError: the database does not answer.
    """
    if settings.database_url:
        return migration.status(settings.database_url)
    address = find_running(settings)
    return None if address is None else migration.status(address.dsn)


def upgrade_schema(settings: Settings) -> tuple[SchemaStatus, SchemaStatus]:
    """Bring the schema to this release; starts the platform when the database is its own and does not run.

    Returns:
        the status before and after.

    Raises:
        SchemaError: the database belongs to a newer release or another program.
        UnreachableError: the database does not answer.
    """
    if settings.database_url:
        before = migration.status(settings.database_url)
        return before, migration.upgrade(settings.database_url)
    with supervisor.attach(settings) as attachment:
        before = migration.status(attachment.address.dsn)
        return before, migration.upgrade(attachment.address.dsn)


def worker_pids(rows: Sequence[ProcessRow]) -> list[int]:
    """The worker processes of a process table: what its worker host has forked."""
    host = next((row.pid for row in rows if row.name == "workers" and row.pid is not None), None)
    try:
        children = psutil.Process(host).children() if host is not None else []
        servers = [one for one in children if any("forkserver" in word for word in one.cmdline())]
        return sorted(worker.pid for server in servers for worker in server.children())
    except psutil.Error:
        return []  # It ended while it was looked at.
