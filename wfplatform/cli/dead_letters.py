"""`wfp dead-letters ...`: what failed for good: list it, look at its inputs, run it again with others, discard it.

Refuses: many at once without `--yes`; it says how many they would be.
"""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from wfplatform.cli.command import command, command_group
from wfplatform.cli.connection import connected
from wfplatform.cli.screen import Screen
from wfplatform.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wfplatform.app.dead_letter import Inspection
    from wfplatform.bootstrap.platform import EmbeddedPlatform
    from wfplatform.core.dead_letter import DeadLetterFilter, DeadLetterRecord, InputView
    from wfplatform.core.graph import Json

__all__ = ["add_to"]

Letter = Annotated[
    str, typer.Argument(metavar="LETTER", help="Execution, node and indices as `list` shows them: 0199b0c2/parse/3.")
]
Letters = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[LETTER]...", help="Which, as `list` shows them; or say which by options.", show_default=False
    ),
]
OfWorkflow = Annotated[str | None, typer.Option("--workflow", help="Only those of the workflow with this name.")]
OfNode = Annotated[str | None, typer.Option("--node", help="Only elements of this node.")]
OfError = Annotated[
    str | None,
    typer.Option("--error", metavar="TYPE", help="Only of this type of error or a subclass, or with this code."),
]
OfExecution = Annotated[str | None, typer.Option("--execution", metavar="ID", help="Only of this execution.")]
All = Annotated[bool, typer.Option("--all", help="All there are, as far as no other option narrows it.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do it although they are more than one.")]


def add_to(root: typer.Typer) -> None:
    """Add the group to the root."""
    group = command_group("dead-letters", "What failed for good: list, show, replay, discard.")
    command(group, "list")(list_letters)
    command(group)(show)
    command(group)(replay)
    command(group)(discard)
    root.add_typer(group)


def list_letters(
    screen: Screen,
    workflow: OfWorkflow = None,
    node: OfNode = None,
    error: OfError = None,
    execution: OfExecution = None,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)] = 50,
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on where the page before ended.")] = None,
) -> None:
    """List what failed for good and by itself, newest first."""
    with connected(screen) as platform:
        wanted = _wanted(platform, workflow, node, error, execution)
        page = platform.letters.page(wanted, limit=limit, after=after)
    screen.document({"items": [_document(one) for one in page.items], "next": page.next})
    if not page.items:
        screen.say("There are none." if not after else "There are no more.")
        return
    from wfplatform.cli.report import error_line
    from wfplatform.cli.screen import table
    from wfplatform.cli.words import first_line, instant

    now = datetime.now(UTC)
    rows = [
        (
            one.id,
            one.workflow_name,
            first_line(error_line(one.error), 80),
            str(one.attempt),
            one.worker.rpartition("://")[2] or "-",
            instant(one.dead_at, now=now),
        )
        for one in page.items
    ]
    screen.say(table(("letter", "workflow", "error", "try", "worker", "when"), rows, right=("try",)))
    if page.next is not None:
        screen.say(f"There are more: --after {shlex.quote(page.next)}")


def show(screen: Screen, letter: Letter) -> None:
    """Show a dead letter: its inputs, traceback, earlier tries and last lines."""
    from wfplatform.app.dead_letter import DeadLetter

    with connected(screen) as platform:
        found = DeadLetter(platform.letters, _found(platform, letter)).inspect()
    screen.document(_inspection_document(found))
    if not screen.as_json:
        _tell(screen, found)


