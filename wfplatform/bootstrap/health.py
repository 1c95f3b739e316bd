"""Whether anything can run at all: told to whoever waits for an execution, instead of letting them wait.

Refuses: to start anything, and to ask more often than is good.
"""

from __future__ import annotations

import socket
import threading
import time
from typing import Final

from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.problem import no_engine, problem_of
from wfplatform.errors import PlatformError, UnreachableError
from wfplatform.settings import Settings
from wfplatform.store.database import Database
from wfplatform.store.presence import living_engines

__all__ = ["Health", "what_is_wrong"]

LOOK_EVERY_S: Final = 1.0
ENGINE_PATIENCE_S: Final = 15.0
"""How long there may be no engine anywhere before those who wait are told: one that runs elsewhere may just be started anew."""


def what_is_wrong(settings: Settings, database: Database) -> PlatformError | None:
    """What keeps everything from going on at this moment.

    Args:
        settings: of the home.
        database: its database, as the runtime role; brought to this release.

    Returns:
        an error to raise; None when nothing is known to be wrong.

    Raises:
        UnreachableError: supervisor or database does not answer.
    """
    rows = supervisor.status(settings)
    problem = problem_of(rows)
    if any(row.name.startswith("engine") for row in rows):
        if problem is None or problem.code != "no_engine" or not settings.database_url:
            return problem
        # Others may share the database.
        return None if living_engines(database, besides_host=socket.gethostname()) else problem
    if problem is not None or (supervisor.is_supervised(settings) and not rows):
        return problem  # If it is just starting or stopping, nobody knows yet.
    return None if living_engines(database) else no_engine()


class Health:
    """Looks at the processes of a home, not more often than each second, however many threads ask.

    Args:
        settings: which home.
        database: its database.
    """

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database
        self._lock = threading.Lock()
        self._looked_s = time.monotonic()
        self._problem: PlatformError | None = None
        self._lonely_since_s: float | None = None

    def check(self) -> None:
        """Return at once when all is well or nothing is known.

        Raises:
            PlatformError: nothing can go on, and why.
        """
        with self._lock:
            # Trouble may be over by now; who was told of it does not ask again and again.
            if self._problem is not None or time.monotonic() - self._looked_s >= LOOK_EVERY_S:
                self._problem = self._look()
                self._looked_s = time.monotonic()
            problem = self._problem
        if problem is not None:
            raise PlatformError(problem.code, problem.message, problem.hint, **problem.facts)

    def _look(self) -> PlatformError | None:
        try:
            problem = what_is_wrong(self._settings, self._database)
        except UnreachableError:
            # It is just starting, stopping or lost; then the database says so.
            return None
        if problem is None or "process" in problem.facts:
            self._lonely_since_s = None
            return problem
        now_s = time.monotonic()
        self._lonely_since_s = self._lonely_since_s or now_s
        return problem if now_s - self._lonely_since_s >= ENGINE_PATIENCE_S else None
