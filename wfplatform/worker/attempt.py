"""One attempt at one element while it runs, and the watch over all attempts of a worker process.

The watch says that an attempt has started when it lasts, ends it when its time is over or nobody wants it any more, and as the
last resort ends the process: a thread that never returns cannot be stopped in any other way. Where native code holds the
interpreter, not even the watch runs: then the system's alarm clock ends the process.
"""

from __future__ import annotations

import ctypes
import signal
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Any, Final
from uuid import UUID

from wfplatform.authoring.context import NodeStopped
from wfplatform.compiler.payload import stage_of
from wfplatform.core.execution import Element
from wfplatform.worker.capture import NodeLog

__all__ = ["ALARM_MARGIN_S", "ANNOUNCE_AFTER_S", "Attempt", "Watch"]

ANNOUNCE_AFTER_S: Final = 0.1
"""An attempt that lasts longer is announced as started; of a shorter one, its end tells soon enough that it ran."""
ALARM_MARGIN_S: Final = 1.0
"""The alarm leaves the watch this long to end the process in a better way."""
_CANCELLED_KEPT: Final = 10_000


class Attempt:
    """What is known of an attempt that runs. Made for every element of every node: cheap."""

    __slots__ = (
        "announced",
        "asks",
        "attempt",
        "cancelled",
        "deadline_s",
        "element",
        "elsewhere",
        "engine",
        "epoch",
        "execution",
        "index",
        "interrupted_s",
        "log",
        "over",
        "progress",
        "reason",
        "segment",
        "stage",
        "started_at",
        "started_s",
        "thread",
        "timeout_s",
    )

    def __init__(
        self, engine: str, execution: UUID, epoch: int, segment: str, index: int, element: Element, attempt: int
    ) -> None:
        self.engine = engine
        self.execution = execution
        self.epoch = epoch
        self.segment = segment
        self.index = index
        self.element = element
        self.attempt = attempt
        self.log = NodeLog()
        self.progress: tuple[float, str] | None = None
        self.stage = stage_of(epoch, unwinds=False)
        self.announced = False
        self.asks = False
        self.cancelled = False
        self.elsewhere = False
        self.over = False
        self.reason = ""
        self.timeout_s: float | None = None
        self.deadline_s: float | None = None
        self.interrupted_s: float | None = None
        self.thread = 0
        self.started_s = 0.0
        self.started_at = 0.0

    def report(self, fraction: float, message: str) -> None:
        """Keep the newest progress; it leaves with the next tick."""
        self.progress = (fraction, message)

    def is_cancelled(self) -> bool:
        """Whether it is to stop. Who asks once is taken to ask again, and is left time to come to an end by itself."""
        self.asks = True
        return self.cancelled

    @property
    def end(self) -> str:
        """Why it was ended before it ended by itself, as the beginning of a sentence."""
        if self.reason == "timeout":
            return "It ran longer than its timeout" + (
                f" of {self.timeout_s:g} s" if self.timeout_s is not None else ""
            )
        return "Its execution was cancelled while it ran"

    def started(self) -> list[Any]:
        """The announcement that it runs, with what it logged so far and its progress."""
        lines = self.log.lines[self.log.sent :]
        self.log.sent += len(lines)
        progress, self.progress = self.progress, None
        return [
            self.index,
            self.element,
            self.attempt,
            "s",
            self.started_at,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            None,
            lines,
            progress,
        ]


