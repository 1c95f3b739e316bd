"""Partitions of the tables that grow: one a UTC day of executions, made ahead, dropped when old.

Refuses: dropping a day with executions that have not ended, and moving rows that came before their partition.
"""

from __future__ import annotations

from datetime import date
from typing import Any, Final

import psycopg

__all__ = ["DAYS_AHEAD", "create_partitions", "drop_partitions"]

DAYS_AHEAD: Final = 14
"""An engine creates partitions daily; two weeks without any engine are bridged, and the default partition
takes what comes after.
"""


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


def drop_partitions(connection: psycopg.Connection[tuple[Any, ...]], *, before_day: date) -> int:
    """Drops what was recorded of the executions of old days; the executions themselves stay.

    Args:
        connection: of the engine role.
        before_day: the first UTC day that is kept.

    Returns:
        How many partitions were dropped. A day with an execution that has not ended is kept.
    """
    row = connection.execute("select wf_drop_partitions(%s)", (before_day,)).fetchone()
    connection.commit()
    return int(row[0]) if row else 0
