"""Runs an orchestrator: gathers what happens into batches, keeps the lease, and stops before the lease could be another's."""

from __future__ import annotations

import logging
import math
import queue
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from wfplatform.core.ports import Clock, LeaseStore
from wfplatform.engine.cluster import ClusterReport, OutcomesArrived
from wfplatform.engine.orchestrator import Orchestrator
from wfplatform.errors import PlatformError

__all__ = ["AWAY_S", "EngineLoop", "Lease", "Wake"]

logger = logging.getLogger(__name__)

AWAY_S: Final = 0.2
"""A database that does not answer is asked again after this time."""
_MOST_REPORTS: Final = 500
_MOST_BYTES: Final = 512 * 1024
"""Taken into one batch; a few thousand outcomes, which take ten times as much room once they are opened."""


@dataclass(frozen=True, slots=True)
class Wake:
    """Somebody says that the database has something new."""


type Message = ClusterReport | Wake


class Lease:
    """The right to write, renewed from a thread of its own, so that a long batch does not lose it.

    Args:
        engine_id: whose.
        store: where it is kept.
        lease_s: how long it holds without being renewed.
        clock: measures how long ago it was renewed.
        on_lost: called once, when it was taken over or could not be renewed in time.
    """

    def __init__(
        self, engine_id: UUID, store: LeaseStore, *, lease_s: float, clock: Clock, on_lost: Callable[[], None]
    ) -> None:
        self._engine_id = engine_id
        self._store = store
        self._lease_s = lease_s
        self._clock = clock
        self._on_lost = on_lost
        self._stop = threading.Event()
        self._renewed_s = clock.monotonic_s()
        self.lost = False
        self._thread = threading.Thread(target=self._keep, name="wfplatform-lease", daemon=True)

    def start(self) -> None:
        """Keep renewing."""
        self._thread.start()

    def close(self) -> None:
        """Stop renewing."""
        self._stop.set()
        self._thread.join(timeout=5)

    def _keep(self) -> None:
        while not self._stop.wait(self.pause_s):
            if not self.renew():
                self.lost = True
                self._on_lost()
                return

    @property
    def pause_s(self) -> float:
        """Seconds between two renewals."""
        return self._lease_s / 4

    def renew(self) -> bool:
        """Renew it once; False when it is lost, or soon may be."""
        started_s = self._clock.monotonic_s()
        try:
            held = self._store.renew(self._engine_id, lease_s=self._lease_s)
        except PlatformError as error:
            logger.warning("lease not renewed", extra={"reason": error.message})
            # Another engine may take over as soon as the lease has run out: stop well before.
            return self._clock.monotonic_s() - self._renewed_s < self._lease_s * 0.8
        self._renewed_s = started_s
        return held


class EngineLoop:
    """The loop of one engine.

    Args:
        orchestrator: does the work.
        leases: for taking over what dead engines left.
        clock: tells the time.
        poll_s: how often the database is looked at although nobody called.
        housekeeping: called about once a second, between two batches.
    """

    def __init__(
        self,
        orchestrator: Orchestrator,
        leases: LeaseStore,
        *,
        clock: Clock,
        poll_s: float = 1.0,
        housekeeping: Callable[[], None] = lambda: None,
    ) -> None:
        self._orchestrator = orchestrator
        self._leases = leases
        self._clock = clock
        self._poll_s = poll_s
        self._housekeeping = housekeeping
        self._inbox: queue.SimpleQueue[Sequence[Message]] = queue.SimpleQueue()
        self._stopping = False
        self._looked_s = -math.inf
        self._more = False
        self._left: Sequence[ClusterReport] = ()

    def post(self, *messages: Message) -> None:
        """Called from any thread; what is posted together comes into one batch."""
        self._inbox.put(messages)

    def stop(self) -> None:
        """Leave the loop after the present batch; called from any thread."""
        self._stopping = True
        self._inbox.put(())

    def run(self) -> None:
        """Work until stopped.

        Raises:
            ConflictError: code `fenced`; another engine has taken over.
        """
        while True:
            reports, woken = self._gather(self.patience_s)
            if self._stopping:
                return
            if not self.step(reports, woken=woken):
                threading.Event().wait(AWAY_S)

    def step(self, reports: Sequence[ClusterReport], *, woken: bool) -> bool:
        """Take in what came, and whatever is due.

        Args:
            reports: of the cluster.
            woken: whether somebody says that the database has something new.

        Returns:
            whether the database answers; if not, it is given `AWAY_S`, and nothing of the reports is forgotten.

        Raises:
            ConflictError: code `fenced`; another engine has taken over.
        """
        reports = [*self._left, *reports]
        now_s = self._clock.monotonic_s()
        polled = now_s - self._looked_s >= self._poll_s
        try:
            if polled:
                self._leases.take_over(self._orchestrator.engine_id)
                self._housekeeping()
            look = woken or polled or self._more
            self._more = self._orchestrator.turn(reports, look=look)
        except PlatformError as error:
            logger.warning("the database does not answer", extra={"reason": error.message})
            # Taken in once more: a report that comes twice changes nothing, one that is lost is not sent again.
            self._left, self._more = reports, False
            return False
        self._left = []
        if look:
            self._looked_s = now_s
        return True

    @property
    def patience_s(self) -> float:
        """Seconds until a step is due although nothing comes in."""
        if self._more:
            return 0.0
        patience_s = max(0.0, self._poll_s - (self._clock.monotonic_s() - self._looked_s))
        linger_s = self._orchestrator.patience_s
        if linger_s is not None:
            patience_s = min(patience_s, linger_s)
        due_at = self._orchestrator.next_timer_at
        if due_at is not None:
            patience_s = min(patience_s, max(0.0, (due_at - self._clock.now()).total_seconds()))
        return patience_s

    def _gather(self, patience_s: float) -> tuple[list[ClusterReport], bool]:
        """What came in; waits for the first message only."""
        reports: list[ClusterReport] = []
        woken = False
        size_bytes = 0
        try:
            messages = self._inbox.get(timeout=patience_s) if patience_s > 0 else self._inbox.get_nowait()
            while True:
                for message in messages:
                    if isinstance(message, Wake):
                        woken = True
                    else:
                        reports.append(message)
                        size_bytes += len(message.body) if isinstance(message, OutcomesArrived) else 0
                if len(reports) >= _MOST_REPORTS or size_bytes >= _MOST_BYTES:
                    break
                messages = self._inbox.get_nowait()
        except queue.Empty:
            return reports, woken
        return reports, woken
