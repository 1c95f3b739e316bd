"""An execution in the hands of an engine: its state, its definition, and what of it flies."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Final
from uuid import UUID

from wfplatform.compiler.order import Loaded
from wfplatform.compiler.segment import Flights, Segment
from wfplatform.core.execution import Element, Execution, ExecutionState, NodeState, Signal, blank_runs
from wfplatform.core.graph import Definition, Graph
from wfplatform.core.ports import Claim, StoredVersion
from wfplatform.engine.telling import Telling
from wfplatform.engine.ticket import Ticket

__all__ = ["Live", "Told", "Version"]

_CALLS_A_SLOT: Final = 4
_LOOKAHEAD: Final = 256
"""So many elements of one execution wait for slots of the same limit at most."""
_SHOWN: Final = 3

type Told = tuple[ExecutionState, str, datetime | None, datetime | None, Mapping[str, Any] | None, tuple[Signal, ...]]
"""State, what it waits for, since when it is paused, when its end was asked for, why it fails, and signals it keeps."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A workflow version an engine has loaded."""

    stored: StoredVersion
    definition: Definition
    index: Mapping[str, int]
    functions: Mapping[str, str | None]
    """Function key -> digest of what it does, None where that cannot be told."""
    telling: Telling = field(default_factory=Telling)
    environment: Mapping[str, str] = field(default_factory=dict)
    """What its nodes declare of their environment -> version or digest, where it was published."""

    @property
    def graph(self) -> Graph:
        """Its graph."""
        return self.definition.graph

    @cached_property
    def limited(self) -> bool:
        """Whether any of its nodes has a concurrency limit."""
        return any(node.policy.limit is not None for node in self.graph.every)

    @cached_property
    def gated(self) -> bool:
        """Whether any of its nodes may have to wait for what other executions do."""
        return any(node.policy.is_gated for node in self.graph.nodes)

    @cached_property
    def breakers(self) -> frozenset[str]:
        """The circuit breakers of its nodes."""
        return frozenset(node.policy.breaker.name for node in self.graph.nodes if node.policy.breaker is not None)

    @cached_property
    def acts(self) -> bool:
        """Whether any of its nodes is an effect."""
        return any(node.policy.effect for node in self.graph.every)

    def function_digest(self, key: str) -> str | None:
        """What a function does, as a digest."""
        return self.functions.get(key)


