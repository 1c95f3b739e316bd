"""Telling executions what they wait for: events, and the decisions of people.

Refuses what nothing waits for, whoever may not decide, and forms that do not fit, before anything is written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import UUID

from wfplatform.app.executions import Executions
from wfplatform.compiler.bind import bind
from wfplatform.core.canonical import json_problems
from wfplatform.core.execution import Element
from wfplatform.core.graph import Json, Parameter
from wfplatform.core.record import AwaitedRecord
from wfplatform.errors import ConflictError, NotFoundError, UserError

__all__ = ["decide", "signal"]


def signal(executions: Executions, execution_id: UUID, event: str, data: Json = None) -> None:
    """Tell an execution that something happened. It is kept if nothing waits for it so far.

    Args:
        executions: how it is told.
        event: its name.
        data: what stands in it, plain JSON.

    Raises:
        UserError: the name is blank, or the data are not plain JSON.
        ConflictError: the execution has ended.
        NotFoundError: there is none.
    """
    if not event.strip():
        raise UserError("event_name", "The name of an event must not be blank.")
    _check_plain(f"The data of the event {event}", data)
    executions.ask(execution_id, "signal", {"event": event, "data": data})


def decide(
    executions: Executions,
    execution_id: UUID,
    node: str | None = None,
    element: Element | None = None,
    *,
    approved: bool,
    form: Json = None,
    comment: str = "",
) -> AwaitedRecord:
    """Approve or reject what an execution waits for.

    Args:
        executions: how it is told.
        node: which; None = the only one that waits.
        element: of a mapped workflow's node; None = the only one.
        form: what is filled in, for an approval that has a form.
        comment: for those who read it later.

    Returns:
        what was decided.

    Raises:
        NotFoundError: nothing like that waits, or there is no such execution.
        ConflictError: several wait, and none was named; or it was assigned to others.
        ParameterError: the form does not fit; with every problem.
    """
    waiting = executions.awaited("approval", execution_id)
    found = [one for one in waiting if node in (None, one.node) and element in (None, one.element)]
    if not found:
        executions.record(execution_id)  # says so if there is none
        named = f"{node} " if node else ""
        others = f" Waiting: {', '.join(sorted({one.node for one in waiting}))}." if waiting else ""
        raise NotFoundError(
            "approval_not_found", f"Nothing {named}of execution {execution_id} waits for a decision.{others}",
            "`wfp approvals list` shows what does.",
        )  # fmt: skip
    if len(found) > 1:
        names = ", ".join(dict.fromkeys(one.node for one in found))
        raise ConflictError(
            "approval_ambiguous", f"{len(found)} elements of execution {execution_id} wait for a decision: {names}.",
            "Name the node, and the element where it has several.",
        )  # fmt: skip
    chosen = found[0]
    _check_assigned(chosen.awaits, executions.actor)
    value = _filled(chosen, form) if approved else None
    payload: dict[str, Json] = {
        "node": chosen.node,
        "element": list(chosen.element),
        "approved": approved,
        "form": value,
        "comment": comment,
    }
    executions.ask(execution_id, "decide", payload)
    return chosen


def _check_assigned(awaits: Mapping[str, Any], actor: str) -> None:
    assignees: Sequence[str] = awaits.get("assignees") or ()
    if assignees and actor not in assignees:
        raise ConflictError(
            "not_assigned",
            f"`{awaits['title']}` is for {' or '.join(assignees)} to decide; you are {actor}.",
            "Ask one of them.",
        )


def _filled(awaited: AwaitedRecord, form: Json) -> Json:
    schema = awaited.awaits.get("form")
    if schema is None:
        if form is not None:
            raise UserError("no_form", f"`{awaited.awaits['title']}` has no form to fill in, got {form!r}.")
        return None
    parameter = Parameter(name="form", schema=schema, required=True)
    return bind((parameter,), {} if form is None else {"form": form})["form"]


def _check_plain(what: str, value: Json) -> None:
    problems = list(json_problems(value))
    if problems:
        told = "; ".join(f"{problem.place or '/'}: {problem.message}" for problem in problems[:5])
        raise UserError("not_plain", f"{what} must be plain JSON: {told}")
