"""What becomes of an element when a try of it failed: another try, or its end. Used by `lifecycle` and `waiting`."""

from __future__ import annotations

from datetime import timedelta

from wfplatform.core.draft import Draft
from wfplatform.core.event import SetTimer
from wfplatform.core.execution import NodeState, Outcome, Run
from wfplatform.core.propagation import spread

__all__ = ["fail"]


def fail(draft: Draft, outcome: Outcome, known: Run | None) -> None:
    """A try ended in an error."""
    name, element = outcome.node, outcome.element
    error = dict(outcome.error or {})
    retry = draft.graph.by_id[name].policy.retry
    tries = (known.tries if known else 0) + 1
    sizes = known.sizes if known else None  # the turns of a loop that are done stay done
    again = retry is not None and tries < retry.attempts and retry.covers(tuple(error.get("kinds", ())))
    if retry is None or not again or not error.get("retryable", True):
        run = Run(NodeState.FAILED, outcome.attempt, tries=tries, sizes=sizes, error=error)
        draft.put(name, element, run, outcome)
        draft.fail(name, element, error)
        spread(draft, name, element, run)
        return
    due_at = draft.now + timedelta(seconds=retry.delay_before_s(tries + 1, draft.chance))
    run = Run(
        NodeState.WAITING,
        outcome.attempt,
        tries=tries,
        lost=known.lost if known else 0,
        alone=known.alone if known else False,
        sizes=sizes,
        due_at=due_at,
        error=error,
        reason=f"try {tries + 1} of {retry.attempts} at {due_at:%H:%M:%S} UTC, after {error.get('type', 'an error')}",
    )
    draft.put(name, element, run, outcome)
    draft.effects.append(SetTimer(name, element, due_at))
