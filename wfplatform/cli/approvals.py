"""`wfp approvals ...`: what waits for a person to decide; approve, reject."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfplatform.cli.command import command, command_group
from wfplatform.cli.connection import connected
from wfplatform.cli.screen import Screen

if TYPE_CHECKING:
    from wfplatform.core.record import AwaitedRecord

__all__ = ["add_to"]

Id = Annotated[str, typer.Argument(metavar="ID", help="The execution's id, or enough of its first digits.")]
NodeId = Annotated[
    str | None, typer.Argument(metavar="[NODE]", help="Which of its approvals, if several wait.", show_default=False)
]
Comment = Annotated[str, typer.Option(help="For those who read it later.")]


def add_to(root: typer.Typer) -> None:
    """Add the group to the root."""
    group = command_group("approvals", "Decisions that executions wait for: list, approve, reject.")
    command(group, "list")(list_approvals)
    command(group)(approve)
    command(group)(reject)
    root.add_typer(group)


def list_approvals(
    screen: Screen,
    mine: Annotated[bool, typer.Option("--mine", help="Only those that you may decide.")] = False,
) -> None:
    """List what waits for a decision, those of the oldest executions first."""
    with connected(screen) as platform:
        found = platform.approvals()
        actor = platform.executions.actor
    if mine:
        found = [one for one in found if not one.awaits.get("assignees") or actor in one.awaits["assignees"]]
    screen.document({"items": [_document(one) for one in found]})
    if not found:
        screen.say("Nothing waits for a decision.")
        return
    from wfplatform.cli.screen import table
    from wfplatform.cli.words import instant

    rows = [
        (
            str(one.execution_id),
            one.workflow_name,
            one.node,
            str(one.awaits["title"]),
            " or ".join(one.awaits.get("assignees") or ()) or "anybody",
            instant(one.due_at) if one.due_at else "-",
        )
        for one in found
    ]
    screen.say(table(("execution", "workflow", "node", "what", "who", "until"), rows))


def approve(
    screen: Screen,
    id: Id,
    node: NodeId = None,
    form: Annotated[
        str | None,
        typer.Option(metavar="JSON", help="What is filled in, if it has a form; text that is no JSON is text."),
    ] = None,
    comment: Comment = "",
) -> None:
    """Decide that an execution goes on."""
    from wfplatform.cli.parameter import json_or_text

    filled = None if form is None else json_or_text(form)
    _decide(screen, id, node, approved=True, form=filled, comment=comment)


def reject(screen: Screen, id: Id, node: NodeId = None, comment: Comment = "") -> None:
    """Decide against it: the node fails, unless its workflow says what happens then."""
    _decide(screen, id, node, approved=False, form=None, comment=comment)


def _decide(screen: Screen, id: str, node: str | None, *, approved: bool, form: Any, comment: str) -> None:
    from wfplatform.app.approvals import decide

    with connected(screen) as platform:
        execution = platform.execution(id)
        found = decide(platform.executions, execution.id, node, approved=approved, form=form, comment=comment)
    screen.document({**_document(found), "approved": approved})
    screen.say(f"{'Approved' if approved else 'Rejected'}: {found.awaits['title']} ({found.node} of {execution.id}).")
    screen.say(f"Watch it with `wfp executions show {execution.id} --watch`.")


def _document(one: AwaitedRecord) -> dict[str, Any]:
    """As JSON."""
    awaits = one.awaits
    return {
        "executionId": str(one.execution_id),
        "workflowName": one.workflow_name,
        "node": one.node,
        "element": list(one.element),
        "title": awaits.get("title"),
        "assignees": list(awaits.get("assignees") or ()),
        "details": awaits.get("details"),
        "form": awaits.get("form"),
        "dueAt": one.due_at and one.due_at.isoformat(),
    }
