"""Whether the processes of a home can run anything at all: told to whoever waits for an execution, instead of letting them wait.

Refuses: to start anything, and to ask more often than is good.
"""

from __future__ import annotations

import threading
import time
from typing import Final

from wfplatform.bootstrap import supervisor
from wfplatform.bootstrap.problem import problem_of
from wfplatform.errors import PlatformError, UnreachableError
from wfplatform.settings import Settings

__all__ = ["Health"]

LOOK_EVERY_S: Final = 1.0


class Health:
    """Looks at the processes of a home, not more often than each second, however many threads ask.

    Args:
        settings: which home.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.Lock()
        self._looked_s = time.monotonic()
        self._problem: PlatformError | None = None

    def check(self) -> None:
        """Return at once when all is well or nothing is known.

        Raises:
            PlatformError: nothing can go on, and why.
        """
        with self._lock:
            if time.monotonic() - self._looked_s >= LOOK_EVERY_S:
                self._problem = self._look()
                self._looked_s = time.monotonic()
            problem = self._problem
        if problem is not None:
            raise PlatformError(problem.code, problem.message, problem.hint, **problem.facts)

    def _look(self) -> PlatformError | None:
        try:
            return problem_of(supervisor.status(self._settings))
        except UnreachableError:
            # It is just starting, stopping or lost; then the database says so.
            return None
