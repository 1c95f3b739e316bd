"""Executions that ended long ago, with what is recorded of them, written straight into the tables: nobody can wait for months."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import psycopg

from wfplatform.core.identifier import DEFAULT_TENANT, TimeOrderedIds

__all__ = ["TABLES", "Old", "counted", "located", "output"]

TABLES = (
    "execution",
    "node_execution",
    "attempt",
    "node_log",
    "command",
    "cache_entry",
    "artifact",
    "removed_execution",
)


class Old(NamedTuple):
    """Writes what is old; as the superuser, one transaction a call."""

    dsn: str

    def execution(
        self,
        days: float,
        *,
        workflow: str = "delays",
        state: str = "completed",
        nodes: int = 1,
        lines: int = 0,
        outputs: Mapping[str, Any] | None = None,
        parent: UUID | None = None,
        ended_days: float | None = None,
    ) -> UUID:
        """An execution that was asked for some days ago, and ended then too unless told otherwise."""
        asked_at = datetime.now(UTC) - timedelta(days=days)
        ended_at = asked_at if ended_days is None else datetime.now(UTC) - timedelta(days=ended_days)
        execution = TimeOrderedIds(now_ms=lambda: int(asked_at.timestamp() * 1000)).new()
        with psycopg.connect(self.dsn) as connection:
            version = _version(connection, workflow)
            connection.execute(
                "insert into execution (id, tenant_id, version_id, workflow_name, parameters, state, created_at, finished_at,"
                " updated_at, parent_id) values (%s, %s, %s, %s, '{}', %s, %s, %s, %s, %s)",
                (
                    execution, DEFAULT_TENANT, version, workflow, state, asked_at,
                    ended_at if state in ("completed", "failed", "cancelled") else None, ended_at, parent,
                ),
            )  # fmt: skip
            connection.execute(
                "insert into node_execution (execution_id, tenant_id, node_id, element, state, outputs)"
                " select %s, %s, 'a', array[i], 'completed', %s from generate_series(1, %s) as i",
                (execution, DEFAULT_TENANT, json.dumps(outputs) if outputs else None, nodes),
            )
            connection.execute(
                "insert into node_log (execution_id, tenant_id, at, node_id, element, attempt, line, level, message)"
                " select %s, %s, %s, 'a', array[i], 1, i, 20, 'm' from generate_series(1, %s) as i",
                (execution, DEFAULT_TENANT, asked_at, lines),
            )
            connection.execute(
                "insert into attempt (execution_id, tenant_id, node_id, attempt, state) values (%s, %s, 'a', 1, 'lost')",
                (execution, DEFAULT_TENANT),
            )
            connection.execute(
                "insert into command (tenant_id, execution_id, kind, payload, done_at) values (%s, %s, 'pause', '{}', now())",
                (DEFAULT_TENANT, execution),
            )
        return execution

    def cached(
        self, execution: UUID, key: str, outputs: Mapping[str, Any], *, expired_days: float | None = None
    ) -> None:
        """A result for reuse that an execution left."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "insert into cache_entry (tenant_id, key, execution_id, node_id, outputs, expires_at)"
                " values (%s, %s, %s, 'a', %s, now() - make_interval(secs => %s))",
                (
                    DEFAULT_TENANT, key, execution, json.dumps(outputs),
                    None if expired_days is None else expired_days * 86_400,
                ),
            )  # fmt: skip

    def artifact(self, told: Mapping[str, Any], *, days: float = 90, tenant_id: UUID = DEFAULT_TENANT) -> None:
        """The row of an artifact; its bytes stand in it unless the output tells where they lie."""
        with psycopg.connect(self.dsn) as connection:
            connection.execute(
                "insert into artifact (tenant_id, digest, codec, size_bytes, location, body, created_at)"
                " values (%s, %s, %s, %s, %s, %s, now() - make_interval(secs => %s))",
                (
                    tenant_id, told["digest"], told["codec"], told["size"], told.get("location"),
                    None if "location" in told else b"x" * told["size"], days * 86_400,
                ),
            )  # fmt: skip


def _version(connection: psycopg.Connection[Any], workflow: str) -> UUID:
    found = connection.execute(
        "select v.id from workflow_version v join workflow w on w.id = v.workflow_id where w.name = %s", (workflow,)
    ).fetchone()
    if found:
        return UUID(str(found[0]))
    ids = TimeOrderedIds()
    made, version = ids.new(), ids.new()
    connection.execute(
        "insert into workflow (id, tenant_id, name) values (%s, %s, %s)", (made, DEFAULT_TENANT, workflow)
    )
    connection.execute(
        "insert into code (tenant_id, digest, body) values (%s, 'c', 'x') on conflict do nothing", (DEFAULT_TENANT,)
    )
    connection.execute(
        "insert into workflow_version (id, tenant_id, workflow_id, number, digest, document, code_digest)"
        " values (%s, %s, %s, 1, 'd', '{}', 'c')",
        (version, DEFAULT_TENANT, made),
    )
    return version


def output(digest: str, size_bytes: int = 10) -> dict[str, Any]:
    """An output whose bytes stand in the database."""
    return {"codec": "arrow", "size": size_bytes, "digest": digest}


def located(digest: str, size_bytes: int = 10) -> dict[str, Any]:
    """An output whose bytes lie in the storage."""
    return {**output(digest, size_bytes), "location": f"artifacts/{digest[:2]}/{digest}.arrow"}


def counted(dsn: str, tables: Sequence[str] = TABLES) -> dict[str, int]:
    """How many rows each table has."""
    with psycopg.connect(dsn) as connection:
        return {name: _rows(connection, name) for name in tables}


def _rows(connection: psycopg.Connection[Any], name: str) -> int:
    row = connection.execute(f"select count(*) from {name}").fetchone()
    return int(row[0]) if row else -1
