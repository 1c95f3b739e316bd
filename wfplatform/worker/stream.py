"""The numbered stream of outcomes a worker process sends to engines.

A message is kept until its engine acknowledges it, which it does after its commit, and is sent again when the engine asks for it.
Refuses to wait: adding an outcome never blocks the node that had it. Refuses to keep for ever what nobody acknowledges.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, Final
from uuid import UUID

from wfplatform.compiler.payload import Delivery, pack_delivery

__all__ = ["FLUSH_S", "KEEP_S", "TICK_S", "OutcomeStream", "topic_of"]

FLUSH_S: Final = 0.005
"""Outcomes that come closer together than this share a message."""
TICK_S: Final = 0.01
"""While something runs, it is looked after this often."""
KEEP_S: Final = 900.0
"""A message not acknowledged for so long is dropped: its engine is gone, and the next one refuses outcomes of an older epoch."""


def topic_of(engine: str) -> str:
    """The Dask event topic an engine listens to."""
    return f"wfplatform-{engine}"


@dataclass(slots=True)
class _Pending:
    outcomes: list[Sequence[Any]] = field(default_factory=list)
    closed: bool = False
    returned: list[Sequence[Any]] = field(default_factory=list)


class OutcomeStream:
    """Collects outcomes by engine and sends them as numbered messages.

    Args:
        name: unique among all worker processes that ever lived.
        worker: address of the worker, for people.
        send: hands a message to the transport; called from any thread.
        send_through: like it, and returns when the message has left the process, or after a short while if it cannot.
        on_tick: called before each timed flush, so that others can add what they have.

    `busy` may be set to a function that says whether ticking is to go on although nothing waits to be sent.
    """

    def __init__(
        self,
        name: str,
        worker: str,
        send: Callable[[str, bytes], None],
        on_tick: Callable[[], None] = lambda: None,
        send_through: Callable[[str, bytes], None] | None = None,
    ) -> None:
        self.name: Final = name
        self.worker: Final = worker
        self._send = send
        self._send_through = send_through or send
        self._on_tick = on_tick
        self.busy: Callable[[], bool] = lambda: False
        self._lock = threading.Lock()
        self._pending: dict[str, dict[tuple[bytes, int, str], _Pending]] = {}
        self._kept: OrderedDict[int, tuple[str, bytes, float]] = OrderedDict()
        self._number = 0
        self._flushed_at_s = 0.0
        self._wake = threading.Event()
        self._stopped = False
        self._ticking = False
        self._ticker = threading.Thread(target=self._tick, name="wfplatform-outcomes", daemon=True)
        self._ticker.start()

    def add(
        self,
        engine: str,
        execution: UUID,
        epoch: int,
        segment: str,
        outcomes: Sequence[Sequence[Any]],
        *,
        closed: bool = False,
        now: bool = False,
        returned: Sequence[Sequence[Any]] = (),
    ) -> None:
        """Take outcomes of a segment; `now` sends them unless a message left a moment ago. `returned` as in `Delivery`."""
        with self._lock:
            waiting = self._pending.setdefault(engine, {}).setdefault((execution.bytes, epoch, segment), _Pending())
            waiting.outcomes.extend(outcomes)
            waiting.closed = waiting.closed or closed
            if returned:
                waiting.returned.extend(returned)
            if now and monotonic() - self._flushed_at_s >= FLUSH_S:
                self._flush()
                return
        if not self._wake.is_set():
            self._wake.set()

    def watch(self) -> None:
        """Tick: something runs that may have to be announced or stopped."""
        if not self._ticking:
            self._wake.set()

    def flush(self) -> None:
        """Send what is there."""
        with self._lock:
            self._flush()

    def acknowledge(self, number: int) -> None:
        """The engine has committed this message."""
        with self._lock:
            self._kept.pop(number, None)

    def adopt(self, old: Sequence[str], new: str) -> int:
        """Send everything kept for engines that are gone to their successor; returns the number of messages."""
        with self._lock:
            again = [(number, body) for number, (engine, body, _) in self._kept.items() if engine in old]
            for number, body in again:
                self._kept[number] = (new, body, monotonic())
                self._send(topic_of(new), body)
            for engine in old:
                for key, pending in self._pending.pop(engine, {}).items():
                    self._pending.setdefault(new, {})[key] = pending
        return len(again)

    @property
    def unacknowledged(self) -> int:
        """Messages sent and not yet acknowledged."""
        return len(self._kept)

    def close(self) -> None:
        """Send the rest and stop."""
        self._stopped = True
        self._wake.set()
        self._ticker.join(timeout=1)
        self.flush()

    def flush_through(self) -> None:
        """Send what is there and wait until it has left: the process may end now."""
        with self._lock:
            ready = self._packed()
        # Not under the lock: the thread that is to send may be waiting for it.
        for topic, body in ready:
            self._send_through(topic, body)

    def _flush(self) -> None:
        for topic, body in self._packed():
            self._send(topic, body)

    def _packed(self) -> list[tuple[str, bytes]]:
        """What waits, as messages that are kept from now on."""
        now_s = self._flushed_at_s = monotonic()
        if not self._pending:
            return []
        pending, self._pending = self._pending, {}
        ready = []
        for engine, segments in pending.items():
            self._number += 1
            deliveries = [
                Delivery(UUID(bytes=execution), epoch, segment, waiting.outcomes, waiting.closed, waiting.returned)
                for (execution, epoch, segment), waiting in segments.items()
            ]
            body = pack_delivery(self.name, self._number, self.worker, deliveries)
            self._kept[self._number] = (engine, body, now_s)
            ready.append((topic_of(engine), body))
        while now_s - next(iter(self._kept.values()))[2] > KEEP_S:
            self._kept.popitem(last=False)
        return ready

    def _tick(self) -> None:
        pause = threading.Event()
        while not self._stopped:
            self._ticking = False
            self._wake.wait()
            self._wake.clear()
            self._ticking = True
            pause.wait(FLUSH_S)
            self._on_tick()
            self.flush()
            while self.busy() and not self._stopped:
                pause.wait(TICK_S)
                self._on_tick()
                self.flush()
