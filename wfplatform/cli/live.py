"""The moving picture of an execution: a line a node, what runs and waits, and a clock. Drawn on standard error.

Refuses: more lines than the terminal has; nodes that have nothing to tell give way first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from rich.console import Group
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from wfplatform.cli.progress import NodeProgress
from wfplatform.cli.screen import STYLE
from wfplatform.cli.sight import Sight
from wfplatform.cli.words import due, duration, first_line, place, printable, span_s, state_word
from wfplatform.core.execution import NodeState
from wfplatform.core.record import NodeExecutionRecord

if TYPE_CHECKING:
    from wfplatform.cli.screen import Screen

__all__ = ["drawing", "picture"]

BAR_WIDTH: Final = 24
MOST_NOTES: Final = 6
AROUND: Final = 4
"""Lines that are not nodes or notes: the head, the bar of the whole, what was left out, and one to spare."""
_FIRST: Final = (
    NodeState.FAILED, NodeState.RUNNING, NodeState.WAITING, NodeState.PENDING, NodeState.COMPLETED,
    NodeState.CANCELLED, NodeState.SKIPPED,
)  # fmt: skip


@contextmanager
def drawing(screen: Screen) -> Iterator[Callable[[Sight], None]]:
    """Gives a function that draws a sight over the one before; the picture vanishes at the end of the block."""
    from rich.live import Live

    with Live(console=screen.err, transient=True, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda sight: live.update(picture(sight, datetime.now(UTC), screen.err.size.height), refresh=True)


def picture(sight: Sight, now: datetime, height: int = 40) -> Group:
    """A sight as a picture.

    Args:
        sight: what is known.
        now: for clocks and due times.
        height: lines of the terminal.
    """
    record = sight.record
    notes = [_note(one, now) for one in _noted(sight.active)][:MOST_NOTES]
    room = max(3, height - AROUND - len(notes))
    shown = _chosen(sight.nodes, room)
    head = Text.assemble(
        (record.workflow_name, "bold"), " ", (str(record.id), "dim"), "  ",
        (state_word(record.state), STYLE[record.state]), "  ",
        duration(span_s(record.created_at, record.finished_at, now)),
    )  # fmt: skip
    if record.cancel_requested_at and not record.state.final:
        head.append("  cancelling", style="magenta")
    elif record.paused_at:
        head.append("  paused", style="yellow")
    lines: list[Any] = [head, _grid(shown, now)]
    if left := len(sight.nodes) - len(shown):
        lines.append(Text(f"… and {left} more node{'s' if left > 1 else ''}", style="dim"))
    lines += notes
    if sight.trouble:
        lines.append(Text(f"{first_line(sight.trouble)} Asking again.", style="red"))
    return Group(*lines)


def _chosen(nodes: Sequence[NodeProgress], room: int) -> list[NodeProgress]:
    if len(nodes) <= room:
        return list(nodes)
    order = {node.node: (_FIRST.index(node.state), number) for number, node in enumerate(nodes)}
    kept = sorted(nodes, key=lambda node: order[node.node])[: room - 1]
    return sorted(kept, key=lambda node: order[node.node][1])


def _grid(nodes: Iterable[NodeProgress], now: datetime) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for justify in ("left", "left", "right", "left", "right"):
        grid.add_column(justify=justify, no_wrap=True)
    for node in nodes:
        total = node.total
        bar = ProgressBar(
            total=max(total or 0, 1),
            completed=max(total or 0, 1) if total == 0 else min(node.ended, total or 0),
            width=BAR_WIDTH,
            pulse=False,
            complete_style="red" if node.counts.get(NodeState.FAILED) else "cyan",
            finished_style="red" if node.counts.get(NodeState.FAILED) else "green",
        )
        finished_at = node.finished_at if node.state.final else None
        took = duration(span_s(node.started_at, finished_at, now)) if node.started_at else ""
        grid.add_row(
            Text(node.node, style="" if node.ended or node.started_at else "dim"),
            bar,
            f"{node.ended}/{'?' if total is None else total}",
            _states(node),
            Text(took, style="dim"),
        )
    return grid


def _states(node: NodeProgress) -> Text:
    """What stands beside the bar: not the elements that are simply done or have not begun."""
    if not node.rank:
        return Text(state_word(node.state), style=STYLE[node.state])
    told = (NodeState.RUNNING, NodeState.WAITING, NodeState.FAILED, NodeState.CANCELLED, NodeState.SKIPPED)
    parts = [(f"{node.counts[state]} {state}", STYLE[state]) for state in told if node.counts.get(state)]
    if not parts:
        return Text(state_word(node.state), style=STYLE[node.state])
    found = Text()
    for number, (words, style) in enumerate(parts):
        found.append(", " if number else "").append(words, style=style)
    return found


def _noted(active: Iterable[NodeExecutionRecord]) -> list[NodeExecutionRecord]:
    """Those that say why they wait or how far they are."""
    return [one for one in active if one.reason or one.progress_message or one.progress is not None]


def _note(one: NodeExecutionRecord, now: datetime) -> Text:
    name = place(one.node, one.element)
    if one.state is NodeState.WAITING:
        when = due(one.due_at, now)
        return Text(printable(f"  {name}: {first_line(one.reason)}{f' ({when})' if when else ''}"), style="yellow")
    share = f"{one.progress:.0%} " if one.progress is not None else ""
    return Text(printable(f"  {name}: {share}{first_line(one.progress_message)}"), style="cyan")
