"""Attempts that last: on which worker each runs, and when it must be over whatever it does.

The second line behind the worker's own watch, for workers that are frozen or whose interpreter is held. Refuses to judge attempts
without a timeout, unless nobody wants them any more.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Final
from uuid import UUID

from wfplatform.core.execution import Outcome, OutcomeKind
from wfplatform.core.graph import Node

__all__ = ["MARGIN_S", "Overdue"]

MARGIN_S: Final = 3.0
"""Left to the worker to end it itself, and to its last message to arrive."""


@dataclass(slots=True)
class _Lasting:
    started: Outcome
    began_s: float
    timeout_s: float | None
    over_s: float | None


class Overdue:
    """What runs for long. Belongs to the engine's one thread.

    Args:
        grace_s: what a worker leaves an attempt for cleaning up, twice.
    """

    def __init__(self, *, grace_s: float) -> None:
        self._grace_s = grace_s
        self._lasting: dict[tuple[UUID, str], _Lasting] = {}

    def see(self, execution: UUID, nodes: Mapping[str, Node], outcomes: Iterable[Outcome], now_s: float) -> None:
        """Outcomes came in, in their order."""
        for outcome in outcomes:
            key = (execution, outcome.segment)
            if outcome.kind is not OutcomeKind.STARTED:
                if self._lasting:
                    self._lasting.pop(key, None)
                continue
            known = self._lasting.get(key)
            if known is not None and known.started[:3] == outcome[:3]:
                continue  # it tells of progress
            timeout_s = nodes[outcome.node].policy.timeout_s
            over_s = now_s + timeout_s + 2 * self._grace_s + MARGIN_S if timeout_s is not None else None
            self._lasting[key] = _Lasting(outcome, now_s, timeout_s, over_s)

    def closed(self, execution: UUID, segment: str) -> None:
        """The segment has said all."""
        self._lasting.pop((execution, segment), None)

    def cancelled(self, executions: Iterable[UUID], now_s: float) -> None:
        """Nobody wants these executions any more."""
        unwanted = set(executions)
        over_s = now_s + 2 * self._grace_s + MARGIN_S
        for (execution, _), one in self._lasting.items():
            if execution in unwanted:
                one.over_s = min(over_s, one.over_s or over_s)

    def lost(self, execution: UUID, segment: str, now_s: float, now: datetime) -> Outcome | None:
        """A segment is lost with its worker: its timeout, if it was over, as the outcome the worker could not send."""
        one = self._lasting.pop((execution, segment), None)
        if one is None or one.timeout_s is None or now_s - one.began_s < one.timeout_s:
            return None
        error = {
            "type": "NodeTimeout",
            "kinds": ["NodeTimeout"],
            "message": f"It ran longer than its timeout of {one.timeout_s:g} s and could not be stopped; "
            "its worker process was ended.",
            "traceback": "",
            "code": "timeout",
            "retryable": True,
        }
        return one.started._replace(
            kind=OutcomeKind.FAILED, finished_at=now.timestamp(), error=error, logs=(), progress=None
        )

    def workers(self, now_s: float) -> set[str]:
        """Workers that are to be ended, each named once for every attempt that holds it."""
        late = [key for key, one in self._lasting.items() if one.over_s is not None and one.over_s < now_s]
        found = {self._lasting[key].started.worker for key in late}
        for key in late:
            # Known until it is lost, so that its end can be told as a timeout.
            self._lasting[key].over_s = None
        return found
