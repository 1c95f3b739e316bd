"""Nodes that act on the world outside: committed as running before they run, and what becomes of those lost while they ran.

Used by `lifecycle` alone. Refuses to guess whether something happened.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from wfplatform.core.draft import Draft
from wfplatform.core.event import Intended, Repeated
from wfplatform.core.execution import Element, NodeState, Run
from wfplatform.core.graph import Json
from wfplatform.core.policy import OnUnknown

__all__ = ["LOST", "intend", "reopen", "repeat"]

LOST: Final = "it was lost while it ran"
"""Why an effect is pending again of which nobody knows whether it happened."""


def intend(draft: Draft, event: Intended) -> None:
    """They count as running from now on."""
    for node, element, attempt in event.items:
        known = draft.run(node, element) or Run(NodeState.PENDING)
        if known.state is NodeState.PENDING:
            draft.put(node, element, replace(known, state=NodeState.RUNNING, attempt=attempt, reason=""))
    draft.needs_plan = True


def reopen(draft: Draft, node: str, element: Element, run: Run) -> None:
    """What ran does so no more, and nothing is known of its end: it is pending again; or a person is asked, for an effect."""
    found = draft.graph.by_id[node]
    again = replace(run, state=NodeState.PENDING, reason=LOST if found.policy.effect else run.reason)
    draft.put(node, element, again)
    if not found.policy.effect or found.policy.on_unknown is OnUnknown.RERUN:
        return
    title = f"{found.label or node} was lost while it ran. Run it again? Reject if it must not happen twice."
    awaits: dict[str, Json] = {"kind": "approval", "title": title, "assignees": [], "form": None, "unknown": True}
    reason = "waits for somebody to decide: whether to run it again, since nobody knows whether it happened"
    draft.put(node, element, replace(again, state=NodeState.WAITING, due_at=None, reason=reason, awaits=awaits))


def repeat(draft: Draft, event: Repeated) -> None:
    """A person wants it to run again."""
    known = draft.run(event.node, event.element)
    if known is not None and known.state is NodeState.WAITING and (known.awaits or {}).get("unknown"):
        draft.put(event.node, event.element, replace(known, state=NodeState.PENDING, awaits=None, reason=""))
        draft.needs_plan = True
