"""What the use cases need: a catalog to write, records to read, a way to hear that something changed, values to open."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence, Set
from datetime import datetime
from typing import Any, Protocol
from uuid import UUID

from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.forecast import KeptResult
from wfplatform.core.graph import Json
from wfplatform.core.ports import Publication, StoredRun, StoredVersion, Wanted
from wfplatform.core.record import (
    AwaitedRecord,
    EndedExecution,
    ExecutionRecord,
    LogRecord,
    NodeExecutionRecord,
    NodeSummary,
    Page,
)
from wfplatform.core.start import NewExecution

__all__ = ["Changes", "ExecutionCatalog", "OpenValue", "Past", "Records"]

type OpenValue = Callable[[Mapping[str, Any]], Any]
"""Turns a recorded output into the value."""


class ExecutionCatalog(Protocol):
    """What use cases write."""

    def publish(self, tenant_id: UUID, publication: Publication, *, created_by: str = "") -> StoredVersion:
        """Store a workflow version and make it the current one."""
        ...

    def insert(self, tenant_id: UUID, executions: Sequence[NewExecution]) -> None:
        """Ask for executions."""
        ...

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
        ...


class Records(Protocol):
    """What use cases read."""

    def execution(self, tenant_id: UUID, execution_id: UUID) -> ExecutionRecord:
        """One execution."""
        ...

    def keyed(self, tenant_id: UUID, workflow_name: str, idempotency_key: str) -> UUID | None:
        """The execution of a workflow that was started under a key."""
        ...

    def find(self, tenant_id: UUID, prefix: str) -> ExecutionRecord:
        """One execution by the first digits of its id."""
        ...

    def states(self, tenant_id: UUID, execution_ids: Iterable[UUID]) -> Mapping[UUID, ExecutionState]:
        """The states of executions."""
        ...

    def version(self, tenant_id: UUID, version_id: UUID) -> StoredVersion:
        """A workflow version."""
        ...

    def nodes(
        self, tenant_id: UUID, execution_id: UUID, *, states: Collection[NodeState] = (), after: str | None = None
    ) -> Page[NodeExecutionRecord]:
        """Nodes and elements that have begun, in these states if any is told, a page at a time."""
        ...

    def summary(self, tenant_id: UUID, execution_id: UUID) -> Sequence[NodeSummary]:
        """What the elements of each node come to, by node."""
        ...

    def logs(self, tenant_id: UUID, execution_id: UUID, *, after: str | None = None) -> Page[LogRecord]:
        """Lines, oldest first, a page at a time."""
        ...

    def awaited(self, tenant_id: UUID, kind: str, execution_id: UUID | None = None) -> Sequence[AwaitedRecord]:
        """Elements that wait for what somebody is to bring, those that wait longest first; of one execution if told."""
        ...

    def ended(self, tenant_id: UUID, execution_ids: Iterable[UUID]) -> Mapping[UUID, EndedExecution]:
        """Those of some executions that have ended."""
        ...

    def outputs(self, tenant_id: UUID, wanted: Wanted) -> Mapping[UUID, Sequence[StoredRun]]:
        """Outputs of elements of executions."""
        ...


class Past(Protocol):
    """What earlier executions left that tells what a new one would do."""

    def kept(self, tenant_id: UUID, keys: Sequence[str]) -> Mapping[str, KeptResult]:
        """Key -> the result under it, those that have expired too. What is not there is left out."""
        ...

    def latest(self, tenant_id: UUID, workflow_name: str) -> Mapping[str, tuple[UUID, datetime, UUID]]:
        """Node id -> (execution, when, workflow version) of the newest result that a workflow left for reuse."""
        ...

    def costs(self, tenant_id: UUID, workflow_name: str, digest: str) -> Mapping[str, float]:
        """Node id -> seconds of one element, in the version with this digest, else in the newest that knows."""
        ...

    def published(self, tenant_id: UUID, version_id: UUID) -> tuple[StoredVersion, bytes]:
        """A workflow version and its code."""
        ...

    def slots(self) -> int:
        """How many nodes run side by side on the workers that are there; 0 = that is not known."""
        ...


class Changes(Protocol):
    """Tells when executions change."""

    def wait(self, version: int, timeout_s: float) -> int:
        """Wait until something was announced after `version`; returns the newest version (a counter)."""
        ...

    @property
    def ended(self) -> int:
        """How many announcements there were that an execution has ended."""
        ...

    def wait_ended(self, ended: int, among: Set[UUID], timeout_s: float) -> bool:
        """Wait until one of some executions may have ended after the count `ended`; False when the time is over."""
        ...
