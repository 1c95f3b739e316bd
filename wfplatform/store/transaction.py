"""A commit as the statements that write it, in an order in which each still finds who owns what.

Refuses: executing them; the engine's store does that, in one transaction.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

import psycopg

from wfplatform.core.execution import Outcome
from wfplatform.core.ports import Commit
from wfplatform.store import statement
from wfplatform.store.row import (
    Artifact,
    Folded,
    asleep_rows,
    cache_rows,
    child_rows,
    command_rows,
    execution_rows,
    node_row,
)
from wfplatform.store.text import clean, cut

__all__ = ["Statement", "commit_statements", "copy_rows"]

type Statement = tuple[str, Mapping[str, Any]]
"""SQL and its parameters."""


def copy_rows(connection: psycopg.Connection[tuple[Any, ...]], table: str, columns: str, texts: Iterable[str]) -> None:
    """Sends rows by COPY, each text as soon as it is made."""
    with connection.cursor() as cursor, cursor.copy(f"copy {table} ({columns}) from stdin") as copy:
        for text in texts:
            copy.write(text)


def commit_statements(commit: Commit, folded: Folded, artifacts: list[Artifact]) -> list[Statement]:
    """What is to be executed, in this order; nothing for what is empty.

    Args:
        commit: for all but its nodes.
        folded: its nodes and lines, as far as they are not copied.
        artifacts: of the nodes that are copied; those of the others are added.
    """
    engine = commit.engine_id
    found: list[Statement] = []

    def add(query: str, rows: list[Any]) -> None:
        if rows:
            found.append((query, {"rows": json.dumps(rows), "engine": engine}))

    add(statement.ATTEMPTS, folded.attempts)
    add(statement.RESET, [node_row(record, artifacts) for record in folded.reset])
    add(statement.NODES_WRITTEN, [node_row(record, artifacts) for record in (*folded.fresh, *folded.written)])
    add(statement.NODES_STANDING, [node_row(record, artifacts) for record in folded.standing])
    add(statement.LINES, [_line(*line) for line in folded.lines])
    add(
        statement.PROGRESS,
        [
            {
                "execution_id": str(execution_id),
                "node_id": outcome.node,
                "element": outcome.element,
                "attempt": outcome.attempt,
                "progress": outcome.progress[0],
                "message": cut(outcome.progress[1]),
            }
            for execution_id, outcome in {(i, o.node, o.element): (i, o) for i, o in commit.progress}.values()
            if outcome.progress is not None
        ],
    )
    if artifacts:
        columns = {"executions": 0, "digests": 1, "codecs": 2, "sizes": 3, "locations": 4, "bodies": 5}
        unique = list({artifact[:3]: artifact for artifact in artifacts}.values())
        lists = {name: [artifact[index] for artifact in unique] for name, index in columns.items()}
        found.append((statement.ARTIFACTS, {**lists, "engine": engine}))
    add(statement.CHILDREN, child_rows(commit.children))
    add(statement.CACHE_NEW, cache_rows(commit.cache, artifacts))
    add(statement.COMMANDS_NEW, command_rows(commit.commands))
    if commit.commands_done:
        found.append((statement.COMMANDS_DONE, {"ids": list(commit.commands_done)}))
    add(statement.EXECUTIONS, execution_rows(commit.executions))
    if commit.released:
        found.append((statement.RELEASED, {"ids": list(commit.released), "engine": engine}))
    add(statement.ASLEEP, asleep_rows(commit.asleep))
    return found


def _line(execution_id: UUID, epoch: int | None, outcome: Outcome, number: int) -> dict[str, Any]:
    at, level, logger_name, message = outcome.logs[number]
    return {
        "execution_id": str(execution_id),
        "epoch": epoch,
        "at": at,
        "node_id": outcome.node,
        "element": outcome.element,
        "attempt": outcome.attempt,
        "line": number,
        "level": max(-32_768, min(int(level), 32_767)),
        "logger": clean(logger_name),
        "message": cut(message),
    }
