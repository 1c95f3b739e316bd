"""An execution as a page of text: what it is, how each node did, why it waits, what failed and with which traceback.

Refuses: reading; it is given what was read.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from rich.text import Text

from wfplatform.cli.progress import NodeProgress
from wfplatform.cli.screen import STYLE, table
from wfplatform.cli.words import (
    due,
    duration,
    first_line,
    instant,
    place,
    printable,
    size,
    span_s,
    state_word,
)
from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.record import AttemptRecord, ExecutionRecord, LogRecord, NodeExecutionRecord

if TYPE_CHECKING:
    from rich.table import Table

__all__ = [
    "elements_table",
    "error_line",
    "failures",
    "head",
    "hooks_table",
    "log_line",
    "node_page",
    "nodes_table",
    "not_undone",
    "waits",
]

FAILURES_SHOWN: Final = 3
PARAMETER_CHARACTERS: Final = 100
_LEVELS: Final = ((40, "bold red"), (30, "yellow"), (20, ""))


def head(record: ExecutionRecord, now: datetime) -> Iterator[Text]:
    """The execution itself: name, state, times, parameters."""
    yield Text.assemble(
        (record.workflow_name, "bold"),
        "  ",
        (state_word(record.state), STYLE[record.state]),
        f"  {record.id}",
    )
    waited = span_s(record.created_at, record.started_at)
    facts = [
        f"asked for {instant(record.created_at, now=now)}" + (f" by {record.created_by}" if record.created_by else ""),
        f"began after {duration(waited)}" if waited is not None else "has not begun",
    ]
    if record.started_at is not None:
        took = duration(span_s(record.started_at, record.finished_at, now))
        facts.append(f"took {took}" if record.finished_at else f"runs for {took}")
    if record.nodes_total is not None:
        rest = record.state is ExecutionState.CANCELLED and record.nodes_ended < record.nodes_total
        others = ", the others had not begun" if rest else ""
        facts.append(f"{record.nodes_ended} of {record.nodes_total} elements ended{others}")
    yield _line("", "; ".join(facts))
    if record.parameters:
        yield _line("parameters", ", ".join(f"{name}={_short(value)}" for name, value in record.parameters.items()))
    if record.tags:
        yield _line("tags", ", ".join(record.tags))
    if record.priority:
        yield _line("priority", str(record.priority))
    if record.parent is not None:
        yield _line("child of", f"{record.parent[0]}, node {place(record.parent[1], record.parent[2])}")
    if record.hook is not None:
        yield _line("hook", told_of(record))
    if record.paused_at is not None and not record.state.final:
        yield _line(
            "paused",
            instant(record.paused_at, now=now) + (f" by {record.paused_by}" if record.paused_by else ""),
        )
    if record.cancel_requested_at is not None:
        by = f" by {record.cancel_requested_by}" if record.cancel_requested_by else ""
        yield _line("cancel", f"asked for {instant(record.cancel_requested_at, now=now)}{by}")
    if record.waiting_for and not record.state.final:
        yield _line("now" if record.state is ExecutionState.RUNNING else "waits", record.waiting_for)


def told_of(record: ExecutionRecord) -> str:
    """Of what an execution tells; empty if it is no hook."""
    return "" if record.hook is None else f"tells of the {record.hook.on} of {record.hook.execution}"


def hooks_table(hooks: Iterable[ExecutionRecord]) -> Table:
    """What was started to tell of an execution: a line each, with what is wrong with it."""
    rows = [
        (
            str(one.hook.on) if one.hook is not None else "",
            one.workflow_name,
            str(one.id),
            Text(state_word(one.state), style=STYLE[one.state]),
            first_line(error_line(one.error) if one.error else one.waiting_for, 60),
        )
        for one in hooks
    ]
    return table(("told on", "by", "execution", "state", "remark"), rows)


def nodes_table(nodes: Iterable[NodeProgress], now: datetime, *, ended: bool) -> Table:
    """A line a node.

    Args:
        nodes: how far each is.
        now: for what still runs.
        ended: whether the execution has ended: then nothing runs on.
    """
    columns = ("node", "state", "elements", "took", "CPU", "peak memory", "workers")
    rows = []
    for node in nodes:
        took = span_s(node.started_at, node.finished_at if ended or node.state.final else None, now)
        rows.append(
            (
                node.node,
                Text(_state_of(node), style=STYLE[node.state]),
                f"{node.ended}/{'?' if node.total is None else node.total}",
                duration(took),
                duration(node.cpu_s),
                size(node.peak_memory_bytes),
                "-" if node.workers is None else str(node.workers),
            )
        )
    return table(columns, rows, right=("elements", "took", "CPU", "peak memory", "workers"))


def elements_table(records: Iterable[NodeExecutionRecord], now: datetime) -> Table:
    """A line an element."""
    rows = [
        (
            place(one.node, one.element),
            Text(state_word(one.state), style=STYLE[one.state]),
            str(one.attempt or "-"),
            instant(one.started_at, now=now),
            duration(span_s(one.started_at, one.finished_at, now if one.state is NodeState.RUNNING else None)),
            duration(one.cpu_s),
            size(one.peak_memory_bytes),
            one.worker.rpartition("://")[2] or "-",
            _remark(one, now),
        )
        for one in records
    ]
    columns = ("node", "state", "try", "began", "took", "CPU", "peak memory", "worker", "remark")
    return table(columns, rows, right=("try", "took", "CPU", "peak memory"))


def node_page(
    records: Sequence[NodeExecutionRecord], attempts: Sequence[AttemptRecord], root: str, now: datetime
) -> Iterator[Text | Table]:
    """Everything about one node: elements, outputs, errors, earlier tries.

    Args:
        records: its elements.
        attempts: tries that were followed by another one.
        root: where artifacts lie, as a path or URL.
    """
    yield elements_table(records, now)
    outputs = [
        (place(one.node, one.element), port, *_output(output, root))
        for one in records
        for port, output in (one.outputs or {}).items()
    ]
    if outputs:
        yield Text()
        yield table(("output of", "port", "kind", "size", "where or what"), outputs, right=("size",))
    if attempts:
        yield Text()
        rows = [
            (
                place(one.node, one.element),
                str(one.attempt),
                Text(one.state.replace("_", " ").capitalize(), style=STYLE["failed"]),
                instant(one.started_at, now=now),
                duration(span_s(one.started_at, one.finished_at)),
                one.worker.rpartition("://")[2] or "-",
                error_line(one.error),
            )
            for one in attempts
        ]
        yield table(
            ("earlier tries of", "try", "state", "began", "took", "worker", "error"),
            rows,
            right=("try", "took"),
        )
    yield from failures([one for one in records if one.state is NodeState.FAILED], shown=len(records))


def waits(records: Iterable[NodeExecutionRecord], now: datetime) -> Iterator[Text]:
    """Why elements wait, and until when."""
    for one in records:
        if one.state is NodeState.WAITING:
            when = due(one.due_at, now)
            yield Text.assemble(
                (place(one.node, one.element), "yellow"),
                f": {printable(one.reason or 'waits')}",
                f" ({when})" if when else "",
            )


def failures(records: Sequence[NodeExecutionRecord], *, shown: int = FAILURES_SHOWN) -> Iterator[Text]:
    """What failed by itself, with the traceback of the user's code; what only followed is counted."""
    own = [one for one in records if (one.error or {}).get("code") != "upstream_failed"]
    for one in own[:shown]:
        error = one.error or {}
        yield Text()
        yield Text.assemble(
            (place(one.node, one.element), "bold red"),
            (f" failed in try {one.attempt}: " if one.attempt > 1 else " failed: "),
            printable(error_line(error)),
        )
        if trace := str(error.get("traceback") or "").strip():
            yield Text("\n".join(f"  {line}" for line in printable(trace).splitlines()), style="dim")
    if (more := len(own) - shown) > 0:
        yield Text(
            f"\n… and {more} more failed: {', '.join(place(o.node, o.element) for o in own[shown : shown + 10])}"
        )
    if followed := len(records) - len(own):
        yield Text(f"\n{followed} more could not run because of that.", style="dim")


