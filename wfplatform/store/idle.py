"""Asks a database whether anybody still needs the platform: open executions or active schedules. Run as a
program by the supervisor.

Exit codes: 0 nobody, 3 somebody, 1 cannot tell. Refuses: writing.
"""

from __future__ import annotations

import os
import sys
from typing import Final

import psycopg

__all__ = ["BUSY", "IDLE", "is_idle"]

IDLE: Final = 0
BUSY: Final = 3

# wf_is_idle() belongs to the schema; before the first migration there is nothing that could be lost.
_FUNCTION: Final = "select to_regproc('wf_is_idle') is not null"
_TABLE: Final = "select to_regclass('execution') is not null"
_OPEN: Final = "select not exists (select from execution where state in ('pending', 'running', 'waiting'))"


def is_idle(dsn: str) -> bool:
    """Whether no execution is open and no schedule is active.

    Args:
        dsn: a role that sees every tenant.

    Raises:
        psycopg.Error: the database does not answer or refuses the question.
    """
    with psycopg.connect(
        dsn, autocommit=True, options="-c default_transaction_read_only=on -c statement_timeout=5000"
    ) as link:
        if _one(link, _FUNCTION):
            return _one(link, "select wf_is_idle()")
        return not _one(link, _TABLE) or _one(link, _OPEN)


def _one(link: psycopg.Connection[tuple[object, ...]], query: str) -> bool:
    row = link.execute(query.encode()).fetchone()
    return bool(row and row[0])


if __name__ == "__main__":
    sys.exit(IDLE if is_idle(os.environ["WFP_DATABASE_URL"]) else BUSY)
