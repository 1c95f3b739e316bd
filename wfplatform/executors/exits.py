"""Why worker processes ended, in a sentence for people. Nannies tell it as Dask events.

Refuses to guess: what nobody told is said to be unknown.
"""

from __future__ import annotations

import signal
import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any, Final

__all__ = ["EXITS_TOPIC", "GIVEN_UP_EXIT_CODE", "MEMORY_TOPIC", "Exits"]

EXITS_TOPIC: Final = "wfplatform-exits"
"""Nannies of this platform tell how their worker process ended: {"worker": address, "exitcode": number}."""
MEMORY_TOPIC: Final = "worker-restart-memory"
"""Every Dask nanny tells here that it ends a worker for its memory: {"worker", "pid", "rss"}."""
GIVEN_UP_EXIT_CODE: Final = 70
"""A worker ends itself with it because a node on it does not stop."""
_KEPT: Final = 1000

_SIGNALS: Final[Mapping[int, str]] = {
    signal.SIGKILL: "it was killed (SIGKILL), by somebody or by a system that ran out of memory",
    signal.SIGSEGV: "it crashed in native code (SIGSEGV)",
    signal.SIGBUS: "it crashed in native code (SIGBUS)",
    signal.SIGABRT: "it ended itself in native code (SIGABRT)",
    signal.SIGFPE: "it crashed in native code (SIGFPE)",
    signal.SIGTERM: "it was told to end (SIGTERM)",
    signal.SIGALRM: "a node held it longer than its timeout and could not be interrupted",
}


class Exits:
    """The reasons that were told lately. Safe to use from several threads."""

    def __init__(self) -> None:
        self._told: OrderedDict[str, str] = OrderedDict()
        self._lock = threading.Lock()

    def ended(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """A worker process has ended."""
        code = int(event[1]["exitcode"])
        if code == GIVEN_UP_EXIT_CODE:
            told = "a node on it did not stop when it was told to"
        elif code >= 0:
            told = f"it ended itself with exit code {code}"
        else:
            told = _SIGNALS.get(-code, f"it was ended by signal {-code}")
        self._tell(event[1]["worker"], told, again=False)

    def too_large(self, event: tuple[float, Mapping[str, Any]]) -> None:
        """A worker process is ended for its memory."""
        used = int(event[1]["rss"]) / 1e6
        self._tell(event[1]["worker"], f"it used more memory than it may ({used:,.0f} MB) and was ended", again=True)

    def reason(self, worker: str) -> str:
        """One sentence about a worker that is gone."""
        told = self._told.get(worker, "it crashed, was killed, used too much memory, or its machine went away")
        return f"The worker process ended while it ran this: {told}."

    def _tell(self, worker: str, told: str, *, again: bool) -> None:
        with self._lock:
            if again or worker not in self._told:
                self._told[worker] = told
            if len(self._told) > _KEPT:
                self._told.popitem(last=False)