def log_line(record: LogRecord) -> Text:
    """A line that a node wrote: when, how grave, which node, what."""
    from wfplatform.cli.view import level_word

    style = next((style for least, style in _LEVELS if record.level >= least), "dim")
    local = record.at.astimezone()
    again = f" (try {record.attempt})" if record.attempt > 1 else ""
    # A program that reads the text finds the fields by their places.
    return Text.assemble(
        (f"{local:%H:%M:%S}.{local.microsecond // 1000:03d} ", "dim"),
        (f"{level_word(record.level):<8}", style),
        (f" {place(record.node, record.element)}{again}: ", "cyan"),
        (printable(record.message), style),
    )


def not_undone(record: ExecutionRecord) -> Iterator[str]:
    """What an execution did and could not undo, a line for each."""
    error = record.error or {}
    first = error.get("not_undone", ())
    for one in first:
        yield f"Not undone: {place(one['node'], one['element'])}: {one['message']}"
    if (more := error.get("not_undone_count", 0) - len(first)) > 0:
        yield f"Not undone: {more} more; their nodes tell why."


def failed_sentence(record: ExecutionRecord) -> str:
    """Why an execution did not complete."""
    error = record.error or {}
    if record.state is ExecutionState.CANCELLED:
        by = f" by {record.cancel_requested_by}" if record.cancel_requested_by else ""
        return f"Execution {record.id} of {record.workflow_name} was cancelled{by}."
    node = error.get("node")
    where = f" in node {place(str(node), error.get('element') or [])}" if node else ""
    return f"Execution {record.id} of {record.workflow_name} failed{where}: {error_line(error)}"


