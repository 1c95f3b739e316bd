"""What a run would do, told before it: which nodes would run, which results would be reused, why, and how long it may take.

Data and its pictures. Refuses to find any of it out; `app.forecast` does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from html import escape
from typing import Any, Final, NamedTuple
from uuid import UUID

__all__ = ["FORECAST_HEADS", "Fate", "Forecast", "KeptResult", "NodeForecast"]

FORECAST_HEADS: Final = ("node", "would", "elements", "takes", "why")


class KeptResult(NamedTuple):
    """A result that is kept for reuse, or was: one that has expired stays until it is replaced."""

    outputs: Mapping[str, Any]
    sizes: Mapping[str, int] | None
    execution_id: UUID
    created_at: datetime
    expires_at: datetime | None
    expired: bool


class Fate(StrEnum):
    """What becomes of a node."""

    REUSED = "be reused"
    PARTLY = "run in part"
    RUNS = "run"
    OPEN = "run or be reused"
    """Its inputs are only known when others have run."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeForecast:
    """What would become of one node.

    Args:
        why: one sentence.
        elements: how many it has; None = known only when others have run. 1 for a node that is not mapped.
        reused: how many of them would be reused.
        reused_from: executions whose results these are, newest first.
        reused_at: when the newest of these results was made.
        cost_s: what one element took before, on the average; None = never seen.
    """

    name: str
    fate: Fate
    why: str
    elements: int | None = 1
    reused: int = 0
    reused_from: tuple[UUID, ...] = ()
    reused_at: datetime | None = None
    cost_s: float | None = None

    @property
    def expected_s(self) -> float | None:
        """Seconds of work, should all that is open run; None if that was never seen."""
        if self.fate is Fate.REUSED:
            return 0.0
        if self.cost_s is None:
            return None
        return self.cost_s * max((self.elements or 1) - self.reused, 0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What a run would do. Printed, it is a table.

    Args:
        workflow: its name.
        parameters: with which it would run.
        nodes: in the order of the graph.
        slots: how many nodes run side by side.
        expected_s: how long it would take, by what nodes took before, if all that is open runs; None = nothing is known.
        least_s: the same, if all that is open is reused.
        unseen: nodes that would run, or may, and whose cost is not known; they count as nothing.
    """

    workflow: str
    parameters: Mapping[str, Any]
    nodes: tuple[NodeForecast, ...]
    slots: int
    expected_s: float | None
    least_s: float | None
    unseen: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> NodeForecast:
        """What would become of the node with this name."""
        for node in self.nodes:
            if node.name == name:
                return node
        raise KeyError(name)

    @property
    def summary(self) -> str:
        """One sentence about the whole."""
        counts = {fate: sum(node.fate is fate for node in self.nodes) for fate in Fate}
        parts = [f"{count} would {fate}" for fate, count in counts.items() if count]
        return f"{self.workflow}: of {len(self.nodes)} nodes {', '.join(parts)}. {self.time}" if parts else self.time

    @property
    def time(self) -> str:
        """One sentence about the time."""
        if self.expected_s is None:
            return "How long that takes is not known: none of these nodes has run before."
        least_s = self.expected_s if self.least_s is None else self.least_s
        span = _seconds(self.expected_s)
        if least_s < 0.9 * self.expected_s:
            span = f"between {_seconds(least_s)} and {span}"
        unseen = f", and what {', '.join(self.unseen)} takes, never seen before" if self.unseen else ""
        return f"Expected on {self.slots} slot{'s' if self.slots > 1 else ''}: {span}{unseen}."

    def rows(self) -> Iterator[tuple[str, str, str, str, str]]:
        """The table: node, what it would do, elements, seconds of work, why."""
        for node in self.nodes:
            count = "?" if node.elements is None else str(node.elements)
            took = "-" if node.expected_s is None else _seconds(node.expected_s)
            yield (
                node.name,
                str(node.fate),
                f"{node.reused} of {count}" if node.fate is Fate.PARTLY else count,
                took,
                node.why,
            )

    def __str__(self) -> str:
        lines = [FORECAST_HEADS, *self.rows()]
        widths = [max(len(line[column]) for line in lines) for column in range(4)]
        table = (
            "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]).rstrip()
            for line in lines
        )
        return "\n".join([self.summary, "", *table])

    def _repr_html_(self) -> str:
        head = "".join(f"<th style='text-align:left'>{escape(name)}</th>" for name in FORECAST_HEADS)
        body = "".join(
            "<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self.rows()
        )
        return f"<p>{escape(self.summary)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _seconds(seconds: float) -> str:
    if seconds < 0.9995:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    return (
        f"{whole // 60} min {whole % 60:02d} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60:02d} min"
    )
