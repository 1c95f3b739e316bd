"""Hooks in simulations: workflows that tell of their executions, and what must have been told of each in the end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable
from dataclasses import replace
from datetime import timedelta
from random import Random
from typing import Any

from wfplatform import Workflow, node, workflow
from wfplatform.authoring.workflow import Teller
from wfplatform.core.execution import ExecutionState
from wfplatform.core.hook import Occasion, occasion_of
from wfplatform.core.record import ExecutionRecord

__all__ = ["broken_promises", "with_hooks"]

_IN_TIME_S = 1.5
"""So long after it was late, somebody has been told, if nothing goes wrong."""
_AT_LAST_S = 20.0
"""And so long after it whatever went wrong."""


@node
def hear(occasion: str) -> str:
    return occasion


@workflow
def heard(notice: dict[str, Any]) -> str:
    """A hook."""
    return hear(notice["occasion"])


def with_hooks(flow: Workflow[..., Any], random: Random) -> Workflow[..., Any]:
    """The same workflow, with hooks in some of the cases."""
    if random.random() < 0.6:
        return flow
    late_after_s = random.choice((None, 0.5, 3.0, 12.0))
    tellers = [Teller(on, heard) for on in Occasion if on is not Occasion.LATENESS or late_after_s is not None]
    flow.hooks = tuple(tellers)
    flow.policy = replace(flow.policy, late_after_s=late_after_s)
    return flow


def broken_promises(
    flow: Workflow[..., Any],
    row: ExecutionRecord,
    all_rows: Iterable[ExecutionRecord],
    ends: Collection[ExecutionState],
    *,
    is_rough: bool,
) -> str:
    """What is wrong with what was told of an execution that has ended, so often and so; empty if all is well."""
    told = Counter(one.hook.on for one in all_rows if one.hook is not None and one.hook.execution == row.id)
    late = told.pop(Occasion.LATENESS, 0)
    expected = Counter(occasion_of(state) for state in ends if flow.hooks)
    if told != expected:
        return f"of its end was told {dict(told)}, expected {dict(expected)}"
    late_after_s = flow.policy.late_after_s
    late_at = None if late_after_s is None else row.created_at + timedelta(seconds=late_after_s)
    if late_at is None or row.updated_at < late_at:
        return f"it was told {late} times that it is late, and it was not" if late else ""
    # Of one that was taken up again it cannot be told from the outside whether it was open long enough.
    if late > 1 or (
        late == 0
        and len(ends) == 1
        and row.updated_at > late_at + timedelta(seconds=_AT_LAST_S if is_rough else _IN_TIME_S)
    ):
        return f"it was told {late} times that it is late, and it was"
    return ""