def _state_of(node: NodeProgress) -> str:
    word = state_word(node.state)
    done = (NodeState.COMPLETED,) if node.state is NodeState.CANCELLED else ()
    told = (*done, NodeState.FAILED, NodeState.WAITING, NodeState.CANCELLED, NodeState.SKIPPED)
    parts = (
        [f"{node.counts[state]} {state}" for state in told if node.counts.get(state)] if len(node.counts) > 1 else []
    )
    if node.reused:
        parts.append(f"{node.reused} reused" if node.rank else "reused")
    return f"{word} ({', '.join(parts)})" if parts and (node.rank or node.reused) else word


def _remark(one: NodeExecutionRecord, now: datetime) -> str:
    """What there is to say of an element, what people did to it included."""
    told = [_standing(one, now)]
    if one.discarded is not None:
        by, reason = one.discarded.get("by") or "somebody", first_line(str(one.discarded.get("reason") or ""))
        told.append(f"discarded by {by}" + (f": {reason}" if reason else ""))
    if one.edit is not None:
        replaced = ", ".join(f"{port}={_short(value)}" for port, value in one.edit["inputs"].items())
        told.append(f"inputs replaced by {one.edit.get('by') or 'somebody'}: {replaced}")
    return "; ".join(filter(None, told))


def _standing(one: NodeExecutionRecord, now: datetime) -> str:
    if one.state is NodeState.WAITING:
        when = due(one.due_at, now)
        return first_line(one.reason) + (f" ({when})" if when else "")
    if one.error is not None:
        return error_line(one.error)
    if one.state is NodeState.RUNNING and (one.progress is not None or one.progress_message):
        return f"{'' if one.progress is None else f'{one.progress:.0%} '}{first_line(one.progress_message)}"
    if one.reused_from is not None:
        return f"reused from {one.reused_from}"
    return first_line(one.reason)


def _output(output: Mapping[str, Any], root: str) -> tuple[str, str, str]:
    kind = str(output.get("kind") or output.get("codec") or "")
    if output.get("location"):
        return kind, size(output.get("size")), f"{root.rstrip('/')}/{output['location']}"
    return kind, size(output.get("size")), _short(output["value"]) if "value" in output else "in the database"


def error_line(error: Mapping[str, Any] | None) -> str:
    """An error in one line: what kind, and the beginning of what it says."""
    if not error:
        return "no reason was recorded"
    kind, message = str(error.get("type") or ""), first_line(str(error.get("message") or ""), 300)
    return f"{kind.rpartition('.')[2]}: {message}" if kind else message


def _short(value: object) -> str:
    return first_line(json.dumps(value, ensure_ascii=False, default=repr), PARAMETER_CHARACTERS)


def _line(name: str, text: str) -> Text:
    return Text.assemble((f"{name} " if name else "", "dim"), printable(text))
