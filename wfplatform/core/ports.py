"""What the engine and the use cases need from the world: small protocols, and the plain records that pass through them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple, Protocol
from uuid import UUID

from wfplatform.core.event import Recorded
from wfplatform.core.execution import Element, ExecutionState, Outcome, Run, Signal
from wfplatform.core.graph import Json
from wfplatform.core.hook import HookOf
from wfplatform.core.start import NewExecution

__all__ = [
    "Asleep",
    "CacheStore",
    "CachedResult",
    "Claim",
    "Clock",
    "Command",
    "Commit",
    "CostStore",
    "EngineStore",
    "ExecutionChange",
    "Found",
    "Ids",
    "LeaseStore",
    "NewCacheEntry",
    "NewCommand",
    "NodeRecord",
    "Notifier",
    "Publication",
    "StoredRun",
    "StoredVersion",
    "VersionStore",
    "Wanted",
]


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """The present instant, aware UTC."""
        ...

    def monotonic_s(self) -> float:
        """Seconds that never run backwards."""
        ...


class Ids(Protocol):
    """Makes identifiers and chances."""

    def new(self) -> UUID:
        """A time-ordered identifier (UUIDv7)."""
        ...

    def chance(self) -> float:
        """A random number in [0, 1)."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredVersion:
    """A published workflow version.

    Args:
        document: the definition as JSON.
        code_digest: of the code that travels with it.
    """

    id: UUID
    tenant_id: UUID
    workflow_id: UUID
    name: str
    number: int
    digest: str
    document: Mapping[str, Any]
    code_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """A workflow version to publish.

    Args:
        name: of the workflow, which is made if there is none; not blank.
        digest: of the definition and its code.
        document: the definition as JSON.
        code: what travels to the workers.
        code_digest: its digest; SHA-256 of the bytes when None.
        requirements: what workers must have: distribution -> version.
    """

    name: str
    digest: str
    document: Mapping[str, Json]
    code: bytes
    code_digest: str | None = None
    description: str = ""
    requirements: Mapping[str, Json] = field(default_factory=dict)


type Wanted = Mapping[UUID, Iterable[tuple[str, Element | None]]]
"""Execution -> nodes, each with an element or with None for all its elements."""


class StoredRun(NamedTuple):
    """What is committed of one element."""

    node: str
    element: Element
    run: Run
    outputs: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """An execution that the engine now owns.

    `runs` is what earlier engines committed of it, empty for a fresh one. `woken`: it was asleep, so nothing of it is on
    the cluster.
    """

    id: UUID
    tenant_id: UUID
    epoch: int
    state: ExecutionState
    version_id: UUID
    workflow_name: str
    parameters: Mapping[str, Json]
    priority: int
    timeout_s: float
    worked_s: float
    created_at: datetime
    started_at: datetime | None
    cancel_requested_at: datetime | None
    paused_at: datetime | None
    parent: tuple[UUID, str, Element] | None
    depth: int
    error: Mapping[str, Any] | None = None
    runs: Sequence[StoredRun] = ()
    woken: bool = False
    mailbox: tuple[Signal, ...] = ()
    refresh: tuple[str, ...] = ()
    created_by: str = ""
    tags: tuple[str, ...] = ()
    hook: HookOf | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutionChange:
    """The new standing of an execution; written whole, only if its epoch still is this one."""

    id: UUID
    epoch: int
    state: ExecutionState
    started_at: datetime | None
    finished_at: datetime | None
    cancel_requested_at: datetime | None
    paused_at: datetime | None
    waiting_for: str
    error: Mapping[str, Any] | None
    worked_s: float
    nodes_total: int | None
    nodes_ended: int
    nodes_failed: int
    mailbox: tuple[Signal, ...] = ()


class Asleep(NamedTuple):
    """An execution that an engine lets go because it only waits: nobody owns it until it is due, or a command for it comes.

    `wake_at`: None = only a command wakes it.
    """

    id: UUID
    epoch: int
    wake_at: datetime | None


class NodeRecord(NamedTuple):
    """A change of one element of one execution."""

    execution_id: UUID
    epoch: int
    recorded: Recorded


@dataclass(frozen=True, slots=True, kw_only=True)
class Commit:
    """One transaction of an engine: all of it, or nothing and an error.

    Args:
        nodes: in the order in which they happened; the last one of an element wins. A failed outcome that will be tried
            again, and a lost attempt, is kept as an attempt of its own beside the node's row.
        children: child executions to insert, and hooks of those that end.
        commands: for the engines of other executions: that a child has ended.
        cache: results that later executions may reuse.
        released: executions the engine gives up, to be claimed by any engine.
        asleep: executions it lets go for as long as they wait.
    """

    engine_id: UUID
    nodes: Sequence[NodeRecord] = ()
    executions: Sequence[ExecutionChange] = ()
    children: Sequence[tuple[UUID, NewExecution]] = ()
    """(tenant, execution)"""
    commands: Sequence[NewCommand] = ()
    commands_done: Sequence[int] = ()
    cache: Sequence[NewCacheEntry] = ()
    released: Sequence[UUID] = ()
    asleep: Sequence[Asleep] = ()
    progress: Sequence[tuple[UUID, Outcome]] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """Something a user wants of an execution: cancel, pause, resume, retry, signal."""

    id: int
    execution_id: UUID
    kind: str
    payload: Mapping[str, Json] = field(default_factory=dict)
    created_by: str = ""


