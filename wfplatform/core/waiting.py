"""What the engine does itself, because it holds no worker: elements that wait, and for what. Used by `lifecycle` alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from wfplatform.core.draft import Draft
from wfplatform.core.event import Arrived, Began, ChildEnded, Reused, SetTimer, TimerDue
from wfplatform.core.execution import Element, ExecutionState, NodeState, Outcome, OutcomeKind, Run, Signal
from wfplatform.core.graph import NodeKind
from wfplatform.core.propagation import completed
from wfplatform.core.retrying import fail

__all__ = ["arrive", "begin", "end_child", "keep", "reuse", "wake"]


def reuse(draft: Draft, event: Reused) -> None:
    """An earlier execution's result stands in for an element."""
    known = draft.run(event.node, event.element)
    if known is not None and known.state.final:
        return
    attempt = known.attempt if known else 0
    run = Run(NodeState.COMPLETED, attempt, sizes=event.sizes, reused_from=event.execution_id)
    outcome = Outcome(event.node, event.element, attempt, OutcomeKind.COMPLETED, outputs=event.outputs)
    draft.put(event.node, event.element, run, outcome)
    completed(draft, event.node, event.element, run)
    draft.needs_plan = True


def begin(draft: Draft, event: Began) -> None:
    """An element waits from now on."""
    known = draft.run(event.node, event.element)
    if known is not None and known.state is not NodeState.PENDING:
        return
    before = known or Run(NodeState.PENDING)
    run = replace(
        before,
        state=NodeState.WAITING,
        attempt=before.attempt + 1,
        due_at=event.due_at,
        reason=event.reason,
        error=None,
        awaits=event.awaits,
    )
    draft.put(event.node, event.element, run)
    if event.due_at is not None:
        draft.effects.append(SetTimer(event.node, event.element, event.due_at))


def wake(draft: Draft, event: TimerDue) -> None:
    """The time of a waiting element has come."""
    name, element = event.node, event.element
    run = draft.run(name, element)
    if run is None or run.state is not NodeState.WAITING or run.due_at is None or run.due_at > draft.now:
        return
    if run.awaits is not None and event.error is not None:
        _fail_for_good(draft, name, element, run, event.error)
    elif run.awaits is not None or (draft.graph.by_id[name].type == NodeKind.DELAY and run.error is None):
        _complete(draft, name, element, run, event.outputs, event.sizes)
    else:
        draft.put(name, element, replace(run, state=NodeState.PENDING, due_at=None, reason=""))
    draft.needs_plan = True


def end_child(draft: Draft, event: ChildEnded) -> None:
    """The child execution for which an element waits has ended."""
    name, element = event.node, event.element
    known = draft.run(name, element)
    # With a due time it waits to be tried again: the child whose end this is has been answered already.
    if known is None or known.state is not NodeState.WAITING or known.due_at is not None:
        return
    if event.state is ExecutionState.COMPLETED:
        _complete(draft, name, element, known, event.outputs, event.sizes)
    else:
        error = dict(event.error or {"type": "ChildEnded", "message": f"The child execution was {event.state}."})
        fail(draft, Outcome(name, element, known.attempt, OutcomeKind.FAILED, error=error), known)
    draft.needs_plan = True


def arrive(draft: Draft, event: Arrived) -> None:
    """What an element waits for has come: its result, or that there will be none."""
    if event.signal is not None:
        kept = draft.changes.get("mailbox", draft.base.mailbox)
        draft.changes["mailbox"] = tuple(signal for signal in kept if signal.number != event.signal)
    known = draft.run(event.node, event.element)
    if known is None or known.state is not NodeState.WAITING or known.awaits is None:
        return
    if event.error is None:
        _complete(draft, event.node, event.element, known, event.outputs, event.sizes)
    else:
        _fail_for_good(draft, event.node, event.element, known, event.error)
    draft.needs_plan = True


def keep(draft: Draft, signal: Signal) -> None:
    """Nothing waits for a signal so far: whatever does so later finds it."""
    kept = draft.changes.get("mailbox", draft.base.mailbox)
    if all(signal.number != one.number for one in kept):
        draft.changes["mailbox"] = (*kept, signal)


def _complete(
    draft: Draft,
    name: str,
    element: Element,
    known: Run,
    outputs: Mapping[str, Any] | None,
    sizes: Mapping[str, int] | None,
) -> None:
    run = Run(NodeState.COMPLETED, known.attempt, sizes=sizes)
    outcome = Outcome(name, element, known.attempt, OutcomeKind.COMPLETED, outputs=outputs)
    draft.put(name, element, run, outcome)
    completed(draft, name, element, run)


def _fail_for_good(draft: Draft, name: str, element: Element, known: Run, error: Mapping[str, Any]) -> None:
    """To wait once more would help nobody."""
    told = {**error, "retryable": False}
    fail(draft, Outcome(name, element, known.attempt, OutcomeKind.FAILED, error=told), known)
