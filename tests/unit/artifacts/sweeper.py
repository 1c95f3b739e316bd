"""Waiting for the thread in which temporary files are swept."""

from __future__ import annotations

import threading
import time

__all__ = ["PATIENCE_S", "quiet"]

PATIENCE_S = 10.0


def quiet() -> None:
    """Return when nothing is swept in this process."""
    deadline_s = time.monotonic() + PATIENCE_S
    while any(thread.name == "wfplatform-sweep" for thread in threading.enumerate()):
        assert time.monotonic() < deadline_s
        time.sleep(0.001)
