"""Looking at something again and again until it has ended: how often, how long at a database that is away, and when in vain.

Refuses: hammering the database. Between two looks there are at least 0.2 s, and five times what the last look took.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from wfplatform.errors import PlatformError, UnreachableError

if TYPE_CHECKING:
    from wfplatform.bootstrap.platform import EmbeddedPlatform

__all__ = ["Lookout"]

LEAST_PAUSE_S: Final = 0.2
SHARE: Final = 5.0
"""A look may take this fraction of the time at most."""
TICK_S: Final = 1.0
"""The clock on the screen goes on when nothing happens."""
LOST_PATIENCE_S: Final = 60.0
"""How long a database that does not answer is asked again; the platform restarts one that died."""


class Lookout:
    """The patience of a command that follows an execution.

    Args:
        platform: where it runs; `check` of it tells whether anything can go on.
        again: the command line with which one looks again later.
    """

    def __init__(self, platform: EmbeddedPlatform, again: str) -> None:
        self._platform = platform
        self._again = again
        self._changes = platform.executions.changed(-1, 0.0)
        self._looked = False
        self._began_s = 0.0
        self._lost_s = 0.0
        self.trouble = ""
        """Why the last look saw nothing; empty when all is well."""

    @contextmanager
    def look(self) -> Iterator[None]:
        """One look is the `with` block; it ends early, without an error, where the database does not answer for a while.

        Raises:
            UnreachableError: it did not answer at the first look, or has not for a minute.
        """
        self._began_s = time.monotonic()
        try:
            yield
        except UnreachableError as error:
            self._lost_s = self._lost_s or self._began_s
            if not self._looked:
                raise
            if self._began_s - self._lost_s > LOST_PATIENCE_S:
                hint = f"{error.hint} What is recorded stays, and goes on with `wfp up`; then watch it with `{self._again}`."
                raise UnreachableError(error.code, error.message, hint.strip(), **error.facts) from error
            self.trouble = error.message
        else:
            self._looked, self._lost_s, self.trouble = True, 0.0, ""

    def pause(self) -> None:
        """Wait until the next look.

        Raises:
            PlatformError: nothing can go on, and why; told rather than shown a picture that stands still.
        """
        try:
            self._platform.check()
        except PlatformError as error:
            hint = f"{error.hint} Watch it again with `{self._again}`."
            raise PlatformError(error.code, error.message, hint, **error.facts) from error
        pause_s = max(LEAST_PAUSE_S, SHARE * (time.monotonic() - self._began_s))
        # What happens during the pause is seen by the next look, so the counter is read before that.
        time.sleep(pause_s)
        self._changes = self._platform.executions.changed(self._changes, max(0.0, TICK_S - pause_s))
