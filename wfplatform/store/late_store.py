"""Which executions are late, in PostgreSQL, and that it was told of them.

What is noted and the hooks that tell it are one transaction. Refuses an engine that was fenced off.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

from psycopg.rows import dict_row

from wfplatform.core.execution import ExecutionState
from wfplatform.core.late import LateExecution
from wfplatform.core.start import NewExecution
from wfplatform.store import statement
from wfplatform.store.engine_store import Connection, PostgresEngineStore
from wfplatform.store.row import child_rows

__all__ = ["PostgresLateStore"]


class PostgresLateStore:
    """LateStore in PostgreSQL. Safe to share between threads.

    Args:
        store: of the engine.
    """

    def __init__(self, store: PostgresEngineStore) -> None:
        self._store: Final = store

    def late(self, limit: int) -> Sequence[LateExecution]:
        """Those that are late while nobody was told, those that are so for longest first.

        Raises:
            UnreachableError: the database does not answer.
        """

        def work(connection: Connection) -> Sequence[LateExecution]:
            with connection.cursor(row_factory=dict_row) as cursor:
                rows = cursor.execute(statement.LATE, {"limit": limit}).fetchall()
            return [
                LateExecution(**{**row, "state": ExecutionState(row["state"]), "tags": tuple(row["tags"])})
                for row in rows
            ]

        return self._store.retried(work)

    def tell_late(self, engine_id: UUID, told: Mapping[UUID, Sequence[tuple[UUID, NewExecution]]]) -> None:
        """Note for late executions that it is told, and insert the hooks, in one transaction.

        Raises:
            ConflictError: code `fenced`; nothing was written.
            UnreachableError: the database does not answer; whether it was written is unknown.
        """
        rows = json.dumps(child_rows([hook for hooks in told.values() for hook in hooks]))

        def work(connection: Connection) -> None:
            with connection.pipeline():
                connection.execute(statement.FENCE, {"engine": engine_id})
                connection.execute(statement.TELL_LATE, {"ids": list(told), "rows": rows})
                connection.execute(statement.COMMIT)

        self._store.retried(work)