def replay(
    screen: Screen,
    letters: Letters = None,
    workflow: OfWorkflow = None,
    node: OfNode = None,
    error: OfError = None,
    execution: OfExecution = None,
    everything: All = False,
    replaced: Annotated[
        list[str] | None,
        typer.Option(
            "--input",
            metavar="PORT=JSON",
            help="Replace an input, for this and all later tries; may be repeated. Text that is no JSON is text.",
        ),
    ] = None,
    unedited: Annotated[bool, typer.Option("--unedited", help="Take back what was replaced before.")] = False,
    yes: Yes = False,
) -> None:
    """Let executions go on from dead letters, element by element; other failed elements stay failed."""
    inputs = _inputs(replaced, unedited=unedited)
    with connected(screen) as platform:
        chosen = _chosen(
            platform, letters, (workflow, node, error, execution), everything=everything, yes=yes, doing="replayed"
        )
        found = platform.letters.replay(chosen, inputs) if chosen else {}
    replayed = [one for group in found.values() for one in group]
    screen.document({"executionIds": [str(one) for one in found], "replayed": [one.id for one in replayed]})
    if not replayed:
        screen.say("There are none.")
        return
    screen.say(f"{_counted(replayed)} will run again.")
    if len(found) == 1:
        screen.say(f"Watch it with `wfp executions show {replayed[0].execution_id} --watch`.")


def discard(
    screen: Screen,
    letters: Letters = None,
    workflow: OfWorkflow = None,
    node: OfNode = None,
    error: OfError = None,
    execution: OfExecution = None,
    everything: All = False,
    reason: Annotated[str, typer.Option(help="For those who read it later.")] = "",
    yes: Yes = False,
) -> None:
    """Note that nothing is to be done about dead letters; their executions stay as they are."""
    with connected(screen) as platform:
        chosen = _chosen(
            platform, letters, (workflow, node, error, execution), everything=everything, yes=yes, doing="discarded"
        )
        count = platform.letters.discard(chosen, reason)
    screen.document({"discarded": count})
    screen.say(f"{count} discarded." if count else "There are none.")


# -- which


def _wanted(
    platform: EmbeddedPlatform, workflow: str | None, node: str | None, error: str | None, execution: str | None
) -> DeadLetterFilter:
    from wfplatform.core.dead_letter import DeadLetterFilter

    found = None if execution is None else platform.executions.find(execution).id
    return DeadLetterFilter(execution_id=found, workflow=workflow, node=node, error=error)


def _found(platform: EmbeddedPlatform, letter: str) -> DeadLetterRecord:
    execution, _, rest = letter.partition("/")
    node, *indices = rest.split("/")
    if not node or not all(index.isdigit() for index in indices):
        raise UserError(
            "bad_letter",
            f"{letter!r} is not how a dead letter is called.",
            "Write execution, node and indices with / between them, as `wfp dead-letters list` shows them.",
        )
    id = platform.executions.find(execution).id
    return platform.letters.one(id, node, tuple(map(int, indices)))


def _chosen(
    platform: EmbeddedPlatform,
    letters: Sequence[str] | None,
    options: tuple[str | None, str | None, str | None, str | None],
    *,
    everything: bool,
    yes: bool,
    doing: str,
) -> list[DeadLetterRecord]:
    has_options = everything or any(option is not None for option in options)
    if bool(letters) == has_options:
        raise UserError(
            "which_letters",
            "Expected either letters, or options that say which: --workflow, --node, --error, --execution or --all.",
            "`wfp dead-letters list` shows those there are.",
        )
    chosen: list[DeadLetterRecord] = []
    if letters:
        chosen = [_found(platform, letter) for letter in dict.fromkeys(letters)]
    else:
        wanted = _wanted(platform, *options)
        after: str | None = None
        while True:
            page = platform.letters.page(wanted, limit=10_000, after=after)
            chosen += page.items
            after = page.next
            if after is None:
                break
    if len(chosen) > 1 and not yes:
        raise UserError(
            "many_letters", f"{_counted(chosen)} would be {doing}.", "Add --yes to do it.", count=len(chosen)
        )
    return chosen