@dataclass(slots=True, kw_only=True)
class Live:
    """One execution. Belongs to the engine's one thread.

    Args:
        keys: segment -> Dask key while it flies.
        intended: segments of effects that are handed out once it is committed that they run.
        begun: segments that are known to have begun on a worker.
        working_since_at: since when it has work on the cluster, or None.
        cache_keys: elements that run now and whose results later executions may reuse -> under which key.
        held_by: why it, or something of it, must wait for what other executions do; or empty.
        tickets: elements that need slots which executions share -> what they have of them.
        unshared: elements that are computed although another execution may be about to leave the same result.
        reused: elements that an earlier execution's result once stood in for.
        unread: elements whose result could not be read -> the attempts that left it.
        told_at_s: when its counters were last written, and `told`: what else was, its `standing` and its requests.
        shifted: its work on the cluster began or ended since its standing was last looked at.
        resting_since_s: since when it only waits, by the monotonic clock.
        at_hand: what the engine itself has just recorded of elements, until what needs it is handed out -> their outputs.
        stopped_s: since when it is waited for how what runs ends, by the monotonic clock.
        refusals: how often something of it could not be stored.
    """

    claim: Claim
    version: Version
    execution: Execution
    loaded: Loaded
    flights: Flights = field(default_factory=Flights)
    keys: dict[str, str] = field(default_factory=dict)
    intended: list[Segment] = field(default_factory=list)
    begun: set[str] = field(default_factory=set)
    worked_s: float = 0.0
    working_since_at: datetime | None = None
    held_by: str = ""
    tickets: dict[tuple[str, Element], Ticket] = field(default_factory=dict)
    unshared: set[tuple[str, Element]] = field(default_factory=set)
    cache_keys: dict[tuple[str, Element], str] = field(default_factory=dict)
    reused: set[tuple[str, Element]] = field(default_factory=set)
    unread: dict[tuple[str, Element], set[int]] = field(default_factory=dict)
    told_at_s: float = 0.0
    told: Told = field(init=False)
    shifted: bool = False
    resting_since_s: float | None = None
    at_hand: dict[tuple[str, Element], Mapping[str, Any]] = field(default_factory=dict)
    stopped_s: float | None = None
    refusals: int = 0

    def __post_init__(self) -> None:
        """What is stored when it is claimed is told already."""
        claim = self.claim
        self.told = (claim.state, "", claim.paused_at, claim.cancel_requested_at, claim.error, claim.mailbox)

    @property
    def id(self) -> UUID:
        """The execution's id."""
        return self.claim.id

    @property
    def graph(self) -> Graph:
        """The execution's graph."""
        return self.version.graph

    @property
    def untouched(self) -> bool:
        """Whether nothing of it has run, flies, or is known before it runs, such as the sizes of mapped nodes."""
        nodes = self.execution.nodes.values()
        return not len(self.flights) and all(runs is blank_runs(runs.rank) for runs in nodes)

    @property
    def limited(self) -> bool:
        """Whether nodes of it wait for each other, or for other executions."""
        return self.version.limited or self.version.gated or bool(self.tickets)

    def held(self) -> dict[str, set[Element]]:
        """Node -> elements that may not begin now."""
        found: dict[str, set[Element]] = {}
        for (node, element), ticket in self.tickets.items():
            if not ticket.is_ready:
                found.setdefault(node, set()).add(element)
        return found

    def free_limits(self, slots: int) -> dict[str, int]:
        """How many more elements may be handed out of each group of a limit or a circuit breaker; `slots` of the cluster."""
        free: dict[str, int] = {}
        for node in self.graph.nodes if self.limited else ():
            limit, breaker = node.policy.limit, node.policy.breaker
            if limit is not None:
                # Of those that executions share, more are looked at than may begin: which of them may is told elsewhere.
                most = limit.most if limit.is_own else max(limit.most, _LOOKAHEAD)
                free[limit.group] = min(free.get(limit.group, most), most)
            if breaker is not None:
                # What is handed out when it opens still runs.
                free[node.policy.groups[-1]] = max(breaker.calls, _CALLS_A_SLOT * slots)
        for node in self.graph.nodes if free else ():
            for group in node.policy.groups:
                free[group] -= self.flights.count(node.id)
                free[group] -= sum(len(span) for one in self.intended for span in one.spans if span.node == node.id)
        for (name, _), ticket in self.tickets.items():
            for group in self.graph.by_id[name].policy.groups if name and not ticket.is_ready else ():
                free[group] -= 1
        return free

    def to_tell(self) -> Told:
        """What people are told as soon as it changes: its standing, what was asked of it, and why it fails."""
        execution = self.execution
        return (
            *self.standing(),
            execution.paused_at,
            execution.cancel_requested_at,
            execution.error,
            execution.mailbox,
        )

    def standing(self) -> tuple[ExecutionState, str]:
        """Its state for all to see, and for what it waits: one that runs but has nothing on the cluster is waiting."""
        state = self.execution.state
        if state is ExecutionState.RUNNING and (self.stops or self.execution.unwinding):
            return self._standing_at_end()
        if state is not ExecutionState.RUNNING or len(self.flights):
            return state, ""
        if self.held_by:
            return ExecutionState.WAITING, self.held_by
        if self.execution.paused_at is not None:
            return ExecutionState.WAITING, "paused"
        for name, runs in self.execution.nodes.items():
            for element, run in runs.runs.items():
                if run.state is NodeState.WAITING:
                    place = f"{name}[{', '.join(map(str, element))}]" if element else name
                    return ExecutionState.WAITING, f"{place}: {run.reason}"
        return state, ""

    @property
    def stops(self) -> bool:
        """Whether nothing new of it is to begin before what runs has ended, and what it did is undone."""
        return bool(self.graph.unwinding) and self.execution.stopping

    @property
    def timeout_s(self) -> float:
        """Seconds it may have work on the cluster: while it is undone, as long again."""
        return self.claim.timeout_s * (2 if self.execution.unwinding else 1)

    def _standing_at_end(self) -> tuple[ExecutionState, str]:
        names = self._open_names()
        shown = ", ".join(names[:_SHOWN]) + (" ..." if len(names) > _SHOWN else "")
        if self.execution.paused_at is not None:
            return ExecutionState.WAITING, f"paused while it is undone: {shown}"
        words = f"stopping: {shown}" if self.stops else f"undoing what was done: {shown}"
        if len(self.flights):
            return ExecutionState.RUNNING, words.removesuffix(": ")
        return ExecutionState.WAITING, words.removesuffix(": ")

    def _open_names(self) -> list[str]:
        """What is under way while it stops or is undone."""
        if self.stops:
            return list(dict.fromkeys(span.node for segment in self.flights for span in self.flights.spans(segment)))
        return [
            node.id
            for node in self.graph.unwinding
            if any(not run.state.final for run in self.execution.nodes[node.id].runs.values())
        ]

    def worked(self, now: datetime) -> float:
        """Seconds it has had work on the cluster, up to now."""
        since = self.working_since_at
        return self.worked_s + ((now - since).total_seconds() if since else 0.0)

    def note_work(self, now: datetime) -> None:
        """Start or stop the clock of work, after flights changed."""
        if len(self.flights) and self.working_since_at is None:
            self.working_since_at, self.shifted = now, True
        elif not len(self.flights) and self.working_since_at is not None:
            self.worked_s = self.worked(now)
            self.working_since_at, self.shifted = None, True
