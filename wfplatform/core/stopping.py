"""An execution that is to be undone stops first: what runs is told so, and how it ends is waited for. Used by `lifecycle`.

Nothing of it is undone while something of it may still act. Refuses to begin anything new.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from uuid import UUID

from wfplatform.core.draft import Draft
from wfplatform.core.effect import LOST
from wfplatform.core.event import (
    CancelChild,
    CancelRequested,
    ChildEnded,
    Claimed,
    Event,
    GivenBack,
    Kept,
    Outcomes,
    Rejected,
    SegmentClosed,
    SegmentLost,
    Stopped,
    StopSegments,
)
from wfplatform.core.execution import Element, ExecutionState, NodeState, Outcome, OutcomeKind, Run, Span
from wfplatform.core.graph import NodeKind
from wfplatform.core.unwinding import begin

__all__ = ["ask", "ask_children", "end_badly", "while_stopping"]


def ask(draft: Draft) -> None:
    """Tell what runs to stop, children too; a pause would keep it from ever coming to its end."""
    if draft.base.paused_at is not None:
        draft.changes["paused_at"] = None
    draft.effects.append(StopSegments())
    ask_children(draft)
    draft.needs_plan = True


def ask_children(draft: Draft) -> None:
    """Have the child executions cancelled for which elements wait."""
    draft.effects += [CancelChild(child) for child in _children(draft)]


def while_stopping(draft: Draft, event: Event) -> Event | None:
    """Take in what happens to an execution that stops; returns what of it is to be taken in like at any other time."""
    match event:
        case Outcomes(items):
            return Outcomes(tuple(one for one in items if one.kind is not OutcomeKind.UNREADABLE))
        case Claimed() | Kept():
            return event
        case SegmentClosed(_, spans) | GivenBack(_, spans):
            _never_began(draft, spans)
        case ChildEnded():
            _child_ended(draft, event)
        case CancelRequested():
            ask(draft)
        case Rejected():
            return event  # not even its stop can be recorded
        case Stopped():
            _settle(draft)
            return None
        case SegmentLost():
            pass  # of what ran in it nobody will say how it ended
        case _:
            return None
    draft.needs_plan = True
    return None


def end_badly(draft: Draft, outcome: Outcome, known: Run | None) -> None:
    """A try ended in an error, most often because it was told to stop; it is not tried again."""
    error = dict(outcome.error or {})
    tries = (known.tries if known else 0) + 1
    sizes = known.sizes if known else None
    is_told = error.get("code") == "cancelled"
    state = NodeState.CANCELLED if is_told else NodeState.FAILED
    reason = _reason(draft) if is_told else ""
    run = Run(state, outcome.attempt, tries=tries, sizes=sizes, error=error, reason=reason)
    draft.put(outcome.node, outcome.element, run, outcome)


def _settle(draft: Draft) -> None:
    """Nothing runs any more: what has not ended is cancelled, and it is undone what was done."""
    if _children(draft):
        return
    reason, unknown = _reason(draft), set[tuple[str, Element]]()
    for name, before in draft.base.nodes.items():
        node = draft.graph.by_id[name]
        for element, run in before.runs.items():
            if run.state.final:
                continue
            is_lost = run.state is NodeState.RUNNING or (run.awaits or {}).get("unknown") or run.reason == LOST
            if node.policy.effect and is_lost:
                unknown.add((name, element))
            stopped = replace(run, state=NodeState.CANCELLED, reason=reason, due_at=None, awaits=None)
            draft.put(name, element, stopped)
    begin(draft, frozenset(unknown))


def _never_began(draft: Draft, spans: Iterable[Span]) -> None:
    """Of effects it is committed that they run; these did not come to it."""
    for span in spans:
        if not draft.graph.by_id[span.node].policy.effect:
            continue
        for element in span.elements():
            run = draft.run(span.node, element)
            if run is not None and run.state is NodeState.RUNNING:
                draft.put(span.node, element, replace(run, state=NodeState.PENDING, attempt=run.attempt - 1))


def _child_ended(draft: Draft, event: ChildEnded) -> None:
    known = draft.run(event.node, event.element)
    if known is None or known.state is not NodeState.WAITING or known.due_at is not None:
        return
    outcome = Outcome(
        event.node, event.element, known.attempt, OutcomeKind.COMPLETED, outputs=event.outputs, error=event.error
    )
    if event.state is ExecutionState.COMPLETED:
        draft.put(event.node, event.element, Run(NodeState.COMPLETED, known.attempt, sizes=event.sizes), outcome)
        return
    is_cancelled = event.state is ExecutionState.CANCELLED
    run = Run(
        NodeState.CANCELLED if is_cancelled else NodeState.FAILED,
        known.attempt,
        tries=known.tries + 1,
        error=event.error,
        reason=_reason(draft) if is_cancelled else "",
    )
    draft.put(event.node, event.element, run, outcome._replace(kind=OutcomeKind.FAILED))


def _children(draft: Draft) -> list[UUID]:
    """The child executions for which elements wait."""
    return [
        UUID(run.awaits["execution"])
        for node in draft.graph.nodes
        if node.type == NodeKind.WORKFLOW
        for run in draft.known(node.id).values()
        if run.state is NodeState.WAITING and run.awaits is not None and run.awaits.get("kind") == "child"
    ]


def _reason(draft: Draft) -> str:
    error = draft.changes.get("error", draft.base.error) or {}
    return str(error.get("stopped") or "the execution was cancelled")
