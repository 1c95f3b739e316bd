"""The only place where a state changes: `advance(execution, event, ...) -> Transition`.

Pure: no clock, no randomness, no I/O. Refuses what is stale (another attempt, an element that has ended) silently, because
messages are delivered at least once and in any order.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, assert_never
from uuid import UUID

from wfplatform.core.draft import Draft, Transition
from wfplatform.core.effect import intend, reopen, repeat
from wfplatform.core.event import (
    Arrived,
    Began,
    CancelRequested,
    ChildEnded,
    Claimed,
    DeadlinePassed,
    Event,
    GivenBack,
    Intended,
    Kept,
    Outcomes,
    PauseRequested,
    Recorded,
    Refused,
    Rejected,
    Repeated,
    ResumeRequested,
    Retried,
    Reused,
    SegmentClosed,
    SegmentLost,
    SetTimer,
    Stopped,
    TimerDue,
)
from wfplatform.core.execution import (
    Element,
    Execution,
    ExecutionState,
    NodeRuns,
    NodeState,
    Outcome,
    OutcomeKind,
    Run,
    Span,
    blank_runs,
)
from wfplatform.core.graph import Graph
from wfplatform.core.propagation import completed, expand_claimed, spread
from wfplatform.core.request import cancel, expire, reject, retry
from wfplatform.core.retrying import fail
from wfplatform.core.stopping import ask, end_badly, while_stopping
from wfplatform.core.unwinding import begin as begin_unwinding
from wfplatform.core.unwinding import concerning, cull, go_on, unread
from wfplatform.core.waiting import arrive, begin, end_child, keep, reuse, wake

__all__ = ["MAX_LOST", "MAX_SUSPECTS", "Transition", "advance", "blank_nodes", "new_execution"]

MAX_LOST: Final = 2
"""A node that lost this many workers by its own fault is given up."""
MAX_SUSPECTS: Final = 200
"""Of a lost segment so many elements, the first that had not ended, are run again on their own; the others as before."""

_FIRST_COMPLETED: Final = Run(NodeState.COMPLETED, attempt=1)
"""Shared by all elements that completed at the first attempt: 100,000 of them cost one object."""


def new_execution(id: UUID, graph: Graph, epoch: int = 0) -> Execution:
    """A pending execution of which nothing has run."""
    return Execution(
        id=id,
        epoch=epoch,
        state=ExecutionState.PENDING,
        nodes=blank_nodes(graph),
        open_nodes=len(graph.nodes),
    )


def blank_nodes(graph: Graph) -> Mapping[str, NodeRuns]:
    """Every node of a graph, none of which has run."""
    return {node.id: blank_runs(node.rank) for node in graph.nodes}


def advance(execution: Execution, graph: Graph, event: Event, now: datetime, chance: float = 0.5) -> Transition:
    """What an event makes of an execution.

    Args:
        execution: as it stands.
        graph: its definition.
        event: what happened.
        now: the present instant.
        chance: a number in [0, 1) that decides retry jitter.

    Returns:
        The execution after the event, the changes to commit and the effects to carry out after the commit.
    """
    draft = Draft(execution, graph, now, chance)
    if execution.state.final:
        match event:
            case Retried():
                retry(draft, event)
            case Claimed(sizes):
                _claim_sizes(draft, sizes)  # for the retry that follows
            case Rejected(error, elements):
                # The retry it was claimed for, or its end could not be recorded.
                reject(draft, error, elements)
            case _:
                return Transition(execution)
        return draft.transition()
    concerns: Event | None = event
    if graph.unwinding and execution.stopping:
        concerns = while_stopping(draft, event)
    elif execution.unwinding:
        concerns = concerning(graph, event)
    if concerns is not None:
        _happen(draft, concerns)
    if graph.unwinding:
        _unwind(draft)
    return draft.transition()


def _unwind(draft: Draft) -> None:
    """When all nodes have ended: what was done is undone unless all went well."""
    if draft.has_ended:
        return
    if not draft.unwinding:
        if draft.base.stopping or draft.left:
            return
        if draft.changes.get("error", draft.base.error) is None:
            cull(draft)
            return
        begin_unwinding(draft)
    go_on(draft)


def _happen(draft: Draft, event: Event) -> None:
    """Something happened to an execution that has not ended."""
    execution = draft.base
    match event:
        case Outcomes(items):
            for outcome in items:
                _take(draft, outcome)
        case Claimed(sizes):
            _claim(draft, sizes)
        case SegmentClosed(_, spans) | GivenBack(_, spans):
            _reopen(draft, spans)
        case SegmentLost():
            _lose(draft, event)
        case Began():
            begin(draft, event)
        case Intended():
            intend(draft, event)
        case Repeated():
            repeat(draft, event)
        case Reused():
            reuse(draft, event)
        case Refused(node, element, error):
            known = draft.run(node, element)
            if known is None or not known.state.final:
                number = max(known.attempt if known else 0, 1)
                fail(draft, Outcome(node, element, number, OutcomeKind.FAILED, error=error), known)
        case TimerDue():
            wake(draft, event)
        case ChildEnded():
            end_child(draft, event)
        case Arrived():
            arrive(draft, event)
        case Kept(signal):
            keep(draft, signal)
        case CancelRequested():
            cancel(draft)
        case DeadlinePassed(timeout_s):
            expire(draft, timeout_s)
        case Rejected(error, elements):
            reject(draft, error, elements)
        case PauseRequested():
            draft.changes["paused_at"] = execution.paused_at or draft.now
        case ResumeRequested():
            draft.changes["paused_at"] = None
            draft.needs_plan = True
        case Retried():
            retry(draft, event)
        case Stopped():
            pass  # it goes on: nothing was to be stopped
        case _:
            assert_never(event)


# -- an engine takes over


def _claim(draft: Draft, sizes: Mapping[str, Sequence[tuple[Element, int]]]) -> None:
    base = draft.base
    draft.changes |= {"state": ExecutionState.RUNNING, "started_at": base.started_at or draft.now}
    _claim_sizes(draft, sizes)
    # What was under way with the engine before is not under way with this one.
    for name, before in base.nodes.items():
        for element, run in before.runs.items():
            if run.state is NodeState.RUNNING:
                reopen(draft, name, element, run)
            elif run.state is NodeState.WAITING and run.due_at is not None:
                draft.effects.append(SetTimer(name, element, run.due_at))
    if draft.graph.unwinding and base.stopping:
        ask(draft)
    draft.needs_plan = True


def _claim_sizes(draft: Draft, sizes: Mapping[str, Sequence[tuple[Element, int]]]) -> None:
    for name, listed in sizes.items():
        said: dict[Element, set[int]] = {}
        for prefix, size in listed:
            said.setdefault(prefix, set()).add(size)
        expand_claimed(draft, name, said)


# -- what workers say


def _take(draft: Draft, outcome: Outcome) -> None:
    name, element, kind = outcome.node, outcome.element, outcome.kind
    if kind is OutcomeKind.ITERATED:
        _iterate(draft, outcome)
        return
    known = draft.run(name, element)
    match kind:
        case OutcomeKind.COMPLETED:
            if known is not None and (known.state.final or outcome.attempt < known.attempt):
                return
            if known is not None and known.edit is not None and _has_failed(known, outcome.attempt):
                return  # a twin of the try that failed, which had other inputs
            if outcome.attempt == 1 and outcome.sizes is None and outcome.verdict is None:
                run = _FIRST_COMPLETED
            else:
                run = Run(NodeState.COMPLETED, outcome.attempt, sizes=outcome.sizes, verdict=outcome.verdict)
            draft.put(name, element, run, outcome)
            completed(draft, name, element, run)
        case OutcomeKind.STARTED:
            if known is not None and (known.state.final or _is_over(known, outcome.attempt)):
                return
            before = known or Run(NodeState.PENDING)
            draft.put(name, element, replace(before, state=NodeState.RUNNING, attempt=outcome.attempt), outcome)
        case OutcomeKind.FAILED:
            if known is not None and (known.state.final or _has_failed(known, outcome.attempt)):
                return
            if draft.graph.unwinding and draft.base.stopping:
                end_badly(draft, outcome, known)
            else:
                fail(draft, outcome, known)
        case OutcomeKind.UNREADABLE:
            if draft.unwinding:
                unread(draft, outcome)
            elif known is not None and known.state is NodeState.COMPLETED and element in draft.known(name):
                _lose_result(draft, outcome, known)
        case _:
            assert_never(kind)


def _lose_result(draft: Draft, outcome: Outcome, known: Run) -> None:
    """What it left cannot be read: it is computed again, unless that was of no use before."""
    error = dict(outcome.error or {})
    draft.needs_plan = True
    if error.get("retryable", True):
        draft.put(outcome.node, outcome.element, Run(NodeState.PENDING, known.attempt))
        return
    run = Run(NodeState.FAILED, known.attempt, error=error)
    draft.put(outcome.node, outcome.element, run, outcome._replace(attempt=known.attempt))
    draft.fail(outcome.node, outcome.element, error)
    spread(draft, outcome.node, outcome.element, run)


def _is_over(known: Run, attempt: int) -> bool:
    """Whether an attempt is known to run no more, so that what says that it runs comes late."""
    return attempt < known.attempt or (attempt == known.attempt and known.state is not NodeState.RUNNING)


def _has_failed(known: Run, attempt: int) -> bool:
    """Whether the failure of an attempt is known already, or of no interest any more."""
    return attempt < known.attempt or (
        attempt == known.attempt and known.state is not NodeState.RUNNING and known.error is not None
    )


def _iterate(draft: Draft, outcome: Outcome) -> None:
    name, element, turn = outcome.node, outcome.element[:-1], outcome.element[-1]
    known = draft.run(name, element) or Run(NodeState.PENDING)
    if known.state.final or outcome.attempt < known.attempt or turn < (known.sizes or {}).get("turns", 0):
        return
    sizes = {"turns": turn + 1}
    if _is_over(known, outcome.attempt):
        run = replace(known, sizes=sizes)
    else:
        run = replace(known, state=NodeState.RUNNING, attempt=outcome.attempt, sizes=sizes)
    draft.runs(name)[element] = run
    turned = Run(NodeState.COMPLETED, outcome.attempt)
    draft.recorded.append(Recorded(name, outcome.element, turned, outcome, fresh=True))


# -- segments


def _reopen(draft: Draft, spans: Iterable[Span]) -> None:
    for span in spans:
        for element in span.elements():
            run = draft.known(span.node).get(element)
            if run is None or run.state is not NodeState.RUNNING:
                continue
            again = replace(run, state=NodeState.PENDING)
            if draft.graph.by_id[span.node].policy.effect:
                draft.put(span.node, element, again)  # it is committed that it runs, and it did not begin
            else:
                draft.runs(span.node)[element] = again
    draft.needs_plan = True


def _lose(draft: Draft, event: SegmentLost) -> None:
    single = sum(map(len, event.spans)) == 1
    suspects = 0
    for span in event.spans:
        for element in span.elements():
            run = draft.run(span.node, element)
            if run is not None and (run.state.final or run.state is NodeState.WAITING):
                continue
            before = run or Run(NodeState.PENDING)
            # Nobody is blamed before it was run again with nothing beside it.
            blamed = single and event.started and not event.blameless and before.alone
            # They ran in this order, and what had ended is known but for a moment: it was one of the first.
            suspected = not event.blameless and suspects < MAX_SUSPECTS
            suspects += suspected
            _lose_element(draft, event, span.node, element, before, blamed=blamed, suspected=suspected)
    draft.needs_plan = True


def _lose_element(
    draft: Draft, event: SegmentLost, name: str, element: Element, before: Run, *, blamed: bool, suspected: bool
) -> None:
    was_running = before.state is NodeState.RUNNING
    attempt = before.attempt + (1 if blamed and not was_running else 0)
    lost = before.lost + (1 if blamed else 0)
    if lost < MAX_LOST:
        alone = before.alone or suspected
        run = replace(before, state=NodeState.PENDING, attempt=attempt, lost=lost, alone=alone)
        if was_running or blamed:
            reopen(draft, name, element, run)
        else:
            draft.runs(name)[element] = run
        return
    error = {
        "type": "WorkerLost",
        "code": "worker_lost",
        "message": f"Given up: it ended {lost} workers on which nothing else ran. {event.reason}",
        "retryable": False,
    }
    run = Run(NodeState.FAILED, max(attempt, 1), lost=lost, tries=before.tries, sizes=before.sizes, error=error)
    draft.put(name, element, run)
    draft.fail(name, element, error)
    spread(draft, name, element, run)
