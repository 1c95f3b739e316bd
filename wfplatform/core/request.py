"""What users and clocks ask of a whole execution: to stop, and to go on after a failure. Used by `lifecycle` alone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from wfplatform.core.draft import Draft
from wfplatform.core.event import CancelSegments, Recorded
from wfplatform.core.execution import WHOLE, Element, ExecutionState, NodeState, Run
from wfplatform.core.graph import NodeKind
from wfplatform.core.propagation import decide

__all__ = ["expire", "reject", "retry", "stop_all"]


def expire(draft: Draft, timeout_s: float) -> None:
    """The execution fails, because it had work on the cluster for longer than it may."""
    error = {
        "type": "ExecutionTimeout",
        "code": "execution_timeout",
        "message": f"The execution had work on the cluster for more than its timeout of {timeout_s:g} s.",
    }
    draft.changes["error"] = draft.base.error or error
    stop_all(draft, "the execution's timeout was over")
    draft.finish(ExecutionState.FAILED)


def reject(draft: Draft, error: Mapping[str, Any], elements: Iterable[tuple[str, Element]] = ()) -> None:
    """The execution fails as a whole: it cannot be run, whatever its nodes did; these elements fail with it."""
    draft.changes["error"] = dict(error)
    stop_all(draft, "the execution could not be run")
    for name, place in elements:
        if name in draft.base.nodes:
            _fail_unrecorded(draft, name, place, error)
    draft.finish(ExecutionState.FAILED)


def _fail_unrecorded(draft: Draft, name: str, place: Element, error: Mapping[str, Any]) -> None:
    """An element fails although it may have completed; of a loop, the turns that are recorded stay done."""
    rank = draft.base.nodes[name].rank
    known = draft.run(name, place[:rank])
    turns = (known.sizes or {}).get("turns") if known else None
    if turns is not None and len(place) > rank:
        turns = min(turns, place[rank])
    run = Run(
        NodeState.FAILED,
        max(known.attempt if known else 0, 1),
        tries=known.tries if known else 0,
        lost=known.lost if known else 0,
        sizes={"turns": turns} if turns else None,
        error=dict(error),
    )
    draft.put(name, place[:rank], run)


def stop_all(draft: Draft, reason: str) -> None:
    """What is under way is cancelled at once; what runs is told so."""
    for name, before in draft.base.nodes.items():
        for element, run in before.runs.items():
            if not run.state.final:
                stopped = replace(run, state=NodeState.CANCELLED, reason=reason, due_at=None, awaits=None)
                draft.put(name, element, stopped)
    draft.effects.append(CancelSegments())


def retry(draft: Draft) -> None:
    """Failed and cancelled elements are pending again, and so is all that was skipped because of them."""
    draft.changes |= {
        "state": ExecutionState.RUNNING,
        "error": None,
        "finished_at": None,
        "cancel_requested_at": None,
    }
    reopened: list[str] = []
    for node in draft.graph.nodes:
        before = draft.base.nodes[node.id]
        for element, run in before.runs.items():
            branch_not_taken = run.state is NodeState.SKIPPED and not run.upstream
            if not run.state.final or run.state is NodeState.COMPLETED or branch_not_taken:
                continue
            turns = run.sizes if node.type == NodeKind.LOOP else None  # those that are done stay done
            again = Run(NodeState.PENDING, run.attempt, sizes=turns)
            runs = draft.runs(node.id)
            if len(element) < before.rank:
                del runs[element]
            else:
                runs[element] = again
            draft.recorded.append(Recorded(node.id, element, again, None, fresh=False))
            if node.id not in reopened[-1:]:
                reopened.append(node.id)
    for name in reopened:
        draft.recount(name)
    for name in reopened:
        decide(draft, name, WHOLE)
    draft.needs_plan = True
