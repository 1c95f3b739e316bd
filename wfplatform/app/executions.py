"""Running workflows: publish, start one or many, ask something of them, wait, and read what they returned."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

from wfplatform.app.failure import failure_of
from wfplatform.app.forecast import forecast
from wfplatform.app.port import Changes, ExecutionCatalog, OpenValue, Past, Records
from wfplatform.app.result import result_output
from wfplatform.app.sharing import SharedStore, Sharing
from wfplatform.authoring.document import SCHEMA_VERSION, from_document
from wfplatform.authoring.workflow import Workflow
from wfplatform.core.announcement import ENGINE_CHANNEL
from wfplatform.core.execution import Element, ExecutionState, NodeState
from wfplatform.core.forecast import Forecast
from wfplatform.core.graph import Graph, Json
from wfplatform.core.ports import Ids, Notifier, Publication, StoredVersion
from wfplatform.core.record import (
    AwaitedRecord,
    EndedExecution,
    ExecutionRecord,
    LogRecord,
    NodeExecutionRecord,
    NodeSummary,
)
from wfplatform.core.start import NewExecution
from wfplatform.engine.shape import shape_sources
from wfplatform.errors import (
    ConflictError,
    WaitTimeoutError,
    WfError,
)

__all__ = ["Executions"]

_POLL_S: Final = 1.0
"""Notifications are hints; what they say is looked up at least this often."""


class Executions:
    """The use cases of executions, for one tenant and one actor.

    Args:
        catalog: where they are asked for.
        records: where they are read.
        changes: tells when something changed.
        notifier: tells engines that something is new.
        open_value: opens a recorded output.
        ids: makes identifiers.
        tenant_id: whose executions.
        actor: who asks.
        past: what earlier executions left, for forecasts.
        shared: what executions share.
        check: refuses a version that cannot run here.
        check_platform: called while waiting; raises when nothing can go on.
    """

    def __init__(
        self,
        *,
        catalog: ExecutionCatalog,
        records: Records,
        changes: Changes,
        notifier: Notifier,
        open_value: OpenValue,
        ids: Ids,
        tenant_id: UUID,
        actor: str,
        past: Past,
        shared: SharedStore,
        check: Callable[[StoredVersion], None] = lambda _: None,
        check_platform: Callable[[], None] = lambda: None,
    ) -> None:
        self._past = past
        self.sharing = Sharing(shared, notifier, tenant_id, actor)
        self._check_platform = check_platform
        self._check = check
        self._catalog = catalog
        self._records = records
        self._changes = changes
        self._notifier = notifier
        self._open_value = open_value
        self._ids = ids
        self._tenant_id = tenant_id
        self._actor = actor
        self._published: dict[str, StoredVersion] = {}
        self._graphs: dict[UUID, Graph] = {}

    def publish(self, publication: Publication) -> StoredVersion:
        """Publish a workflow version; one that is published already is found again."""
        found = self._published.get(publication.digest)
        if found is None:
            found = self._catalog.publish(self._tenant_id, publication, created_by=self._actor)
            self._published[publication.digest] = found
        return found

    def is_published(self, digest: str) -> StoredVersion | None:
        """The version this process has published under a digest."""
        return self._published.get(digest)

    def start(
        self,
        version: StoredVersion,
        parameters: Sequence[Mapping[str, Json]],
        *,
        priority: int = 0,
        timeout_s: float,
        tags: tuple[str, ...] = (),
        idempotency_key: str | None = None,
        refresh: tuple[str, ...] = (),
        late_after_s: float | None = None,
    ) -> list[UUID]:
        """Start executions; they are committed when this returns.

        Args:
            version: of which workflow.
            parameters: checked, one mapping for each execution.
            idempotency_key: for a single execution: if one of this workflow was started under it, that one is the answer.
            refresh: nodes that are computed anew whatever is kept of earlier executions.
            late_after_s: when they are late.
        """
        self._check(version)
        executions = [
            NewExecution(
                id=self._ids.new(),
                version_id=version.id,
                workflow_name=version.name,
                parameters=given,
                priority=priority,
                timeout_s=timeout_s,
                created_by=self._actor,
                tags=tags,
                idempotency_key=idempotency_key,
                refresh=refresh,
                late_after_s=late_after_s,
            )
            for given in parameters
        ]
        self._catalog.insert(self._tenant_id, executions)
        self._notifier.notify(ENGINE_CHANNEL, ["new"])
        if idempotency_key is not None:
            known = self._records.keyed(self._tenant_id, version.name, idempotency_key)
            if known is not None:
                return [known]
        return [execution.id for execution in executions]

    def forecast(
        self, workflow: Workflow[..., Any], parameters: Mapping[str, Json], refresh: tuple[str, ...] = ()
    ) -> Forecast:
        """What a run of a workflow would do; see `app.forecast`."""
        return forecast(self._past, self._tenant_id, workflow, parameters, refresh)

    def record(self, execution_id: UUID) -> ExecutionRecord:
        """What is recorded of an execution."""
        return self._records.execution(self._tenant_id, execution_id)

    def find(self, execution_id: UUID | str) -> ExecutionRecord:
        """An execution by its id or by the first digits of it.

        Raises:
            NotFoundError: there is none.
            UserError: several begin so.
        """
        if isinstance(execution_id, UUID):
            return self.record(execution_id)
        return self._records.find(self._tenant_id, execution_id)

    def ask(self, execution_id: UUID, kind: str, payload: Mapping[str, Json] | None = None) -> None:
        """Ask an execution to cancel, pause, resume or retry; or tell it something, which `payload` holds: of a retry, for which
        elements it is, if not for all that failed.

        Raises:
            ConflictError: it is in a state in which this makes no sense.
        """
        record = self.record(execution_id)
        if (
            kind == "retry"
            and payload is None
            and record.state is not ExecutionState.FAILED
            and record.state is not ExecutionState.CANCELLED
        ):
            raise ConflictError(
                "not_failed",
                f"Execution {execution_id} is {record.state}; only one that failed or was cancelled can be tried again.",
                "Run the workflow again for a new execution.",
            )
        if kind != "retry" and record.state.final:
            raise ConflictError(
                "has_ended", f"Execution {execution_id} has ended ({record.state}); it cannot be asked to {kind}."
            )
        self._catalog.command(self._tenant_id, execution_id, kind, payload, created_by=self._actor)
        self._notifier.notify(ENGINE_CHANNEL, [kind])

    def awaited(self, kind: str, execution_id: UUID | None = None) -> Sequence[AwaitedRecord]:
        """Elements that wait for what somebody is to bring: `event` or `approval`."""
        return self._records.awaited(self._tenant_id, kind, execution_id)

    @property
    def actor(self) -> str:
        """Who asks."""
        return self._actor

    def changed(self, version: int, timeout_s: float) -> int:
        """Wait until something about executions was announced; a hint, after which one looks.

        Args:
            version: what this returned before; -1 asks for the present count at once.
            timeout_s: seconds to wait at most.

        Returns:
            the count of announcements.
        """
        return self._changes.wait(version, timeout_s)

    def wait(self, execution_ids: Sequence[UUID], timeout_s: float | None = None) -> dict[UUID, ExecutionState]:
        """Wait until all have ended.

        Args:
            execution_ids: which.
            timeout_s: how long at most; None = as long as it takes.

        Returns:
            their states; those that have not ended when the time is over have states that are not final.

        Raises:
            PlatformError: nothing can go on.
        """
        found: dict[UUID, ExecutionState] = {}
        for ended in self._ends(execution_ids, timeout_s):
            found |= {one: execution.state for one, execution in ended.items()}
        rest = [one for one in execution_ids if one not in found]
        return {**found, **self._records.states(self._tenant_id, rest)} if rest else found

    def _ends(self, execution_ids: Iterable[UUID], timeout_s: float | None) -> Iterator[Mapping[UUID, EndedExecution]]:
        """Executions as they are found to have ended, some at a time, until all have or the time is over.

        Raises:
            NotFoundError: there is no such execution.
            PlatformError: nothing can go on, for no engine runs or what engines need.
        """
        until_s = None if timeout_s is None else time.monotonic() + timeout_s
        open_ids = set(execution_ids)
        known = False
        while True:
            heard = self._changes.ended
            ended = self._records.ended(self._tenant_id, open_ids)
            if ended:
                open_ids -= ended.keys()
                yield ended
            left_s = _POLL_S if until_s is None else until_s - time.monotonic()
            if not open_ids or left_s <= 0:
                return
            told = self._changes.wait_ended(heard, open_ids, min(left_s, _POLL_S))
            if not told:
                self._check_platform()
            if not told and not known:
                # One that does not exist would be waited for without end.
                for one in open_ids - self._records.states(self._tenant_id, open_ids).keys():
                    self.record(one)
                known = True

    def result(self, execution_id: UUID, timeout_s: float | None = None) -> Any:
        """Wait for the end and return what the workflow returned.

        Raises:
            WaitTimeoutError: the time is over; the execution goes on.
            NodeError: a node failed; the message names it, `traceback` is that of the user's code.
            ExecutionError: it did not complete for another reason.
            PlatformError: nothing can go on, and why; the execution stays and goes on later.
        """
        return self.results([execution_id], timeout_s)[0]

    def results(self, execution_ids: Sequence[UUID], timeout_s: float | None = None) -> list[Any]:
        """Wait for several executions and return what each returned, in the order of the ids.

        Raises:
            WaitTimeoutError, NodeError, ExecutionError: as `result`, for the first of them that has none.
            PlatformError: nothing can go on.
        """
        found: dict[UUID, Any] = {}
        # While some still run, the results of those that have ended are read.
        for ended in self._ends(execution_ids, timeout_s):
            completed = {one: told for one, told in ended.items() if told.state is ExecutionState.COMPLETED}
            wanted: dict[UUID, list[tuple[str, Element | None]]] = {}
            for one, execution in completed.items():
                graph = self.graph(execution.version_id)
                wanted[one] = [(name, None) for name in shape_sources(graph, graph.result)]
            stored = self._records.outputs(self._tenant_id, wanted) if any(wanted.values()) else {}
            for one, execution in completed.items():
                output = result_output(self.graph(execution.version_id), execution.parameters, stored.get(one, ()))
                found[one] = self._open_value(output)
        for one in execution_ids:
            if one not in found:
                found[one] = self._late_result(one, timeout_s)
        return [found[one] for one in execution_ids]

    def _late_result(self, execution_id: UUID, timeout_s: float | None) -> Any:
        """Of an execution that has no result so far: raises why, unless it completed in the very last moment."""
        record = self.record(execution_id)
        if self._records.ended(self._tenant_id, [execution_id]):
            if record.state is ExecutionState.FAILED or record.state is ExecutionState.CANCELLED:
                raise failure_of(record)
            return self.result(execution_id, 0)
        state = "to be tried again" if record.state.final else record.state
        raise WaitTimeoutError(
            "wait_timeout",
            f"Execution {execution_id} of {record.workflow_name} is still {state} after {timeout_s:g} s; it goes on.",
            "Wait again with result(), or look at it with `wfp executions show`.",
            execution=str(execution_id),
        )

    def nodes(self, execution_id: UUID, states: Collection[NodeState] = ()) -> list[NodeExecutionRecord]:
        """Every node and element of an execution that has begun; only those in some states, if any is told."""
        found: list[NodeExecutionRecord] = []
        page = self._records.nodes(self._tenant_id, execution_id, states=states)
        found.extend(page.items)
        while page.next is not None:
            page = self._records.nodes(self._tenant_id, execution_id, states=states, after=page.next)
            found.extend(page.items)
        return found

    def summary(self, execution_id: UUID) -> Sequence[NodeSummary]:
        """What the elements of each node come to; nodes that are simply pending have none."""
        return self._records.summary(self._tenant_id, execution_id)

    def logs(self, execution_id: UUID) -> list[LogRecord]:
        """Every line its nodes printed and logged, oldest first."""
        found: list[LogRecord] = []
        page = self._records.logs(self._tenant_id, execution_id)
        while page.items:
            found.extend(page.items)
            page = self._records.logs(self._tenant_id, execution_id, after=page.next)
        return found

    def graph(self, version_id: UUID) -> Graph:
        """The graph of a published version.

        Raises:
            NotFoundError: there is none.
            WfError: code `version_unreadable`: what is stored of it is damaged, or of a newer release.
        """
        found = self._graphs.get(version_id)
        if found is None:
            found = self._graphs[version_id] = _graph_of(self._records.version(self._tenant_id, version_id))
        return found


def _graph_of(stored: StoredVersion) -> Graph:
    document: Any = stored.document
    try:
        return from_document(document).graph
    except Exception as error:  # whatever the reading of a damaged document runs into
        schema = document.get("schemaVersion") if isinstance(document, Mapping) else None
        newer = isinstance(schema, int) and schema > SCHEMA_VERSION
        reason = error.message if isinstance(error, WfError) else f"{type(error).__name__}: {error}"
        raise WfError(
            "version_unreadable",
            f"Version {stored.number} ({stored.digest[:12]}) of the workflow {stored.name} cannot be read: "
            f"{reason.rstrip('.')}.",
            "It was published by a newer release of wfplatform: upgrade this one."
            if newer
            else "What is stored of it is damaged: publish the workflow again, or restore the database from a backup.",
            workflow=stored.name,
            version=str(stored.id),
            reason=reason,
        ) from error
