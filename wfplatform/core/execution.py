"""An execution as data: what is known of each node and each of its elements.

Immutable; only `core.lifecycle` makes new ones. Refuses values: an execution knows that a node has a result, not the result.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any, Final, NamedTuple
from uuid import UUID

__all__ = [
    "AT_ODDS",
    "WHOLE",
    "Element",
    "Execution",
    "ExecutionState",
    "NodeRuns",
    "NodeState",
    "Outcome",
    "OutcomeKind",
    "Run",
    "Signal",
    "Span",
    "blank_runs",
    "ended_among",
]

type Element = tuple[int, ...]
"""The indices of one element of a mapped node; `()` for a node that is not mapped."""

WHOLE: Element = ()

AT_ODDS: Final = -1
"""In place of a number of elements: what the node is mapped over says different ones."""


class ExecutionState(StrEnum):
    """States of an execution."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        """Whether nothing happens any more."""
        return self in _FINAL_EXECUTION


class NodeState(StrEnum):
    """States of a node or of one of its elements."""

    PENDING = "pending"
    RUNNING = "running"
    WAITING = "waiting"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"

    @property
    def final(self) -> bool:
        """Whether nothing happens any more."""
        return self in _FINAL_NODE


_FINAL_EXECUTION = frozenset({ExecutionState.COMPLETED, ExecutionState.FAILED, ExecutionState.CANCELLED})
_FINAL_NODE = frozenset({NodeState.COMPLETED, NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED})


class Span(NamedTuple):
    """Elements `prefix + (start,)` up to `prefix + (stop - 1,)` of a mapped node; of an unmapped node the one element `()`."""

    node: str
    prefix: Element
    start: int
    stop: int

    @classmethod
    def whole(cls, node: str) -> Span:
        """The one element of an unmapped node."""
        return cls(node, (), -1, 0)

    @classmethod
    def of(cls, node: str, element: Element) -> Span:
        """One element."""
        return cls(node, element[:-1], element[-1], element[-1] + 1) if element else cls.whole(node)

    def __len__(self) -> int:  # a tuple's own length would be 4 for all of them
        return self.stop - self.start

    def elements(self) -> Iterator[Element]:
        """Each element."""
        if self.start < 0:
            yield WHOLE
            return
        for index in range(self.start, self.stop):
            yield (*self.prefix, index)


class OutcomeKind(StrEnum):
    """What a worker says of an attempt."""

    STARTED = "started"
    COMPLETED = "completed"
    FAILED = "failed"
    UNREADABLE = "unreadable"
    """What the element left can no longer be read: its artifact is lost or corrupt."""
    ITERATED = "iterated"
    """One turn of a loop was completed; `element` ends with its number, `verdict` says whether another follows."""


class Outcome(NamedTuple):
    """One attempt at one element, as the worker saw it. A named tuple because an execution may have 100,000 of them.

    `outputs`: port -> {"codec", "size", "digest", and "value" (plain JSON), "body" (bytes up to 64 KiB) or "location"}.
    `error`: {"type", "kinds" (names of the class and its bases), "message", "traceback", "code"}.
    `sizes`: port -> length, for outputs that later nodes are mapped over. `verdict`: of choices; of loops: go on?
    `elsewhere`: the environment it ran in is not the declared one, so that nobody reuses what it left.
    `logs`: (at, level, logger, message) each. Instants are seconds since 1970 (float) to keep the message small.
    """

    node: str
    element: Element
    attempt: int
    kind: OutcomeKind
    worker: str = ""
    segment: str = ""
    started_at: float | None = None
    finished_at: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    input_digest: str | None = None
    outputs: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    sizes: Mapping[str, int] | None = None
    verdict: bool | None = None
    logs: tuple[tuple[float, int, str, str], ...] = ()
    progress: tuple[float, str] | None = None
    elsewhere: bool = False


@dataclass(frozen=True, slots=True)
class Run:
    """Where one element stands.

    Args:
        attempt: the attempt that is going on or was the last; 0 before the first.
        tries: how many attempts ended in an error of its own.
        lost: how many workers were lost under it, by its own fault as far as known.
        sizes: lengths of its outputs, where later nodes need them.
        due_at: when a waiting element goes on.
        alone: it must not share a segment with others (it is suspected of killing workers).
        upstream: it ended because of what another node did, so a retry of that one opens it again.
        awaits: what a waiting element is to be brought by somebody: {"kind": "event" or "approval", ...}, as JSON.
        edit: what somebody replaced among its inputs, for all tries to come: {"inputs" (port -> plain JSON), "by", "at"}.
    """

    state: NodeState
    attempt: int = 0
    tries: int = 0
    lost: int = 0
    alone: bool = False
    upstream: bool = False
    verdict: bool | None = None
    sizes: Mapping[str, int] | None = None
    due_at: datetime | None = None
    error: Mapping[str, Any] | None = None
    reason: str = ""
    reused_from: UUID | None = None
    awaits: Mapping[str, Any] | None = None
    edit: Mapping[str, Any] | None = None

    @property
    def is_dead(self) -> bool:
        """Whether it failed for good, and by itself."""
        return self.state is NodeState.FAILED and not self.upstream

    @property
    def edited(self) -> Mapping[str, Any]:
        """The inputs that were replaced: port -> value."""
        return {} if self.edit is None else self.edit["inputs"]


class Signal(NamedTuple):
    """Something that somebody told an execution. `number` tells it from all others; `data` is plain JSON."""

    number: int
    name: str
    data: Any
    by: str = ""


@dataclass(frozen=True, slots=True)
class NodeRuns:
    """Where the elements of one node stand.

    Args:
        sizes: for each known prefix the number of elements below it. A node that is not mapped needs none.
        runs: elements that are not simply pending. A prefix shorter than the rank stands for a whole branch that
            was skipped, failed or cancelled before its size was known; elements of such a branch are not counted.
        ended: how many of `runs` are final, those of branches that ended as a whole left out.
    """

    rank: int
    sizes: Mapping[Element, int] = field(default_factory=lambda: MappingProxyType({}))
    runs: Mapping[Element, Run] = field(default_factory=lambda: MappingProxyType({}))
    ended: int = 0

    def state(self, element: Element) -> NodeState:
        """Of one element; a branch that ended as a whole answers for all below it."""
        run = self.run(element)
        return run.state if run else NodeState.PENDING

    def run(self, element: Element) -> Run | None:
        """Of one element, or None while it is simply pending."""
        found = self.runs.get(element)
        if found is None and element:
            for cut in range(len(element) - 1, -1, -1):
                found = self.runs.get(element[:cut])
                if found is not None:
                    return found
        return found

    def total(self) -> int | None:
        """How many elements (and branches ended as a whole) there are; None while not all sizes are known."""
        return self._count((), 0)

    def _count(self, prefix: Element, depth: int) -> int | None:
        if depth == self.rank or prefix in self.runs:
            return 1
        size = self.sizes.get(prefix)
        if size is None:
            return None
        if depth + 1 == self.rank:
            return size
        total = 0
        for index in range(size):
            below = self._count((*prefix, index), depth + 1)
            if below is None:
                return None
            total += below
        return total

    @property
    def complete(self) -> bool:
        """Whether every element has ended."""
        return (self.ended > 0 and self.ended == self.total()) or (self.ended == 0 and self.total() == 0)

    def elements(self, prefix: Element = WHOLE) -> Iterator[Element]:
        """Every known element below a prefix, in order; branches that ended as a whole appear as their prefix."""
        if any(prefix[:cut] in self.runs for cut in range(min(len(prefix), self.rank))):
            yield prefix
        else:
            yield from self._below(prefix)

    def _below(self, prefix: Element) -> Iterator[Element]:
        if len(prefix) == self.rank or prefix in self.runs:
            yield prefix
            return
        for index in range(self.sizes.get(prefix, 0)):
            yield from self._below((*prefix, index))


@cache
def blank_runs(rank: int) -> NodeRuns:
    """A node of which nothing has run; one object for all, because most nodes of most executions begin so."""
    return NodeRuns(rank)


def ended_among(runs: Mapping[Element, Run]) -> int:
    """How many of the runs of a node have ended; a branch that ended as a whole counts as one."""
    final = [element for element, run in runs.items() if run.state.final]
    shortest = min(map(len, final), default=0)
    if all(len(element) == shortest for element in final):
        return len(final)
    ended = set(final)
    return sum(1 for element in final if not any(element[:cut] in ended for cut in range(len(element))))


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """One run of a workflow version, as its engine sees it.

    Args:
        epoch: grows by one whenever an engine takes it over; whatever belongs to an older epoch is refused.
        open_nodes: how many nodes have not ended.
        error: the first cause of its failure.
        mailbox: signals for which nothing has waited so far, oldest first.
        unwinding: what it did is being undone, because it failed or was cancelled.
    """

    id: UUID
    epoch: int
    state: ExecutionState
    nodes: Mapping[str, NodeRuns]
    open_nodes: int
    cancel_requested_at: datetime | None = None
    paused_at: datetime | None = None
    error: Mapping[str, Any] | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    mailbox: tuple[Signal, ...] = ()
    unwinding: bool = False

    @property
    def stopping(self) -> bool:
        """Whether nothing new of it is to begin: its end was asked for, and before it is undone, what runs has to end."""
        if self.unwinding or self.state.final:
            return False
        return self.cancel_requested_at is not None or "stopped" in (self.error or {})
