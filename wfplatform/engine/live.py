"""An execution in the hands of an engine: its state, its definition, and what of it flies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from uuid import UUID

from wfplatform.compiler.order import Loaded
from wfplatform.compiler.segment import Flights
from wfplatform.core.execution import Execution
from wfplatform.core.graph import Definition, Graph
from wfplatform.core.ports import Claim, StoredVersion

__all__ = ["Live", "Version"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """A workflow version an engine has loaded."""

    stored: StoredVersion
    definition: Definition
    index: Mapping[str, int]

    @property
    def graph(self) -> Graph:
        """Its graph."""
        return self.definition.graph


@dataclass(slots=True, kw_only=True)
class Live:
    """One execution. Belongs to the engine's one thread.

    Args:
        open_elements: segment -> how many of its elements have not ended.
        keys: segment -> Dask key while it flies.
        working_since: since when it has work on the cluster, or None.
        told_at_s: when its counters were last written.
    """

    claim: Claim
    version: Version
    execution: Execution
    loaded: Loaded
    flights: Flights = field(default_factory=Flights)
    open_elements: dict[str, int] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    worked_s: float = 0.0
    working_since: datetime | None = None
    ended: int = 0
    failed: int = 0
    total: int | None = None
    needs_plan: bool = False
    changed: bool = False
    waiting_for: str = ""
    told_at_s: float = 0.0

    @property
    def id(self) -> UUID:
        """The execution's id."""
        return self.claim.id

    @property
    def graph(self) -> Graph:
        """The execution's graph."""
        return self.version.graph

    def worked(self, now: datetime) -> float:
        """Seconds it has had work on the cluster, up to now."""
        since = self.working_since
        return self.worked_s + ((now - since).total_seconds() if since else 0.0)

    def note_work(self, now: datetime) -> None:
        """Start or stop the clock of work, after flights changed."""
        if len(self.flights) and self.working_since is None:
            self.working_since = now
        elif not len(self.flights) and self.working_since is not None:
            self.worked_s = self.worked(now)
            self.working_since = None
