"""Contestants take turns, round after round; a round in which something is missing afterwards is void.

Refuses: comparing what did not run side by side.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median, quantiles
from typing import Any

__all__ = ["Contestant", "Times", "contest"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """One way to do the work.

    Args:
        name: short.
        run: does it and returns what came of it; this is timed.
        check: is given that, after the clock was stopped; returns what is wrong with it, or nothing.
        prepare: called before the clock is started.
    """

    name: str
    run: Callable[[], Any]
    check: Callable[[Any], str]
    prepare: Callable[[], None] = lambda: None


@dataclass(slots=True)
class Times:
    """What a contestant took, in seconds, in its valid rounds; why the others are void."""

    valid_s: list[float] = field(default_factory=list)
    void: list[str] = field(default_factory=list)

    @property
    def median_s(self) -> float:
        """Of the valid rounds; infinite when there is none."""
        return median(self.valid_s) if self.valid_s else float("inf")

    @property
    def p95_s(self) -> float:
        """95 of 100 rounds take at most this; infinite with fewer than two valid rounds."""
        return quantiles(self.valid_s, n=20, method="inclusive")[-1] if len(self.valid_s) > 1 else float("inf")

    def figures(self, per: int) -> dict[str, Any]:
        """The times as written to the report: median, least and most, and the median for each of `per` nodes."""
        if not self.valid_s:
            return {"rounds": 0, "void": self.void}
        return {
            "median_ms": round(self.median_s * 1e3, 3),
            "least_ms": round(min(self.valid_s) * 1e3, 3),
            "most_ms": round(max(self.valid_s) * 1e3, 3),
            "median_us_a_node": round(self.median_s / per * 1e6, 1),
            "rounds": len(self.valid_s),
            "void": self.void,
        }


def contest(
    contestants: Sequence[Contestant],
    *,
    rounds: int,
    fewest: int | None = None,
    patience_s: float = float("inf"),
    warm_up: int = 1,
    warmed_up: Sequence[str] | None = None,
    rivals: Sequence[str] = (),
    pause_s: float = 0.0,
) -> dict[str, Times]:
    """Let contestants take turns.

    Args:
        contestants: each begins a round about equally often.
        rounds: of each.
        fewest: rounds that are enough when `patience_s` seconds are over; None = all.
        warm_up: rounds that are run and checked before, and not counted: connections, code on the workers.
        warmed_up: names of those who need it; None = all.
        rivals: beginnings of names: of those who share one only the best counts, so after the first round only the fastest of
            them goes on.
        pause_s: before each turn, so that it finds everything idle.

    Returns:
        contestant's name -> its times.
    """
    times = {one.name: Times() for one in contestants}
    # What is loaded by now stays: without it, collecting before each turn takes next to nothing.
    gc.collect()
    gc.freeze()
    begun_s = time.perf_counter()
    beaten: set[str] = set()
    for number in range(-warm_up, rounds):
        if number >= (rounds if fewest is None else fewest) and time.perf_counter() - begun_s > patience_s:
            break
        turn = number % len(contestants)
        beaten = _beaten(times, rivals) if number == 1 else beaten
        for one in (*contestants[turn:], *contestants[:turn]):
            if one.name in beaten or (number < 0 and warmed_up is not None and one.name not in warmed_up):
                continue
            one.prepare()
            gc.collect()
            if pause_s:
                time.sleep(pause_s)
            started_s = time.perf_counter()
            came = one.run()
            took_s = time.perf_counter() - started_s
            wrong = one.check(came)
            if wrong:
                times[one.name].void.append(wrong)
            elif number >= 0:
                times[one.name].valid_s.append(took_s)
    return times


def _beaten(times: Mapping[str, Times], rivals: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for beginning in rivals:
        group = {name: one.median_s for name, one in times.items() if name.startswith(beginning)}
        found |= group.keys() - {min(group, key=lambda name: group[name])}
    return found
