"""Dead letters of a store in memory: the same methods as `store.dead_letter` has over PostgreSQL."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from uuid import UUID

from wfplatform.core.dead_letter import DeadLetterFilter, DeadLetterRecord, History
from wfplatform.core.execution import Element, ExecutionState
from wfplatform.core.record import Page
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_catalog import MemoryReader
from wfplatform.errors import NotFoundError

__all__ = ["MemoryDeadLetters"]

_LINES = 200


class MemoryDeadLetters:
    """Dead letters of a tenant, in a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store
        self._reader = MemoryReader(store)

    def page(
        self,
        tenant_id: UUID,
        wanted: DeadLetterFilter,
        *,
        kept_s: float,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[DeadLetterRecord]:
        """Dead letters, newest first."""
        with self._store.transaction():
            found = sorted(self._found(tenant_id, wanted, kept_s), key=_order)
        if after is not None:
            *before, element = json.loads(after)
            found = [one for one in found if _order(one) > (*before, tuple(element))]
        items = found[:limit]
        return Page(items, json.dumps(_order(items[-1])) if len(found) > limit else None)

    def history(self, tenant_id: UUID, execution_id: UUID, node: str, element: Element) -> History:
        """What became of an element."""
        place = (node, element)
        known = [one for one in self._reader.nodes(tenant_id, execution_id).items if (one.node, one.element) == place]
        if not known:
            raise NotFoundError(
                "node_execution_not_found", f"Nothing is recorded of {node}{[*element]} of {execution_id}."
            )
        attempts = self._reader.attempts(tenant_id, execution_id).items
        lines = self._reader.logs(tenant_id, execution_id).items
        return History(
            node=known[0],
            attempts=[one for one in attempts if (one.node, one.element) == place],
            logs=[one for one in lines if (one.node, one.element) == place][-_LINES:],
        )

    def discard(
        self, tenant_id: UUID, letters: Sequence[DeadLetterRecord], *, kept_s: float, by: str, reason: str = ""
    ) -> int:
        """Note that nothing is to be done about these; returns how many of them were dead letters until now."""
        with self._store.transaction():
            now = self._store.now()
            standing = {(one.id, one.attempt): one for one in self._found(tenant_id, DeadLetterFilter(), kept_s, True)}
            found = [one for one in letters if (one.id, one.attempt) in standing]
            for one in found:
                elements = self._store.contents.elements[one.execution_id]
                discarded = {"by": by, "reason": reason, "at": now.isoformat()}
                known = elements[one.node, one.element]
                elements[one.node, one.element] = replace(known, dead_at=None, discarded=discarded)
            return len(found)

    def _found(
        self, tenant_id: UUID, wanted: DeadLetterFilter, kept_s: float, cancelled: bool = False
    ) -> Iterator[DeadLetterRecord]:
        contents = self._store.contents
        since = self._store.now() - timedelta(seconds=kept_s)
        for row in contents.executions.values():
            if row.tenant_id != tenant_id or (row.state is ExecutionState.CANCELLED and not cancelled):
                continue
            for (node, element), known in contents.elements.get(row.id, {}).items():
                if known.dead_at is None or known.dead_at <= since:
                    continue
                record = DeadLetterRecord(
                    execution_id=row.id,
                    version_id=row.version_id,
                    workflow_name=row.workflow_name,
                    execution_state=row.state,
                    node=node,
                    element=element,
                    attempt=known.run.attempt,
                    error={name: one for name, one in (known.run.error or {}).items() if name != "traceback"},
                    worker=known.outcome.worker if known.outcome else "",
                    dead_at=known.dead_at,
                    edit=known.run.edit,
                )
                if _fits(wanted, record):
                    yield record


def _fits(wanted: DeadLetterFilter, one: DeadLetterRecord) -> bool:
    names = [str(one.error.get("type")), str(one.error.get("code")), *one.error.get("kinds", ())]
    return (
        wanted.execution_id in (None, one.execution_id)
        and wanted.workflow in (None, one.workflow_name)
        and wanted.node in (None, one.node)
        and wanted.element in (None, one.element)
        and (wanted.error is None or any(f".{name}".endswith(f".{wanted.error}") for name in names))
    )


def _order(one: DeadLetterRecord) -> tuple[float, str, str, Element]:
    return -one.dead_at.timestamp(), str(one.execution_id), one.node, one.element
