"""The one place where an engine writes: batch after batch, each as one transaction, and tells who watches afterwards.

An execution of which something can never be stored is failed, and stops no other one. Refuses: going on to the next batch
before the one before is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Final
from uuid import UUID

from wfplatform.core.announcement import ENGINE_CHANNEL, EXECUTION_CHANNEL, announcements
from wfplatform.core.event import Rejected
from wfplatform.core.ports import Clock, Commit, EngineStore, Notifier
from wfplatform.engine.again import Again
from wfplatform.engine.apart import Refusal, write
from wfplatform.engine.batch import Batch
from wfplatform.engine.fault import unrecorded
from wfplatform.engine.live import Live

__all__ = ["Commits"]

logger = logging.getLogger(__name__)

_TRIES_AT_ONCE: Final = 2
"""First with what can be told of its nodes, then bare. An end that is refused even so is tried again later."""


class Commits:
    """Writes a batch.

    Args:
        engine_id: in whose name.
        batch: what is to be written.
        live: the engine's executions.
        store: where.
        notifier: tells who watches.
        clock: tells the time.
        reject: lets the state machine decide about an execution that cannot be recorded as it is, and tells its parent.
    """

    def __init__(
        self,
        engine_id: UUID,
        batch: Batch,
        live: Mapping[UUID, Live],
        store: EngineStore,
        notifier: Notifier,
        clock: Clock,
        reject: Callable[[Live, Rejected], None],
    ) -> None:
        self._engine_id = engine_id
        self._batch = batch
        self._live = live
        self._store = store
        self._notifier = notifier
        self._clock = clock
        self._reject = reject
        self._unsent: Commit | None = None
        self._endless: dict[UUID, tuple[Live, Rejected]] = {}
        self._again: Again[UUID] = Again()
        self.others_told = False
        """Whether something was written for other executions since this was last made False; they may be this engine's."""

    def write(self) -> None:
        """Write what could not be written before, and what is known by now.

        Raises:
            ConflictError: code `fenced`.
            UnreachableError: the database does not answer; what was to be written is kept.
        """
        self.write_unsent()
        while True:
            self._unsent = self._batch.take(self._engine_id, self._clock.now(), self._clock.monotonic_s())
            if not self.write_unsent():
                return

    def write_unsent(self) -> bool:
        """Write what could not be written before; if that fails it stays, and the same is written again.

        Returns:
            whether an execution was failed because of what could not be stored of it, so that there is more to write.
        """
        if self._unsent is None:
            return False
        commit = self._unsent
        refusals = write(self._store.commit, commit)
        self._unsent = None
        taken, self._batch.taken = self._batch.taken, {}
        refused = {refusal.execution for refusal in refusals}
        told = {execution: live for execution, live in taken.items() if execution not in refused}
        if told:
            states = announcements((execution, live.execution.state) for execution, live in told.items())
            self._notifier.notify(EXECUTION_CHANNEL, states)
        if commit.children or commit.commands:
            self._notifier.notify(ENGINE_CHANNEL, ["new"])
            # What was written for others may be for this engine.
            self.others_told = True
        for execution in told:
            if self._endless.pop(execution, None) is not None:
                self._again.drop(execution)
        failed = [self._refused(taken, refusal) for refusal in refusals]
        return any(failed)

    def wake(self) -> None:
        """Try once more to end what could not be ended, where it is time for that."""
        for execution in self._again.due(self._clock.monotonic_s()):
            self._reject(*self._endless[execution])

    def held(self) -> list[UUID]:
        """Executions that have ended, though that cannot be written."""
        return list(self._endless)

    @property
    def next_s(self) -> float | None:
        """When there is something to be tried again, by the monotonic clock."""
        return self._again.next_s

    def _refused(self, taken: Mapping[UUID, Live], refusal: Refusal) -> bool:
        """Something of an execution cannot be stored: it fails. False if that cannot be written either."""
        error = unrecorded(refusal.error, refusal.elements)
        facts = {
            "execution": str(refusal.execution),
            "elements": len(refusal.elements),
            "reason": refusal.error.message,
        }
        live = taken.get(refusal.execution) or self._live.get(refusal.execution)
        if live is None:
            logger.error("what nobody waits for cannot be recorded", extra=facts)
            return False
        live.refusals += 1
        if live.refusals <= _TRIES_AT_ONCE:
            logger.warning("execution cannot be recorded", extra=facts)
            self._reject(live, Rejected(error, refusal.elements if live.refusals == 1 else ()))
            return True
        logger.error("the failure of an execution cannot be recorded", extra=facts)
        self._endless[live.id] = (live, Rejected(error))
        self._again.put(live.id, self._clock.monotonic_s())
        # Given back, it would be another engine's trouble at once, and then this one's again.
        self._batch.finished = [one for one in self._batch.finished if one is not live]
        return False
