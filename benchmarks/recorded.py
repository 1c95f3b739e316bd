"""Counts afterwards, in the database itself, what was recorded of executions; and looks for the files of their artifacts.

Refuses: believing counters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from wfplatform.bootstrap.platform import EmbeddedPlatform
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.store.database import Database

__all__ = ["Expected", "Records"]

_EXECUTIONS = """
select count(*) from execution
where id = any(%s) and state = 'completed' and started_at is not null and finished_at is not null"""
_NODES = """
select count(*), count(*) filter (where state = 'completed' and started_at is not null and finished_at is not null
    and cpu_s is not null and worker is not null and input_digest is not null and outputs is not null and reused_from is null)
from node_execution where execution_id = any(%s)"""
_LINES = "select count(*) from node_log where execution_id = any(%s)"
# Each output says its value itself or names a row of `artifact`, which holds the bytes or says in which file they are.
_ARTIFACTS = """
select a.location, a.size_bytes, a.digest is null from (
    select distinct n.tenant_id, o.value->>'digest' as digest, o.value->>'codec' as codec
    from node_execution n cross join lateral jsonb_each(n.outputs::jsonb) o
    where n.execution_id = any(%s) and not o.value::jsonb ? 'value'
) o left join artifact a on a.tenant_id = o.tenant_id and a.digest = o.digest and a.codec = o.codec"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What must be there.

    Args:
        executions: how many.
        nodes: nodes and elements, of all of them.
        lines: log lines, of all of them.
    """

    executions: int = 1
    nodes: int
    lines: int


class Records:
    """The records of a platform.

    Args:
        platform: whose.
    """

    def __init__(self, platform: EmbeddedPlatform) -> None:
        self._platform = platform
        self._database = Database(platform.address.dsn, application="wfplatform-benchmarks", pool_size=1)

    def close(self) -> None:
        """Let go of the database."""
        self._database.close()

    def missing(self, executions: Sequence[UUID], expected: Expected) -> str:
        """What is not as expected, in one sentence; empty when nothing is missing."""
        ids = list(executions)
        ended = self._row(_EXECUTIONS, ids)[0]
        nodes, whole = self._row(_NODES, ids)
        lines = self._row(_LINES, ids)[0]
        if (ended, nodes, whole, lines) != (expected.executions, expected.nodes, expected.nodes, expected.lines):
            return (
                f"expected {expected.executions} completed executions, {expected.nodes} nodes and {expected.lines} lines; "
                f"recorded are {ended}, {nodes} ({whole} of them whole) and {lines}"
            )
        lost = [row for row in self._rows(_ARTIFACTS, ids) if row[2] or not self._is_there(row[0])]
        return f"{len(lost)} artifacts are lost" if lost else ""

    def durability(self) -> dict[str, str]:
        """What the server says of how it keeps what it commits."""
        return {name: str(self._row(f"show {name}")[0]) for name in ("fsync", "synchronous_commit", "server_version")}

    def _is_there(self, location: str | None) -> bool:
        if location is None:
            return True  # its bytes stand in the row
        settings = self._platform.settings
        return (settings.home / "artifacts" / location).is_file()

    def _row(self, query: str, *values: Any) -> tuple[Any, ...]:
        return self._rows(query, *values)[0]

    def _rows(self, query: str, *values: Any) -> list[tuple[Any, ...]]:
        with self._database.driver() as connection:
            connection.execute("select set_config('app.current_tenant_id', %s, true)", (str(DEFAULT_TENANT),))
            return connection.execute(query.encode(), values or None).fetchall()
