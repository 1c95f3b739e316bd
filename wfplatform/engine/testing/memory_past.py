"""What executions in a store in memory left that tells what a new one would do.

The same methods as `store.past` has over PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from uuid import UUID

from wfplatform.core.forecast import KeptResult
from wfplatform.core.ports import StoredVersion
from wfplatform.engine.testing.memory import MemoryStore

__all__ = ["MemoryPast"]


class MemoryPast:
    """Reads of a tenant, from a `MemoryStore`.

    Args:
        slots: how many nodes run side by side.
    """

    def __init__(self, store: MemoryStore, *, slots: int = 1) -> None:
        self._store = store
        self._slots = slots

    def kept(self, tenant_id: UUID, keys: Sequence[str]) -> Mapping[str, KeptResult]:
        """Key -> the result under it, those that have expired too."""
        contents = self._store.contents
        with self._store.transaction():
            now = contents.now()
            found = {key: contents.cache[tenant_id, key] for key in keys if (tenant_id, key) in contents.cache}
            return {
                key: KeptResult(
                    *result,
                    contents.executions[result.execution_id].created_at,
                    until,
                    until is not None and until <= now,
                )
                for key, (result, until) in found.items()
            }

    def latest(self, tenant_id: UUID, workflow_name: str) -> Mapping[str, tuple[UUID, datetime, UUID]]:
        """Node id -> (execution, when, workflow version) of the newest result that a workflow left for reuse."""
        contents = self._store.contents
        with self._store.transaction():
            return {
                node: (execution_id, at, contents.executions[execution_id].version_id)
                for (tenant, workflow, node), (execution_id, at) in contents.left.items()
                if (tenant, workflow) == (tenant_id, workflow_name)
            }

    def costs(self, tenant_id: UUID, workflow_name: str, digest: str) -> Mapping[str, float]:
        """Node id -> seconds of one element, in the version with this digest, else in the newest that knows."""
        contents = self._store.contents
        with self._store.transaction():
            versions = [v for v in contents.versions.values() if v.tenant_id == tenant_id and v.name == workflow_name]
            found: dict[str, float] = {}
            for version in sorted(versions, key=lambda one: (one.digest == digest, one.number)):
                found |= {node: mean_s for node, (mean_s, _) in contents.costs.get(version.id, {}).items()}
            return found

    def published(self, tenant_id: UUID, version_id: UUID) -> tuple[StoredVersion, bytes]:
        """A workflow version and its code."""
        version = self._store.version(version_id)
        return version, self._store.code(tenant_id, version.code_digest)

    def slots(self) -> int:
        """How many nodes run side by side."""
        return self._slots