def _inputs(words: Sequence[str] | None, *, unedited: bool) -> Mapping[str, Json] | None:
    from wfplatform.cli.parameter import json_or_text

    found: dict[str, Json] = {}
    problems: list[str] = []
    for word in words or ():
        port, separator, text = word.partition("=")
        if not separator or not port.strip():
            problems.append(f"{word!r}: expected PORT=JSON")
        elif port.strip() in found:
            problems.append(f"{port.strip()}: given twice")
        else:
            found[port.strip()] = json_or_text(text)
    if unedited and found:
        problems.append("--unedited: takes back what was replaced, so that nothing can be replaced with it")
    if problems:
        raise UserError(
            "bad_input",
            "The inputs cannot be read:\n" + "\n".join(f"  {one}" for one in problems),
            "Write --input PORT=JSON for each: --input year=2013 --input 'rows=[1, 2]'.",
            problems=problems,
        )
    return found if found or unedited else None


def _counted(letters: Sequence[DeadLetterRecord]) -> str:
    executions = len({one.execution_id for one in letters})
    what = "1 dead letter" if len(letters) == 1 else f"{len(letters)} dead letters"
    return what if executions == 1 else f"{what} of {executions} executions"


# -- how they look


def _document(one: DeadLetterRecord) -> dict[str, Any]:
    from wfplatform.cli.words import state_word

    return {
        "id": one.id,
        "executionId": str(one.execution_id),
        "executionState": state_word(one.execution_state),
        "workflowName": one.workflow_name,
        "node": one.node,
        "element": list(one.element),
        "attempt": one.attempt,
        "error": {"type": one.error_type, "message": one.message, "code": one.error.get("code")},
        "worker": one.worker,
        "deadAt": one.dead_at.isoformat(),
        "edit": None if one.edit is None else dict(one.edit),
    }


def _inspection_document(found: Inspection) -> dict[str, Any]:
    from wfplatform.cli.view import attempt_document, log_document, node_document

    return {
        **_document(found.letter),
        "record": node_document(found.node),
        "traceback": found.traceback,
        "inputs": [
            {
                "port": view.port,
                "source": view.source,
                "isShown": view.is_shown,
                "value": view.value,
                "preview": view.preview,
                "codec": view.codec,
                "sizeBytes": view.size_bytes,
                "isEdited": view.is_edited,
            }
            for view in found.inputs.values()
        ],
        "attempts": [attempt_document(one) for one in found.attempts],
        "logs": [log_document(one) for one in found.logs],
    }


def _tell(screen: Screen, found: Inspection) -> None:
    from wfplatform.cli.report import error_line, log_line
    from wfplatform.cli.screen import table
    from wfplatform.cli.words import instant, state_word

    letter, now = found.letter, datetime.now(UTC)
    screen.say(
        f"{letter.id} of {letter.workflow_name}, whose execution is {state_word(letter.execution_state).lower()}."
    )
    screen.say(f"Failed in try {letter.attempt}, {instant(letter.dead_at, now=now)}: {error_line(letter.error)}")
    if letter.edit is not None:
        screen.say(f"Inputs were replaced by {letter.edit['by'] or 'somebody'} at {letter.edit['at']}.")
    if found.inputs:
        screen.say()
        rows = [(view.port, view.source, _shown(view)) for view in found.inputs.values()]
        screen.say(table(("input", "from", "value"), rows))
    if found.traceback.strip():
        screen.say(f"\n{found.traceback.rstrip()}")
    if found.attempts:
        screen.say()
        tries = [
            (str(one.attempt), one.state.replace("_", " "), instant(one.started_at, now=now), error_line(one.error))
            for one in found.attempts
        ]
        screen.say(table(("try", "ended as", "began", "error"), tries, right=("try",)))
    if found.logs:
        screen.say()
        for line in found.logs:
            screen.say(log_line(line).plain if not screen.out.is_terminal else log_line(line))
    screen.say(f"\nRun it again with `wfp dead-letters replay {letter.id}`.")


def _shown(view: InputView) -> str:
    import json

    from wfplatform.cli.words import first_line

    if not view.is_shown:
        return f"({view.preview})"
    text = first_line(json.dumps(view.value, ensure_ascii=False, default=repr), 200)
    return f"{text} (replaced)" if view.is_edited else text
