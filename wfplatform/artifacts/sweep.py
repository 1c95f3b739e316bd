"""When what is left over is removed: at the start, then about once a day, beside all other work.

Refuses: holding anybody up. It may take long, possibly on another machine, so it is done in a thread that nobody waits for.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from wfplatform.errors import WfError

__all__ = ["Sweeping"]

logger = logging.getLogger(__name__)

_EVERY_S: Final = 86_400.0
_AGAIN_S: Final = 3_600.0
"""After a failure: whatever it was, an hour may have mended it."""


class Sweeping:
    """Sweeps whenever that is due. Several processes may do so at once: what one removed the others do not find.

    Args:
        sweep: removes what is left over and returns how much that was, as `Artifacts.sweep`.
        what: is swept, for the log.
        every_s: how often.
        monotonic_s: seconds that never run backwards.
    """

    def __init__(
        self,
        sweep: Callable[[], int],
        *,
        what: str = "temporary files",
        every_s: float = _EVERY_S,
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._sweep = sweep
        self._what = what
        self._every_s = every_s
        self._monotonic_s = monotonic_s
        self._due_at_s: float | None = None
        self._sweeps = False
        self._lock = threading.Lock()

    def look_after(self) -> None:
        """Begin to sweep if that is due and none goes on; returns at once. Call it as often as you like, from any thread."""
        now_s = self._monotonic_s()
        with self._lock:
            if self._sweeps or (self._due_at_s is not None and now_s < self._due_at_s):
                return
            self._due_at_s = now_s + self._every_s
            self._sweeps = True
        threading.Thread(target=self._run, name="wfplatform-sweep", daemon=True).start()

    def _run(self) -> None:
        began_s = self._monotonic_s()
        try:
            removed = self._sweep()
        except (WfError, OSError) as error:
            self._due_at_s = self._monotonic_s() + _AGAIN_S
            logger.warning("not swept", extra={"what": self._what, "reason": str(error)})
        else:
            if removed:
                took_s = round(self._monotonic_s() - began_s, 3)
                logger.info("swept", extra={"what": self._what, "removed": removed, "took_s": took_s})
        finally:
            self._sweeps = False
