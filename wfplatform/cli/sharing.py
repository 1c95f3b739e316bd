"""`wfp limits ...` and `wfp breakers ...`: what executions share; see it, and set it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfplatform.cli.command import command, command_group
from wfplatform.cli.connection import connected
from wfplatform.cli.screen import Screen, table
from wfplatform.cli.words import instant

if TYPE_CHECKING:
    from wfplatform.core.breaker import BreakerRecord
    from wfplatform.core.slot import SlotRecord

__all__ = ["add_to"]

LimitName = Annotated[str, typer.Argument(metavar="NAME", help="Of a limit across all workflows.")]
BreakerName = Annotated[str, typer.Argument(metavar="NAME", help="Of what nodes with this circuit breaker call.")]


def add_to(root: typer.Typer) -> None:
    """Add the groups to the root."""
    limits = command_group("limits", "Concurrency limits: list, set, clear.")
    command(limits, "list")(list_limits)
    command(limits, "set")(set_limit)
    command(limits, "clear")(clear_limit)
    root.add_typer(limits)
    breakers = command_group("breakers", "Circuit breakers: list, open, close.")
    command(breakers, "list")(list_breakers)
    command(breakers, "open")(open_breaker)
    command(breakers, "close")(close_breaker)
    root.add_typer(breakers)


def list_limits(
    screen: Screen,
    slots: Annotated[bool, typer.Option("--slots", help="Who holds slots, and who waits for them.")] = False,
) -> None:
    """List the limits that are set, and those of which slots are held or waited for."""
    with connected(screen) as platform:
        found = platform.sharing.limits()
        held = platform.sharing.slots() if slots else ()
    document: dict[str, Any] = {
        "items": [
            {
                "called": one.called,
                "name": one.name,
                "most": one.most,
                "setBy": one.set_by or None,
                "held": one.held,
                "waiting": one.waiting,
            }
            for one in found
        ]
    }
    screen.document({**document, "slots": [_slot_document(one) for one in held]} if slots else document)
    if not found and not held:
        screen.say("No limit is set, and no slot of one is held.")
        return
    rows = [(one.called, str(one.most), str(one.held), str(one.waiting), one.set_by or "the workflow") for one in found]
    screen.say(table(("limit", "slots", "held", "waiting", "set by"), rows))
    if slots:
        screen.say(table(("slot of", "execution", "workflow", "node", "since", ""), [_slot_row(one) for one in held]))


def set_limit(
    screen: Screen,
    name: LimitName,
    most: Annotated[int, typer.Argument(help="How many elements may run at once; 0 lets none begin.", min=0)],
) -> None:
    """Say how many elements with a limit across all workflows may run at once, whatever workflows say."""
    with connected(screen) as platform:
        platform.sharing.set_limit(name, most)
    screen.document({"name": name, "most": most})
    screen.say(f"At most {most} with the limit {name} run at once from now on; what runs goes on.")


def clear_limit(screen: Screen, name: LimitName) -> None:
    """Let workflows say again how many may run at once."""
    with connected(screen) as platform:
        platform.sharing.set_limit(name, None)
    screen.document({"name": name, "most": None})
    screen.say(f"The limit {name} is what workflows say.")


def list_breakers(screen: Screen) -> None:
    """List the circuit breakers of which calls were counted."""
    from datetime import UTC, datetime

    from wfplatform.core.breaker import position

    with connected(screen) as platform:
        found = platform.sharing.breakers()
    now = datetime.now(UTC)
    screen.document({"items": [_breaker_document(one, now) for one in found]})
    if not found:
        screen.say("No call of a circuit breaker was counted so far.")
        return
    rows = []
    for one in found:
        failed, calls = one.state.counted
        until = instant(one.state.until_at) if one.state.until_at else "-"
        rows.append((one.name, str(position(one.state, now)).replace("_", " "), f"{failed} of {calls}", until))
    screen.say(table(("circuit breaker", "is", "failed", "until"), rows))


def open_breaker(
    screen: Screen,
    name: BreakerName,
    for_s: Annotated[float, typer.Option("--for", help="Seconds, at most a day.")] = 300.0,
) -> None:
    """Let no call pass for some time, whether or not calls fail."""
    with connected(screen) as platform:
        platform.sharing.open_breaker(name, for_s)
    screen.document({"name": name, "openS": for_s})
    screen.say(f"The circuit breaker {name} is open for {for_s:g} s; what runs goes on.")


def close_breaker(screen: Screen, name: BreakerName) -> None:
    """Let calls pass again at once."""
    with connected(screen) as platform:
        platform.sharing.close_breaker(name)
    screen.document({"name": name, "openS": None})
    screen.say(f"The circuit breaker {name} is closed.")


def _slot_row(one: SlotRecord) -> tuple[str, ...]:
    place = f"{one.node}[{', '.join(map(str, one.element))}]" if one.element else one.node or "-"
    since, word = (one.asked_at, "waits") if one.granted_at is None else (one.granted_at, "holds")
    return one.called, str(one.execution_id), one.workflow_name, place, instant(since), word


def _slot_document(one: SlotRecord) -> dict[str, Any]:
    return {
        "called": one.called,
        "executionId": str(one.execution_id),
        "workflowName": one.workflow_name,
        "node": one.node or None,
        "element": list(one.element),
        "askedAt": one.asked_at.isoformat(),
        "grantedAt": one.granted_at and one.granted_at.isoformat(),
    }


def _breaker_document(one: BreakerRecord, now: Any) -> dict[str, Any]:
    from wfplatform.core.breaker import position

    failed, calls = one.state.counted
    return {
        "name": one.name,
        "state": str(position(one.state, now)),
        "failed": failed,
        "calls": calls,
        "openedAt": one.state.opened_at and one.state.opened_at.isoformat(),
        "until": one.state.until_at and one.state.until_at.isoformat(),
    }
