"""`wfp executions ...`: list, look at and read the lines of executions, and ask something of them. Ids may be shortened."""

from __future__ import annotations

import shlex
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from wfplatform.cli.command import COMPLETED, command, command_group
from wfplatform.cli.connection import connected
from wfplatform.cli.screen import STYLE, Screen
from wfplatform.cli.why import why
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.identifier import DEFAULT_TENANT
from wfplatform.errors import NotFoundError, UnreachableError, UserError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from wfplatform.app.handle import Execution
    from wfplatform.bootstrap.platform import EmbeddedPlatform
    from wfplatform.core.record import AttemptRecord, ExecutionRecord, LogRecord, NodeExecutionRecord

__all__ = ["add_to"]

LEVELS: Final = {"debug": 10, "info": 20, "warning": 30, "error": 40, "critical": 50}
RETRY_PATIENCE_S: Final = 30.0
LOG_PAGE: Final = 1000

Id = Annotated[str, typer.Argument(metavar="ID", help="An execution's id, or enough of its first digits.")]
Watch = Annotated[bool, typer.Option("--watch", "-w", help="Show the progress until it has ended.")]


def add_to(root: typer.Typer) -> None:
    """Add the group to the root."""
    group = command_group("executions", "Executions: list, show, logs, why, cancel, pause, resume, retry, signal.")
    command(group, "list")(list_executions)
    command(group)(show)
    command(group)(logs)
    command(group)(why)
    command(group)(cancel)
    command(group)(pause)
    command(group)(resume)
    command(group)(retry)
    command(group)(signal)
    root.add_typer(group)


def list_executions(
    screen: Screen,
    state: Annotated[
        list[str] | None,
        typer.Option(
            help="Only those in this state; may be repeated: pending, running, waiting, completed, failed, cancelled."
        ),
    ] = None,
    workflow: Annotated[str | None, typer.Option(help="Only those of the workflow with this name.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only those with this tag.")] = None,
    hooks: Annotated[bool, typer.Option("--hooks", help="Also those that tell of others.")] = False,
    limit: Annotated[int, typer.Option(help="How many at most.", min=1, max=10_000)] = 20,
    after: Annotated[
        str | None, typer.Option(metavar="ID", help="Go on after this one, as the page before says.")
    ] = None,
) -> None:
    """List executions, newest first. Those that only tell of others stand in it with --hooks or --workflow."""
    states = [_state(one) for one in state or []]
    with connected(screen) as platform:
        page = platform.reader.executions(
            DEFAULT_TENANT,
            states=states,
            workflow_name=workflow,
            tag=tag,
            hooks=hooks or workflow is not None,
            limit=limit,
            after=after,
        )
    if screen.as_json:
        from wfplatform.cli.view import execution_document

        screen.document({"items": [execution_document(one) for one in page.items], "next": page.next})
        return
    if not page.items:
        screen.say("There are none." if not after else "There are no more.")
        return
    screen.say(_executions_table(screen, page.items))
    if page.next is not None:
        screen.say(f"There are more: --after {page.next}")


def show(
    screen: Screen,
    id: Id,
    nodes: Annotated[bool, typer.Option("--nodes", help="Every node and element, a page at a time.")] = False,
    node: Annotated[str | None, typer.Option(help="Everything about this node: elements, outputs, all tries.")] = None,
    result: Annotated[bool, typer.Option("--result", help="What it returned; waits for the end.")] = False,
    watch: Watch = False,
    limit: Annotated[int, typer.Option(help="Elements of a page.", min=1, max=10_000)] = 200,
    after: Annotated[str | None, typer.Option(metavar="CURSOR", help="Go on where the page before ended.")] = None,
) -> int:
    """Show an execution: its nodes, what it waits for, what failed.

    With --watch or --result the exit code tells how it ended: 0 completed, 1 failed or cancelled.
    """
    from wfplatform.cli.ending import follow, sight_document, tell_end, tell_execution
    from wfplatform.cli.sight import Observer

    with connected(screen) as platform:
        execution = platform.execution(id)
        if watch or result:
            return tell_end(screen, platform, follow(screen, platform, execution.id))
        sight = Observer(platform, execution.id).look()
        document = sight_document(sight)
        if node is not None:
            document |= _show_node(screen, platform, execution, node, limit, after)
        elif nodes:
            document |= _show_elements(screen, platform, execution, limit, after)
        else:
            tell_execution(screen, platform, sight)
            if sight.nodes:
                screen.say()
                screen.say(
                    f"Every element: `wfp executions show {execution.id} --nodes`; lines: `wfp executions logs {execution.id}`."
                )
        screen.document(document)
    return COMPLETED


