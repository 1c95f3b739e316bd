"""An execution in the hands of an engine: its state, its definition, and what of it flies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from wfplatform.compiler.order import Loaded
from wfplatform.compiler.segment import Flights
from wfplatform.core.execution import Element, Execution
from wfplatform.core.graph import Definition, Graph
from wfplatform.core.ports import Claim, StoredVersion

__all__ = ["Live", "Version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A workflow version an engine has loaded."""

    stored: StoredVersion
    definition: Definition
    index: Mapping[str, int]
    functions: Mapping[str, str | None]
    """Function key -> digest of what it does, None where that cannot be told."""

    @property
    def graph(self) -> Graph:
        """Its graph."""
        return self.definition.graph

    @property
    def limited(self) -> bool:
        """Whether any of its nodes has a concurrency limit."""
        return any(node.policy.limit is not None for node in self.graph.nodes)

    def function_digest(self, key: str) -> str | None:
        """What a function does, as a digest."""
        return self.functions.get(key)


@dataclass(slots=True, kw_only=True)
class Live:
    """One execution. Belongs to the engine's one thread.

    Args:
        keys: segment -> Dask key while it flies.
        working_since_at: since when it has work on the cluster, or None.
        cache_keys: elements that run now and whose results later executions may reuse -> under which key.
        told_at_s: when its counters were last written.
    """

    claim: Claim
    version: Version
    execution: Execution
    loaded: Loaded
    flights: Flights = field(default_factory=Flights)
    keys: dict[str, str] = field(default_factory=dict)
    worked_s: float = 0.0
    working_since_at: datetime | None = None
    ended: int = 0
    failed: int = 0
    total: int | None = None
    waiting_for: str = ""
    cache_keys: dict[tuple[str, Element], str] = field(default_factory=dict)
    told_at_s: float = 0.0

    @property
    def id(self) -> UUID:
        """The execution's id."""
        return self.claim.id

    @property
    def graph(self) -> Graph:
        """The execution's graph."""
        return self.version.graph

    @property
    def limited(self) -> bool:
        """Whether nodes of it wait for each other because of a concurrency limit."""
        return self.version.limited

    def free_limits(self) -> dict[str, int]:
        """Name of each concurrency limit of the workflow -> how many more of its nodes may start."""
        free: dict[str, int] = {}
        if not self.limited:
            return free
        for node in self.graph.nodes:
            if node.policy.limit is not None:
                name, most = node.policy.limit
                free[name] = min(free.get(name, most), most)
        for name in free:
            for node in self.graph.nodes:
                if node.policy.limit is not None and node.policy.limit[0] == name:
                    free[name] -= self.flights.count(node.id)
        return free

    def worked(self, now: datetime) -> float:
        """Seconds it has had work on the cluster, up to now."""
        since = self.working_since_at
        return self.worked_s + ((now - since).total_seconds() if since else 0.0)

    def note_work(self, now: datetime) -> None:
        """Start or stop the clock of work, after flights changed."""
        if len(self.flights) and self.working_since_at is None:
            self.working_since_at = now
        elif not len(self.flights) and self.working_since_at is not None:
            self.worked_s = self.worked(now)
            self.working_since_at = None
