"""The use cases' side of the store in memory: publish, insert, command, and read what was recorded.

The same methods as the catalog and the reader over PostgreSQL have. Refuses: paging; everything is one page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from statistics import fmean
from typing import Final
from uuid import UUID

from wfplatform.core.canonical import digest as sha256
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.graph import Json
from wfplatform.core.identifier import TimeOrderedIds
from wfplatform.core.ports import Ids, NewCommand, Publication, StoredRun, StoredVersion, Wanted
from wfplatform.core.record import (
    AttemptRecord,
    AwaitedRecord,
    EndedExecution,
    ExecutionRecord,
    LogRecord,
    NodeExecutionRecord,
    NodeSummary,
    Page,
)
from wfplatform.core.start import NewExecution
from wfplatform.engine.testing.memory import MemoryStore
from wfplatform.engine.testing.memory_contents import StoredElement
from wfplatform.errors import ConflictError, DefinitionError, NotFoundError

__all__ = ["MemoryCatalog", "MemoryReader"]

COMMAND_KINDS: Final = frozenset({"cancel", "pause", "resume", "retry", "signal", "decide"})


class MemoryCatalog:
    """Writes of the use cases, into a `MemoryStore`."""

    def __init__(self, store: MemoryStore, *, ids: Ids | None = None) -> None:
        self._store = store
        self._ids = ids or TimeOrderedIds()

    def publish(self, tenant_id: UUID, publication: Publication, *, created_by: str = "") -> StoredVersion:
        """Store a workflow version and make it the current one. Publishing the same again returns the version there is."""
        name, digest = publication.name, publication.digest
        if not name.strip():
            raise DefinitionError("name_blank", "A workflow needs a name.", "Give it one that is not blank.")
        contents = self._store.contents
        with self._store.transaction():
            versions = [v for v in contents.versions.values() if v.tenant_id == tenant_id and v.name == name]
            found = next((version for version in versions if version.digest == digest), None)
            if found is None:
                found = StoredVersion(
                    id=self._ids.new(),
                    tenant_id=tenant_id,
                    workflow_id=versions[0].workflow_id if versions else self._ids.new(),
                    name=name,
                    number=len(versions) + 1,
                    digest=digest,
                    document=publication.document,
                    code_digest=publication.code_digest or sha256(publication.code),
                )
                contents.versions[found.id] = found
                contents.code.setdefault((tenant_id, found.code_digest), publication.code)
            contents.current[tenant_id, name] = found.id
            return found

    def insert(self, tenant_id: UUID, executions: Sequence[NewExecution]) -> None:
        """Ask for executions."""
        with self._store.transaction():
            for execution in executions:
                if execution.version_id not in self._store.contents.versions:
                    raise NotFoundError("version_not_found", f"No such workflow version: {execution.version_id}.")
            for execution in executions:
                self._store.contents.add(tenant_id, execution)

    def command(
        self,
        tenant_id: UUID,
        execution_id: UUID,
        kind: str,
        payload: Mapping[str, Json] | None = None,
        *,
        created_by: str = "",
    ) -> int:
        """Ask something of an execution."""
        if kind not in COMMAND_KINDS:
            known = ", ".join(sorted(COMMAND_KINDS))
            raise ConflictError("unknown_command", f"Expected one of {known}, got {kind!r}.")
        with self._store.transaction():
            row = MemoryReader(self._store).execution(tenant_id, execution_id)
            if row.state.final is not (kind == "retry") and not (kind == "retry" and payload):
                code = "execution_ended" if row.state.final else "execution_open"
                raise ConflictError(code, f"The execution {execution_id} is {row.state}, so it cannot {kind}.")
            return self._store.contents.ask(
                NewCommand(
                    tenant_id=tenant_id,
                    execution_id=execution_id,
                    kind=kind,
                    payload=payload or {},
                    created_by=created_by,
                )
            )

    def code(self, tenant_id: UUID, digest: str) -> bytes:
        """The code that travels with a version."""
        return self._store.code(tenant_id, digest)


class MemoryReader:
    """Reads of a tenant, from a `MemoryStore`."""

    def __init__(self, store: MemoryStore) -> None:
        self._store = store

    def execution(self, tenant_id: UUID, execution_id: UUID) -> ExecutionRecord:
        """An execution by its id."""
        with self._store.transaction():
            found = self._store.contents.executions.get(execution_id)
        if found is None or found.tenant_id != tenant_id:
            raise NotFoundError("execution_not_found", f"No execution has the id {execution_id}.")
        return found

    def keyed(self, tenant_id: UUID, workflow_name: str, idempotency_key: str) -> UUID | None:
        """The execution of a workflow that was started under a key."""
        with self._store.transaction():
            return self._store.contents.keyed.get((tenant_id, workflow_name, idempotency_key))

    def find(self, tenant_id: UUID, prefix: str) -> ExecutionRecord:
        """An execution by the first digits of its id."""
        digits = prefix.replace("-", "").lower()
        with self._store.transaction():
            known = [one for one in self._store.contents.executions if one.hex.startswith(digits)]
        if len(known) != 1:
            raise NotFoundError("execution_not_found", f"{len(known)} executions begin with {prefix!r}.")
        return self.execution(tenant_id, known[0])

    def states(self, tenant_id: UUID, execution_ids: Iterable[UUID]) -> Mapping[UUID, ExecutionState]:
        """The states of executions."""
        with self._store.transaction():
            known = self._store.contents.executions
            found = [known[one] for one in execution_ids if one in known]
        return {row.id: row.state for row in found if row.tenant_id == tenant_id}

    def version(self, tenant_id: UUID, version_id: UUID) -> StoredVersion:
        """A version by its id."""
        return self._store.version(version_id)

    def ended(self, tenant_id: UUID, execution_ids: Iterable[UUID]) -> Mapping[UUID, EndedExecution]:
        """Those of some executions that have ended, and are not to be tried again."""
        with self._store.transaction():
            known = self._store.contents.executions
            commands = self._store.contents.commands.values()
            again = {one.command.execution_id for one in commands if one.command.kind == "retry" and not one.done}
            found = [
                known[one] for one in execution_ids if one in known and one not in again and known[one].state.final
            ]
        return {
            row.id: EndedExecution(row.state, row.version_id, row.parameters)
            for row in found
            if row.tenant_id == tenant_id
        }

    def awaited(self, tenant_id: UUID, kind: str, execution_id: UUID | None = None) -> Sequence[AwaitedRecord]:
        """Elements that wait for what somebody is to bring."""
        return [
            AwaitedRecord(
                execution_id=row.id,
                workflow_name=row.workflow_name,
                node=node,
                element=element,
                awaits=stored.run.awaits,
                reason=stored.run.reason,
                due_at=stored.run.due_at,
            )
            for row in sorted(self._store.contents.executions.values(), key=lambda row: row.id)
            if row.tenant_id == tenant_id and execution_id in (None, row.id) and not row.state.final
            for (node, element), stored in sorted(self._store.contents.elements.get(row.id, {}).items())
            if stored.run.state is NodeState.WAITING and (stored.run.awaits or {}).get("kind") == kind
            if stored.run.awaits is not None
        ]

    def outputs(self, tenant_id: UUID, wanted: Wanted) -> Mapping[UUID, Sequence[StoredRun]]:
        """What is committed of some elements, with their outputs."""
        for execution_id in wanted:
            self.execution(tenant_id, execution_id)
        return self._store.outputs(wanted)

    def executions(self, tenant_id: UUID) -> Page[ExecutionRecord]:
        """Executions, newest first."""
        with self._store.transaction():
            rows = [row for row in self._store.contents.executions.values() if row.tenant_id == tenant_id]
        return Page(sorted(rows, key=lambda row: row.id, reverse=True), None, len(rows))

    def nodes(
        self, tenant_id: UUID, execution_id: UUID, *, states: Collection[NodeState] = (), after: str | None = None
    ) -> Page[NodeExecutionRecord]:
        """What is recorded of the nodes of an execution, by node and element."""
        self.execution(tenant_id, execution_id)
        with self._store.transaction():
            elements = self._store.contents.elements.get(execution_id, {}) if after is None else {}
            known = sorted(elements.items(), key=lambda item: item[0])
            found = [_node(execution_id, *key, element) for key, element in known]
        return Page([one for one in found if not states or one.state in states])

    def summary(self, tenant_id: UUID, execution_id: UUID) -> Sequence[NodeSummary]:
        """What the elements of each node come to, by node."""
        by_node: dict[str, list[NodeExecutionRecord]] = {}
        for record in self.nodes(tenant_id, execution_id).items:
            by_node.setdefault(record.node, []).append(record)
        return [_summary(node, records) for node, records in sorted(by_node.items())]

    def attempts(self, tenant_id: UUID, execution_id: UUID) -> Page[AttemptRecord]:
        """Tries that were followed by another one, by node, element and number."""
        self.execution(tenant_id, execution_id)
        with self._store.transaction():
            known = sorted(self._store.contents.attempts.items(), key=lambda item: item[0])
        return Page([record for key, record in known if key[0] == execution_id])

    def logs(self, tenant_id: UUID, execution_id: UUID, *, after: str | None = None) -> Page[LogRecord]:
        """Lines in the order of their instants."""
        self.execution(tenant_id, execution_id)
        with self._store.transaction():
            lines = self._store.contents.lines.get(execution_id, {}) if after is None else {}
            return Page(sorted(lines.values()))


def _summary(node: str, records: Sequence[NodeExecutionRecord]) -> NodeSummary:
    cpu = [record.cpu_s for record in records if record.cpu_s is not None]
    return NodeSummary(
        node=node,
        counts=Counter(record.state for record in records),
        started_at=min((one.started_at for one in records if one.started_at is not None), default=None),
        finished_at=max((one.finished_at for one in records if one.finished_at is not None), default=None),
        cpu_s=sum(cpu) if cpu else None,
        cpu_mean_s=fmean(cpu) if cpu else None,
        peak_memory_bytes=max(
            (one.peak_memory_bytes for one in records if one.peak_memory_bytes is not None), default=None
        ),
        workers=len({one.worker for one in records if one.worker}) or None,
        reused=sum(one.reused_from is not None for one in records),
    )


def _node(execution_id: UUID, node: str, element: tuple[int, ...], known: StoredElement) -> NodeExecutionRecord:
    run, outcome = known.run, known.outcome
    started_at = outcome.started_at if outcome else None
    return NodeExecutionRecord(
        execution_id=execution_id,
        node=node,
        element=element,
        state=NodeState(run.state),
        attempt=run.attempt,
        tries=run.tries,
        lost=run.lost,
        epoch=known.epoch,
        worker=outcome.worker if outcome else "",
        segment=outcome.segment if outcome else "",
        started_at=None if started_at is None else datetime.fromtimestamp(started_at, UTC),
        finished_at=known.finished_at,
        cpu_s=outcome.cpu_s if outcome else None,
        peak_memory_bytes=outcome.peak_memory_bytes if outcome else None,
        input_digest=outcome.input_digest if outcome else None,
        outputs=outcome.outputs if outcome else None,
        error=run.error,
        sizes=run.sizes,
        verdict=run.verdict,
        due_at=run.due_at,
        reason=run.reason,
        progress=known.progress[0] if known.progress else None,
        progress_message=known.progress[1] if known.progress else "",
        reused_from=run.reused_from,
        awaits=run.awaits,
        edit=run.edit,
        dead_at=known.dead_at,
        discarded=known.discarded,
    )
