"""Whether any engine is there at all: asked by those who wait for executions and see none of their own.

Refuses: an opinion on what an engine does; whoever holds a lease lives.
"""

from __future__ import annotations

from typing import Final

from wfplatform.store.database import Database
from wfplatform.store.failure import explained

__all__ = ["living_engines"]

_LIVING: Final = """
select count(*) from engine
where fenced_at is null and lease_expires_at > clock_timestamp() and host is distinct from %(besides_host)s"""


def living_engines(database: Database, *, besides_host: str | None = None) -> int:
    """How many engines hold a lease on this database.

    Args:
        database: as the runtime role.
        besides_host: engines of that machine do not count: they end again and again, each with a lease that outlives it.

    Raises:
        UnreachableError: the database does not answer.
    """
    with explained(), database.driver() as connection:
        row = connection.execute(_LIVING, {"besides_host": besides_host}).fetchone()
    assert row is not None
    return int(row[0])