class Watch:
    """Watches the attempts of a process.

    Args:
        announce: takes an attempt's announcement.
        give_up: called with an attempt that does not end although it was interrupted; it may end the process.
        grace_s: how long an attempt may clean up after it was interrupted, before it is given up. One that asks whether it is
            to stop has as long before it is interrupted.
        alarm: whether the system's alarm clock may end this process when an attempt with a timeout holds the interpreter.
    """

    def __init__(
        self,
        announce: Callable[[Attempt], None],
        give_up: Callable[[Attempt], None],
        *,
        grace_s: float = 5.0,
        alarm: bool = False,
    ) -> None:
        self._announce = announce
        self._give_up = give_up
        self._grace_s = grace_s
        self._running: dict[int, Attempt] = {}
        self._cancelled: OrderedDict[UUID, int] = OrderedDict()
        self._may_alarm = alarm and hasattr(signal, "setitimer")
        self._alarm_s: float | None = None
        self._lock = threading.Lock()

    def begin(self, attempt: Attempt, timeout_s: float | None) -> None:
        """The attempt starts in this thread."""
        attempt.thread = threading.get_ident()
        attempt.started_s = started_s = monotonic()
        if timeout_s is not None:
            attempt.timeout_s = timeout_s
            attempt.deadline_s = started_s + timeout_s
        self._running[attempt.thread] = attempt
        if timeout_s is not None:
            with self._lock:
                self._set_alarm()

    def end(self, attempt: Attempt) -> None:
        """The attempt has ended; nothing will interrupt its thread any more."""
        try:
            self._end(attempt)
        except NodeStopped:
            # It came a moment too late: the attempt is over as it is.
            self._end(attempt)

    def _end(self, attempt: Attempt) -> None:
        with self._lock:
            attempt.over = True
            self._running.pop(attempt.thread, None)
            if attempt.interrupted_s is not None:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(attempt.thread), None)
            if self._alarm_s is not None:
                self._set_alarm()

    def is_cancelled(self, execution: UUID, stage: int) -> bool:
        """Whether this worker was told that nobody wants what belongs to this stage of the execution any more."""
        return self._cancelled.get(execution, -1) >= stage

    def cancel(self, execution: UUID, stage: int) -> int:
        """Nobody wants the attempts of an execution up to a stage any more; returns how many run."""
        self._cancelled[execution] = max(stage, self._cancelled.pop(execution, stage))
        if len(self._cancelled) > _CANCELLED_KEPT:
            self._cancelled.popitem(last=False)
        found = [a for a in list(self._running.values()) if a.execution == execution and a.stage <= stage]
        now_s = monotonic()
        for attempt in found:
            attempt.cancelled = True
            attempt.reason = attempt.reason or "cancelled"
            attempt.deadline_s = now_s if attempt.deadline_s is None else min(attempt.deadline_s, now_s)
        if found:
            with self._lock:
                self._set_alarm()
        return len(found)

    def sole_log(self) -> NodeLog | None:
        """The log of the one attempt that runs; None if none does, or several."""
        running = list(self._running.values())
        return running[0].log if len(running) == 1 else None

    @property
    def running(self) -> Mapping[int, Attempt]:
        """Thread -> attempt."""
        return self._running

    def tick(self) -> None:
        """Look after everything that runs; called every few milliseconds while something does."""
        now_s = monotonic()
        for attempt in list(self._running.values()):
            if not attempt.announced and now_s - attempt.started_s > ANNOUNCE_AFTER_S:
                attempt.announced = True
                self._announce(attempt)
            elif attempt.announced and (attempt.progress is not None or len(attempt.log.lines) > attempt.log.sent):
                self._announce(attempt)
            if attempt.deadline_s is None or now_s < attempt.deadline_s:
                continue
            attempt.cancelled = True
            attempt.reason = attempt.reason or "timeout"
            if attempt.interrupted_s is None:
                if attempt.asks and now_s < attempt.deadline_s + self._grace_s:
                    continue
                attempt.interrupted_s = now_s
                self._interrupt(attempt)
            elif now_s - attempt.interrupted_s > self._grace_s:
                attempt.interrupted_s = now_s
                self._give_up(attempt)

    def _interrupt(self, attempt: Attempt) -> None:
        with self._lock:
            if not attempt.over:
                ctypes.pythonapi.PyThreadState_SetAsyncExc(
                    ctypes.c_ulong(attempt.thread), ctypes.py_object(NodeStopped)
                )

    def _set_alarm(self) -> None:
        """Set the alarm clock to when the first attempt must be over whatever it does. Its signal ends the process."""
        if not self._may_alarm:
            return
        latest_s = 2 * self._grace_s + ALARM_MARGIN_S
        ends = [a.deadline_s + latest_s for a in list(self._running.values()) if a.deadline_s is not None]
        first_s = min(ends, default=None)
        if first_s != self._alarm_s:
            self._alarm_s = first_s
            signal.setitimer(signal.ITIMER_REAL, max(first_s - monotonic(), 0.001) if first_s is not None else 0.0)
