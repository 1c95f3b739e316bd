"""Tells of executions that are late, whoever owns them, and also if nobody does: they may be in a queue, or asleep.

The database knows which they are; here is one instant, when the next one is due. Refuses to tell twice: the one who notes it
tells it.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from wfplatform.core.late import LateStore
from wfplatform.core.ports import Clock
from wfplatform.core.start import NewExecution
from wfplatform.engine.hooks import Hooks
from wfplatform.engine.telling import Telling
from wfplatform.engine.versions import Versions
from wfplatform.errors import ConflictError, PlatformError

__all__ = ["Lateness"]

logger = logging.getLogger(__name__)

_AT_ONCE: Final = 100
_PATIENCE_S: Final = 0.05
"""One that is due and was not told of is being told of by another engine, or is just ending."""
_AGAIN_S: Final = 1.0


class Lateness:
    """Belongs to the engine's one thread.

    Args:
        engine_id: who tells.
        store: knows who is late.
        versions: published workflows.
        hooks: makes executions that tell.
        clock: tells the time.
    """

    def __init__(self, engine_id: UUID, store: LateStore, versions: Versions, hooks: Hooks, clock: Clock) -> None:
        self._engine_id = engine_id
        self._store = store
        self._versions = versions
        self._hooks = hooks
        self._clock = clock
        self.next_at: datetime | None = None

    def seen(self, next_late_at: datetime | None) -> None:
        """What the database says."""
        self.next_at = next_late_at

    def due(self, now: datetime) -> bool:
        """Whether it is worth while to look who is late."""
        return self.next_at is not None and self.next_at <= now

    def tell(self) -> bool:
        """Tell of those that are late, if it is time for that.

        Returns:
            whether executions were inserted.

        Raises:
            ConflictError: code `fenced`.
        """
        now = self._clock.now()
        if not self.due(now):
            return False
        try:
            told = self._told(now)
            if told:
                self._store.tell_late(self._engine_id, told)
        except ConflictError:
            raise
        except PlatformError as error:
            logger.warning("nobody can be told now who is late", extra={"reason": error.message})
            self.next_at = now + timedelta(seconds=_AGAIN_S)
            return False
        self.next_at = now + timedelta(seconds=_PATIENCE_S)
        return any(told.values())

    def _told(self, now: datetime) -> dict[UUID, Sequence[tuple[UUID, NewExecution]]]:
        tellings: dict[UUID, Telling] = {}
        told: dict[UUID, Sequence[tuple[UUID, NewExecution]]] = {}
        for late in self._store.late(_AT_ONCE):
            if late.version_id not in tellings:
                tellings[late.version_id] = self._versions.telling_of(late.version_id)
            told[late.id] = self._hooks.of_late(late, tellings[late.version_id], now)
            logger.warning("execution is late", extra={"execution": str(late.id), "workflow": late.workflow_name})
        return told
