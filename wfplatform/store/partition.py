"""Partitions of the tables that grow: one a UTC day of executions, made ahead, dropped when old.

Refuses: holding up whoever writes, and moving rows that came before their partition. Which day is old its caller knows.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import psycopg
from psycopg import errors

__all__ = ["DAYS_AHEAD", "create_partitions", "drop_partition"]

DAYS_AHEAD: Final = 14
"""An engine creates partitions daily; two weeks without any engine are bridged, and the default partition
takes what comes after.
"""
_DROP_LOCK_TIMEOUT: Final = "30ms"
_DROP_TRIES: Final = 5


def create_partitions(
    connection: psycopg.Connection[tuple[Any, ...]], *, first_day: date | None = None, days: int = DAYS_AHEAD
) -> int:
    """Makes the missing partitions. Several engines may do so at one moment.

    Args:
        connection: of the engine role.
        first_day: the first UTC day; the server's today when None.
        days: how many days from there.

    Returns:
        How many were made.
    """
    row = connection.execute(
        "select wf_create_partitions(coalesce(%s, (now() at time zone 'utc')::date), %s)", (first_day, days)
    ).fetchone()
    connection.commit()
    return int(row[0]) if row else 0


def drop_partition(connection: psycopg.Connection[tuple[Any, ...]], table: str, day: date) -> None:
    """Drops what a table holds of a day. Whoever uses the table is waited for no longer than others may be held up.

    Args:
        connection: of the engine role, in autocommit mode.
        table: `node_execution`, `attempt` or `node_log`.
        day: the UTC day.

    Raises:
        psycopg.errors.LockNotAvailable: the table was in use all the time.
    """
    for tries_left in range(_DROP_TRIES, 0, -1):
        try:
            with connection.transaction():
                # While it waits for the lock of the whole table, writers wait behind it.
                connection.execute("select set_config('lock_timeout', %s, true)", (_DROP_LOCK_TIMEOUT,))
                connection.execute("select wf_drop_partition(%s, %s)", (table, day))
            return
        except errors.LockNotAvailable:
            if tries_left == 1:
                raise
