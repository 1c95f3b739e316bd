"""What happens to an execution (events), and what is to be done about it (effects).

Facts and orders only; `core.lifecycle` turns the first into the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from wfplatform.core.execution import Element, ExecutionState, NodeState, Outcome, Run, Signal, Span

__all__ = [
    "Arrived",
    "Began",
    "CancelChild",
    "CancelRequested",
    "CancelSegments",
    "ChildEnded",
    "Claimed",
    "DeadlinePassed",
    "Effect",
    "Event",
    "Finish",
    "GivenBack",
    "Intended",
    "Kept",
    "Outcomes",
    "PauseRequested",
    "Plan",
    "Recorded",
    "Refused",
    "Rejected",
    "Repeated",
    "Replay",
    "ResumeRequested",
    "Retried",
    "Reused",
    "SegmentClosed",
    "SegmentLost",
    "SetTimer",
    "StopSegments",
    "Stopped",
    "TimerDue",
]


@dataclass(frozen=True, slots=True)
class Claimed:
    """An engine took the execution: a fresh one or one that another engine dropped.

    `sizes`: node -> (prefix, number of elements below it) each, for nodes mapped over values of the definition or of
    parameters. A prefix that comes twice with different numbers is one on which the node's inputs disagree.
    """

    sizes: Mapping[str, Sequence[tuple[Element, int]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Workers report attempts."""

    items: tuple[Outcome, ...]


@dataclass(frozen=True, slots=True)
class SegmentClosed:
    """A segment has said all it had to say; what is still open of it is to be planned again."""

    segment: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class GivenBack:
    """A segment that goes on will not run these: one of its elements takes long, and they have not begun."""

    segment: str
    spans: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class SegmentLost:
    """A segment will say nothing more.

    `started`: its first node is known to have begun on the lost worker, so that it may be to blame.
    """

    segment: str
    spans: tuple[Span, ...]
    worker: str
    reason: str
    started: bool
    blameless: bool = False


@dataclass(frozen=True, slots=True)
class Began:
    """The engine itself began an element that holds no worker: a delay, or a child execution.

    `reason` says in one sentence for what it waits, and until when; `awaits` as in `Run`.
    """

    node: str
    element: Element
    reason: str
    due_at: datetime | None = None
    awaits: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Intended:
    """Effects are about to run: (node, element, attempt) each. They begin when that is committed."""

    items: tuple[tuple[str, Element, int], ...]


@dataclass(frozen=True, slots=True)
class Repeated:
    """Somebody wants an effect to run again of which it is not known whether it happened."""

    node: str
    element: Element


@dataclass(frozen=True, slots=True)
class Reused:
    """An element need not run: an earlier execution left what it would compute."""

    node: str
    element: Element
    outputs: Mapping[str, Any]
    sizes: Mapping[str, int] | None
    execution_id: UUID


@dataclass(frozen=True, slots=True)
class Refused:
    """An element cannot be begun; `error` as in `Outcome`."""

    node: str
    element: Element
    error: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class TimerDue:
    """The time of a waiting element has come; `outputs`, `sizes` and `error` as in `Outcome`, unless it is to be tried again."""

    node: str
    element: Element
    outputs: Mapping[str, Any] | None = None
    sizes: Mapping[str, int] | None = None
    error: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ChildEnded:
    """A child execution ended; `outputs` as in `Outcome`."""

    node: str
    element: Element
    state: ExecutionState
    outputs: Mapping[str, Any] | None = None
    error: Mapping[str, Any] | None = None
    sizes: Mapping[str, int] | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """What an element waits for has come; `outputs`, `sizes` and `error` as in `Outcome`.

    `signal`: the number of the one that brought it, which nothing else is to get.
    """

    node: str
    element: Element
    outputs: Mapping[str, Any] | None = None
    sizes: Mapping[str, int] | None = None
    error: Mapping[str, Any] | None = None
    signal: int | None = None


@dataclass(frozen=True, slots=True)
class Kept:
    """A signal came for which nothing waits so far."""

    signal: Signal


@dataclass(frozen=True, slots=True)
class CancelRequested:
    """Somebody wants it to stop."""

    by: str = ""


@dataclass(frozen=True, slots=True)
class Stopped:
    """Nothing of it runs any more, after it was told to stop."""


@dataclass(frozen=True, slots=True)
class PauseRequested:
    """Nothing new is to start."""

    by: str = ""


@dataclass(frozen=True, slots=True)
class ResumeRequested:
    """It may go on."""

    by: str = ""


@dataclass(frozen=True, slots=True)
class Rejected:
    """The execution as a whole cannot be run; `error` as in `Outcome`.

    `elements`: what workers said of them cannot be recorded. They fail with it, whatever became of them; else no node is
    to blame. A turn of a loop stands for that turn and those after it.
    """

    error: Mapping[str, Any]
    elements: tuple[tuple[str, Element], ...] = ()


class Replay(NamedTuple):
    """A failed element that is to run again, unless it is not the one any more that failed in this attempt.

    `inputs`: port -> plain JSON in place of what it would get; None = as it was.
    """

    node: str
    element: Element
    attempt: int
    inputs: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Retried:
    """Failed elements and what hangs on them are to run again: all of an execution, or `only` these."""

    by: str = ""
    only: tuple[Replay, ...] | None = None


@dataclass(frozen=True, slots=True)
class DeadlinePassed:
    """It had work on the cluster longer than its timeout."""

    timeout_s: float


type Event = (
    Claimed
    | Outcomes
    | SegmentClosed
    | GivenBack
    | SegmentLost
    | Began
    | Intended
    | Repeated
    | Refused
    | Rejected
    | Reused
    | TimerDue
    | ChildEnded
    | Arrived
    | Kept
    | CancelRequested
    | Stopped
    | PauseRequested
    | ResumeRequested
    | Retried
    | DeadlinePassed
)


@dataclass(frozen=True, slots=True)
class Plan:
    """Something may be ready to run."""


@dataclass(frozen=True, slots=True)
class SetTimer:
    """Wake the element at this instant."""

    node: str
    element: Element
    due_at: datetime


@dataclass(frozen=True, slots=True)
class CancelSegments:
    """Whatever runs for this execution is to stop; its slots are to be freed."""


@dataclass(frozen=True, slots=True)
class StopSegments:
    """Whatever runs for this execution is to stop, and how it ends is waited for; then `Stopped` is due."""


@dataclass(frozen=True, slots=True)
class CancelChild:
    """A child execution is to be cancelled."""

    child: UUID


@dataclass(frozen=True, slots=True)
class Finish:
    """It has ended."""

    state: ExecutionState


type Effect = Plan | SetTimer | CancelSegments | StopSegments | CancelChild | Finish


class Recorded(NamedTuple):
    """A change of one element that is to be committed: its new standing, and the outcome behind it if a worker sent one."""

    node: str
    element: Element
    run: Run
    outcome: Outcome | None
    fresh: bool
    """Whether nothing was ever recorded of this element before."""

    @property
    def state(self) -> NodeState:
        """The element's new state."""
        return self.run.state