def logs(
    screen: Screen,
    id: Id,
    node: Annotated[str | None, typer.Option(help="Only lines of this node.")] = None,
    level: Annotated[str, typer.Option(help=f"Only lines at least so grave: {', '.join(LEVELS)}.")] = "debug",
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the execution has ended.")] = False,
) -> int:
    """Print what the nodes printed and logged, oldest first."""
    from wfplatform.cli.view import log_document

    least = LEVELS.get(level.lower())
    if least is None:
        raise UserError("bad_level", f"--level: expected one of {', '.join(LEVELS)}, got {level!r}.")
    with connected(screen) as platform:
        execution = platform.execution(id)
        if node is not None:
            _check_node(platform, execution.record, node)
        documents: list[dict[str, Any]] = []
        for line in _lines(screen, platform, execution, node, least, follow=follow):
            if screen.as_json:
                documents.append(log_document(line))
            else:
                from wfplatform.cli.report import log_line

                screen.say(log_line(line).plain if not screen.out.is_terminal else log_line(line))
        screen.document({"executionId": str(execution.id), "logs": documents})
    return COMPLETED


def cancel(screen: Screen, id: Id) -> None:
    """Ask an execution to stop: what runs is stopped; what has completed stays, or is undone where the workflow says how."""
    with connected(screen) as platform:
        execution = platform.execution(id)
        execution.cancel()
        _tell_asked(screen, execution, "to cancel")


def pause(screen: Screen, id: Id) -> None:
    """Let an execution start nothing new; what runs is finished."""
    with connected(screen) as platform:
        execution = platform.execution(id)
        execution.pause()
        _tell_asked(screen, execution, "to pause")


def resume(screen: Screen, id: Id) -> None:
    """Let an execution that was paused go on."""
    with connected(screen) as platform:
        execution = platform.execution(id)
        execution.resume()
        _tell_asked(screen, execution, "to go on")


def signal(
    screen: Screen,
    id: Id,
    event: Annotated[str, typer.Argument(metavar="EVENT", help="The name of the event.")],
    data: Annotated[
        str | None, typer.Option(metavar="JSON", help="What stands in it; text that is no JSON is text.")
    ] = None,
) -> None:
    """Tell an execution that something happened; it is kept if nothing waits for it so far."""
    from wfplatform.cli.parameter import json_or_text

    with connected(screen) as platform:
        execution = platform.execution(id)
        execution.signal(event, None if data is None else json_or_text(data))
        _tell_asked(screen, execution, f"to take in the event {event}")


def retry(screen: Screen, id: Id, watch: Watch = False) -> int:
    """Go on with an execution that failed or was cancelled; what has completed is not run again."""
    from wfplatform.cli.ending import follow, tell_end

    with connected(screen) as platform:
        execution = platform.execution(id)
        before = execution.record
        execution.retry()
        if watch:
            _wait_until_taken(platform, before)
            return tell_end(screen, platform, follow(screen, platform, execution.id))
        _tell_asked(screen, execution, "to go on")
    return COMPLETED


def _tell_asked(screen: Screen, execution: Execution, what: str) -> None:
    from wfplatform.cli.view import execution_document

    screen.document(execution_document(execution.record))
    screen.say(f"Execution {execution.id} was asked {what}.")
    screen.say(f"Watch it with `wfp executions show {execution.id} --watch`.")


def _wait_until_taken(platform: EmbeddedPlatform, before: ExecutionRecord) -> None:
    """A retry is a command; until an engine has taken it, the execution looks as it ended before."""
    import time

    from wfplatform.cli.lookout import Lookout

    until_s = time.monotonic() + RETRY_PATIENCE_S
    lookout = Lookout(platform, f"wfp executions show {before.id} --watch")
    while time.monotonic() < until_s:
        with lookout.look():
            record = platform.executions.record(before.id)
            if not record.state.final or record.finished_at != before.finished_at:
                return
        lookout.pause()
    raise UnreachableError(
        "engine_silent",
        f"No engine took up execution {before.id} within {RETRY_PATIENCE_S:g} s.",
        "The retry is kept and done when one runs; `wfp status` shows the engines.",
    )


def _show_elements(
    screen: Screen, platform: EmbeddedPlatform, execution: Execution, limit: int, after: str | None
) -> dict[str, Any]:
    from wfplatform.cli.report import elements_table
    from wfplatform.cli.view import node_document

    page = platform.reader.nodes(DEFAULT_TENANT, execution.id, limit=limit, after=after)
    if not screen.as_json:
        screen.say(elements_table(page.items, datetime.now(UTC)) if page.items else "No node has begun.")
        if page.next is not None:
            screen.say(f"There are more: --after {shlex.quote(page.next)}")
    return {"elements": [node_document(one) for one in page.items], "next": page.next}


