"""`wfp executions why`: one sentence for each node that is not further."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from wfplatform.cli.connection import connected
from wfplatform.cli.screen import Screen, table

__all__ = ["why"]


def why(
    screen: Screen,
    id: Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or enough of its first digits.")],
) -> None:
    """Say why an execution does not go on: one sentence for each node that has not ended."""
    with connected(screen) as platform:
        execution = platform.execution(id)
        found = execution.why()
    items: list[dict[str, Any]] = [
        {
            "node": one.node,
            "element": None if one.element is None else list(one.element),
            "elements": one.elements,
            "cause": str(one.cause),
            "why": one.sentence,
        }
        for one in found
    ]
    screen.document({"executionId": str(execution.id), "items": items})
    for one in found:
        if one.node is None:
            screen.say(one.sentence)
    rows = [(_place(one.node, one.element, one.elements), one.sentence) for one in found if one.node is not None]
    if rows:
        screen.say(table(("node", "why"), rows))
    if not found:
        screen.say("Nothing holds it: it is about to end.")


def _place(node: str, element: tuple[int, ...] | None, elements: int) -> str:
    if element is not None:
        return f"{node}[{', '.join(map(str, element))}]"
    return f"{node} ({elements} elements)" if elements > 1 else node
