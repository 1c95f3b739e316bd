"""What earlier executions left that tells what a new one would do: results, costs, versions, the workers there are.

Refuses: writing; and results of other tenants.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from wfplatform.core.forecast import KeptResult
from wfplatform.core.ports import StoredVersion
from wfplatform.errors import NotFoundError
from wfplatform.store import statement
from wfplatform.store.database import Database
from wfplatform.store.failure import explained
from wfplatform.store.record_row import version_query
from wfplatform.store.table import Row

__all__ = ["PastReader"]

_KEPT: Final = """
select key, outputs, sizes, execution_id, created_at, expires_at, coalesce(expires_at <= now(), false)
from cache_entry where key = any(%b)"""
_LATEST: Final = """
select distinct on (c.node_id) c.node_id, c.execution_id, c.created_at, e.version_id
from cache_entry c join execution e on e.id = c.execution_id
where e.workflow_name = %b order by c.node_id, c.created_at desc"""
_COSTS: Final = """
select distinct on (k.node_id) k.node_id, k.mean_s
from node_cost k join workflow_version v on v.id = k.version_id join workflow w on w.id = v.workflow_id
where w.name = %b order by k.node_id, (v.digest = %b) desc, v.number desc"""
_SLOTS: Final = """
select max((facts ->> 'slots')::int) from engine where fenced_at is null and lease_expires_at > clock_timestamp()"""


class PastReader:
    """Reads of a tenant. Each method raises UnreachableError when the database does not answer.

    Args:
        database: as the runtime role.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def kept(self, tenant_id: UUID, keys: Sequence[str]) -> Mapping[str, KeptResult]:
        """Key -> the result under it, those that have expired too."""
        return {key: KeptResult(*rest) for key, *rest in self._rows(tenant_id, _KEPT, (list(keys),))}

    def latest(self, tenant_id: UUID, workflow_name: str) -> Mapping[str, tuple[UUID, datetime, UUID]]:
        """Node id -> (execution, when, workflow version) of the newest result that a workflow left for reuse."""
        return {node: (one, at, version) for node, one, at, version in self._rows(tenant_id, _LATEST, (workflow_name,))}

    def costs(self, tenant_id: UUID, workflow_name: str, digest: str) -> Mapping[str, float]:
        """Node id -> seconds of one element, in the version with this digest, else in the newest that knows."""
        return dict(self._rows(tenant_id, _COSTS, (workflow_name, digest)))

    def published(self, tenant_id: UUID, version_id: UUID) -> tuple[StoredVersion, bytes]:
        """A workflow version and its code.

        Raises:
            NotFoundError: there is none.
        """
        query = version_query().where(Row.metadata.tables["workflow_version"].c.id == version_id)
        with self._database.session(tenant_id) as session:
            found = session.connection().execute(query).mappings().first()
        if found is None:
            raise NotFoundError("version_not_found", f"No workflow version has the id {version_id}.")
        version = StoredVersion(**found)
        rows = self._rows(tenant_id, "select body from code where digest = %b", (version.code_digest,))
        return version, bytes(rows[0][0])

    def slots(self) -> int:
        """How many workers the living engines know; 0 = none has told."""
        with explained(), self._database.driver() as connection:
            row = connection.execute(_SLOTS).fetchone()
        return int(row[0]) if row and row[0] else 0

    def _rows(self, tenant_id: UUID, query: str, values: Sequence[Any]) -> Sequence[tuple[Any, ...]]:
        with explained(), self._database.driver() as connection:
            connection.execute(statement.TENANT, (str(tenant_id),))
            return connection.execute(query.encode(), values).fetchall()