def _show_node(
    screen: Screen, platform: EmbeddedPlatform, execution: Execution, node: str, limit: int, after: str | None
) -> dict[str, Any]:
    from wfplatform.cli.report import node_page
    from wfplatform.cli.view import attempt_document, node_document
    from wfplatform.cli.words import plain_place

    _check_node(platform, execution.record, node)
    page = platform.reader.nodes(DEFAULT_TENANT, execution.id, node=node, limit=limit, after=after)
    attempts = list(_attempts(platform, execution, node, page.items))
    if not screen.as_json:
        root = plain_place(platform.settings.artifacts_location)
        if page.items:
            screen.say(*node_page(page.items, attempts, root, datetime.now(UTC)))
        else:
            screen.say(f"Node {node} has not begun.")
        if page.next is not None:
            screen.say(f"There are more: --after {shlex.quote(page.next)}")
    return {
        "elements": [node_document(one) for one in page.items],
        "next": page.next,
        "attempts": [attempt_document(one) for one in attempts],
    }


def _attempts(
    platform: EmbeddedPlatform, execution: Execution, node: str, elements: Sequence[NodeExecutionRecord]
) -> Iterator[AttemptRecord]:
    """The earlier tries of the elements of a page."""
    if not elements:
        return
    after: str | None = None
    while True:
        page = platform.reader.attempts(
            DEFAULT_TENANT, execution.id, node=node, between=(elements[0].element, elements[-1].element), after=after
        )
        yield from page.items
        after = page.next
        if after is None:
            return


def _check_node(platform: EmbeddedPlatform, record: ExecutionRecord, node: str) -> None:
    known = list(platform.executions.graph(record.version_id).by_id)
    if node not in known:
        raise NotFoundError(
            "node_not_found",
            f"Workflow {record.workflow_name} has no node {node!r}.",
            f"It has: {', '.join(known)}.",
            nodes=known,
        )


def _lines(
    screen: Screen, platform: EmbeddedPlatform, execution: Execution, node: str | None, least: int, *, follow: bool
) -> Iterable[LogRecord]:
    from wfplatform.cli.lookout import Lookout

    after: str | None = None
    lookout = Lookout(platform, f"wfp executions logs {execution.id} --follow")
    told = ""
    while True:
        ended = False
        with lookout.look():
            # Asked before the lines are read: an execution that had ended then has all its lines recorded.
            over = not follow or execution.record.state.final
            while True:
                page = platform.reader.logs(
                    DEFAULT_TENANT, execution.id, node=node, least_level=least, limit=LOG_PAGE, after=after
                )
                yield from page.items
                after = page.next
                if len(page.items) < LOG_PAGE:
                    break
            ended = over
        if ended:
            return
        if lookout.trouble and lookout.trouble != told:
            screen.note(f"{lookout.trouble} Asking again.")
        told = lookout.trouble
        lookout.pause()


def _state(word: str) -> ExecutionState:
    try:
        return ExecutionState(word.lower())
    except ValueError:
        known = ", ".join(ExecutionState)
        near = " Skipped is a state of nodes only." if word.lower() == NodeState.SKIPPED else ""
        raise UserError("bad_state", f"--state: expected one of {known}, got {word!r}.{near}") from None


def _executions_table(screen: Screen, items: Iterable[ExecutionRecord]) -> Any:
    from rich.text import Text

    from wfplatform.cli.report import error_line, told_of
    from wfplatform.cli.screen import table
    from wfplatform.cli.words import duration, first_line, instant, short_ids, span_s, state_word

    records, now = list(items), datetime.now(UTC)
    # A program, or whoever copies from a file, gets whole ids.
    ids = short_ids(one.id for one in records) if screen.out.is_terminal else {one.id: str(one.id) for one in records}
    rows = [
        (
            ids[one.id],
            one.workflow_name,
            Text(state_word(one.state), style=STYLE[one.state]),
            f"{one.nodes_ended}/{'?' if one.nodes_total is None else one.nodes_total}",
            instant(one.created_at, now=now),
            duration(span_s(one.started_at, one.finished_at, now)),
            first_line(error_line(one.error) if one.error else one.waiting_for or told_of(one), 60),
        )
        for one in records
    ]
    columns = ("id", "workflow", "state", "elements", "asked for", "took", "remark")
    return table(columns, rows, right=("elements", "took"))
