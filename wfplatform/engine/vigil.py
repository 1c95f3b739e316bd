"""Looks through an engine's executions now and then: whose standing shifted, whose time is over, and who only waits.

What only waits for a while is let go: it costs no more than its row until it is due or somebody calls it. Refuses: deciding what
becomes of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Final, NamedTuple
from uuid import UUID

from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.engine.live import Live

__all__ = ["Round", "Vigil"]

_FEW: Final = 250
"""Looked through every time."""
_EVERY_S: Final = 0.1


class Round(NamedTuple):
    """What was found.

    Args:
        shifted: work of theirs on the cluster began or ended, and they stand otherwise than was told.
        expired: had work on the cluster for longer than they may.
        resting: only wait, and for when; None = for a command.
        silent: were told to stop, and of something that ran nobody has said for long how it ended.
    """

    shifted: list[Live]
    expired: list[Live]
    resting: list[tuple[Live, datetime | None]]
    silent: list[Live]


class Vigil:
    """Belongs to the engine's one thread.

    Args:
        live: the engine's executions.
        sleep_after_s: one that has only waited for this long, and will for as long again, is let go.
        stop_s: for so long it is waited for how what was told to stop ends.
    """

    def __init__(self, live: Mapping[UUID, Live], *, sleep_after_s: float, stop_s: float) -> None:
        self._live = live
        self._stop_s = stop_s
        self._sleep_after_s = sleep_after_s
        self._next_s = 0.0
        self._is_owed = False

    @property
    def next_s(self) -> float | None:
        """When the round is due that it was too early for, by the monotonic clock; None: it was made."""
        return self._next_s if self._is_owed else None

    def round(self, now: datetime, now_s: float) -> Round | None:
        """Look through all of them, if it is time for that."""
        self._is_owed = now_s < self._next_s and len(self._live) > _FEW
        if self._is_owed:
            return None
        self._next_s = now_s + _EVERY_S
        found = Round([], [], [], [])
        for live in self._live.values():
            if live.shifted:
                live.shifted = False
                if live.standing()[0] is not live.told[0]:
                    found.shifted.append(live)
            if (
                live.stops
                and len(live.flights)
                and live.stopped_s is not None
                and now_s - live.stopped_s > self._stop_s
            ):
                found.silent.append(live)
            if live.working_since_at is not None:
                live.resting_since_s = None
                if not live.stops and live.worked(now) > live.timeout_s:
                    found.expired.append(live)
            elif not _only_waits(live):
                live.resting_since_s = None
            elif live.resting_since_s is None:
                live.resting_since_s = now_s
            elif now_s - live.resting_since_s >= self._sleep_after_s:
                until = _wakes_at(live)
                if until is None or until - now >= timedelta(seconds=self._sleep_after_s):
                    found.resting.append((live, until))
                else:
                    live.resting_since_s = now_s
        return found


def _only_waits(live: Live) -> bool:
    """Whether nothing of it is under way, as was told; what holds or waits for a place among other executions keeps it."""
    is_told = live.told[0] is ExecutionState.WAITING
    return is_told and not live.tickets and not live.intended


def _wakes_at(live: Live) -> datetime | None:
    if live.execution.paused_at is not None:
        return None
    due = (
        run.due_at
        for runs in live.execution.nodes.values()
        for run in runs.runs.values()
        if run.state is NodeState.WAITING and run.due_at is not None
    )
    return min(due, default=None)