class Found(NamedTuple):
    """What is new for an engine.

    Args:
        claims: executions it owns from now on; highest priority first, then oldest.
        commands: for what it owns, those just claimed among them, that are not done; oldest first.
        next_wake_at: when the next one of those that are asleep is due, or was; None if none has a time.
        next_late_at: when the next one of all that have not ended is late, or was, and nobody was told so far; or None.
    """

    claims: Sequence[Claim] = ()
    commands: Sequence[Command] = ()
    next_wake_at: datetime | None = None
    next_late_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCommand:
    """A command to insert.

    `told_by`: the execution that gives it, with whose changes it belongs; None = no execution does.
    """

    tenant_id: UUID
    execution_id: UUID
    kind: str
    payload: Mapping[str, Any] = field(default_factory=dict)
    created_by: str = ""
    told_by: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class NewCacheEntry:
    """A result that later executions may reuse. `expires_s`: seconds from the commit on; None = never."""

    tenant_id: UUID
    key: str
    execution_id: UUID
    node: str
    element: Element
    outputs: Mapping[str, Any]
    sizes: Mapping[str, int] | None = None
    expires_s: float | None = None


class CachedResult(NamedTuple):
    """A result that may be reused."""

    outputs: Mapping[str, Any]
    sizes: Mapping[str, int] | None
    execution_id: UUID


class LeaseStore(Protocol):
    """Who may write. Only database time is compared."""

    def now(self) -> datetime:
        """The present instant by the clock of the database, aware UTC."""
        ...

    def register(self, engine_id: UUID, *, lease_s: float, facts: Mapping[str, Json]) -> None:
        """Announce an engine and take its lease. Engines whose facts name the same `seat` live one after the other."""
        ...

    def renew(self, engine_id: UUID, *, lease_s: float) -> bool:
        """Prolong the lease; False when another engine has fenced this one off."""
        ...

    def take_over(self, engine_id: UUID) -> int:
        """Fence off engines whose lease is over, or who sat in this one's seat before it, and free their executions to be
        claimed; returns how many were freed.
        """
        ...

    def leave(self, engine_id: UUID) -> None:
        """Give up the lease and all executions at once."""
        ...


class EngineStore(Protocol):
    """What an engine reads and writes."""

    def look(self, engine_id: UUID, *, claims: int = 0, commands: int = 0, ahead_s: float = 0.0) -> Found:
        """Take up to `claims` executions that nobody owns and that are to run, and read up to `commands` commands for what
        the engine then owns. The epoch of an execution grows by one when it is taken; a pending one runs. One that is asleep is
        taken when it is due within `ahead_s`, or when there is a command for it.
        """
        ...

    def commit(self, commit: Commit) -> None:
        """Write a transaction.

        Raises:
            ConflictError: code `fenced`, when the engine's lease was taken over; nothing was written.
            UnreachableError: the database does not answer; whether the commit happened is unknown.
            UnstorableError: code `commit_refused`; it holds something that can never be stored, and nothing was written.
        """
        ...

    def outputs(self, wanted: Wanted) -> Mapping[UUID, Sequence[StoredRun]]:
        """What is committed of some elements, with their outputs; an execution of which nothing is found is left out."""
        ...


class VersionStore(Protocol):
    """Published workflows."""

    def version(self, version_id: UUID) -> StoredVersion:
        """A workflow version.

        Raises:
            NotFoundError: there is none with this id.
        """
        ...

    def find_version(self, tenant_id: UUID, name: str, digest: str | None = None) -> StoredVersion:
        """A version of a workflow by its digest; without one, the current version.

        Raises:
            NotFoundError: no workflow of this tenant has this name, or it has no such version.
        """
        ...

    def code(self, tenant_id: UUID, digest: str) -> bytes:
        """The code that travels with a version."""
        ...


class CacheStore(Protocol):
    """Results that may be reused."""

    def cached(self, tenant_id: UUID, keys: Sequence[str]) -> Mapping[str, CachedResult]:
        """Key -> the newest result under it that has not expired. What is not there is left out."""
        ...


class CostStore(Protocol):
    """Remembers how long nodes took."""

    def costs(self, version_id: UUID) -> Mapping[str, float]:
        """Node id -> expected seconds for one element."""
        ...

    def learn(self, costs: Mapping[tuple[UUID, str], tuple[float, int]]) -> None:
        """(version, node id) -> (mean seconds, number of elements) of what was just seen."""
        ...


class Notifier(Protocol):
    """Tells who listens, soon; never inside a business transaction, and nothing depends on it."""

    def notify(self, channel: str, payloads: Iterable[str]) -> None:
        """Send notifications, coalesced."""
        ...
