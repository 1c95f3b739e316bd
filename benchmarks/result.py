"""What is reported: one result for each target, as a table and as `latest.json`; and the machine it was measured on."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.table import Table

__all__ = ["LATEST", "Result", "machine", "print_results", "write_results"]

LATEST = Path(__file__).with_name("latest.json")


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """How one target fared.

    Args:
        name: what was measured.
        ratio: of the two sides, as `target` means it.
        target: the least ratio, or the most if `at_most`.
        ours: our side in words, such as "12.3 ms".
        theirs: what it is compared to.
        figures: what is behind it.
    """

    name: str
    ratio: float
    target: float
    at_most: bool = False
    ours: str = ""
    theirs: str = ""
    figures: Mapping[str, Any] = field(default_factory=dict)

    @property
    def met(self) -> bool:
        """Whether the target is reached; never when every round was void."""
        return self.ratio <= self.target if self.at_most else self.ratio >= self.target

    @property
    def void(self) -> int:
        """Rounds that did not count."""
        return sum(len(figures.get("void", ())) for figures in self.figures.values() if isinstance(figures, Mapping))

    @classmethod
    def against(
        cls, name: str, ours: float, most: float, unit: str, figures: Mapping[str, Any] | None = None
    ) -> Result:
        """A figure of ours that is to be at most so much."""
        return cls(
            name=name,
            ratio=ours / most,
            target=1.0,
            at_most=True,
            ours=f"{ours:.3g} {unit}",
            theirs=f"{most:g} {unit}",
            figures={"measured": ours, "unit": unit, **(figures or {})},
        )

    def as_json(self) -> dict[str, Any]:
        """The entry of the report."""
        return {
            "name": self.name,
            "ratio": round(self.ratio, 3) if self.ratio not in (float("inf"), float("-inf")) else None,
            "target": self.target,
            "comparison": "at most" if self.at_most else "at least",
            "met": self.met,
            "ours": self.ours,
            "theirs": self.theirs,
            **self.figures,
        }


def machine(durability: Mapping[str, str]) -> dict[str, Any]:
    """The machine, the versions, and how the database keeps what it commits."""
    return {
        "system": platform.platform(),
        "processor": _processor(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("wfplatform", "distributed", "psycopg", "pandas", "pyarrow")},
        "postgresql": dict(durability),
    }


def write_results(path: Path, results: Iterable[Result], surroundings: Mapping[str, Any]) -> None:
    """Write the report: a list of the results, each with the surroundings it was measured in."""
    entries = [{**result.as_json(), "surroundings": dict(surroundings)} for result in results]
    path.write_text(json.dumps(entries, indent=1) + "\n", encoding="utf-8")


def print_results(results: Sequence[Result], surroundings: Mapping[str, Any]) -> None:
    """Print the table."""
    console = Console()
    width = None if console.is_terminal else 120
    console = Console(width=width)
    table = Table(title="wfplatform against bare Dask: medians", title_justify="left")
    for heading in ("", "wfplatform", "compared to", "ratio", "target", ""):
        table.add_column(heading, justify="right" if heading in {"ratio", "target"} else "left")
    for result in results:
        sign = "≤" if result.at_most else "≥"
        verdict = "met" if result.met else "missed"
        if result.void:
            verdict += f", {result.void} rounds void"
        table.add_row(
            result.name, result.ours, result.theirs, f"{result.ratio:.2f}", f"{sign} {result.target:g}", verdict
        )
    console.print(table)
    loads = surroundings["load_before"], surroundings["load_after"]
    console.print(
        f"{surroundings['system']}, {surroundings['cpus']} CPUs, {surroundings['memory_gib']} GiB; "
        f"Python {surroundings['python']}, distributed {surroundings['distributed']}, "
        f"PostgreSQL {surroundings['postgresql']['server_version']}, fsync {surroundings['postgresql']['fsync']}; "
        f"load {loads[0]:.1f} before, {loads[1]:.1f} after; {surroundings['took_s']:.0f} s",
        highlight=False,
    )
    if loads[0] > surroundings["cpus"] / 2:
        console.print("The machine was busy with something else before: times are longer than they should be.")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor()
    )
