"""How far the engine's memory grows while something runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import psutil

__all__ = ["Growth", "watched"]

_LOOK_EVERY_S = 0.02


@dataclass(slots=True, kw_only=True)
class Growth:
    """Resident memory of a process, in bytes; `peak_bytes` as seen every 20 ms."""

    before_bytes: int
    peak_bytes: int = 0
    after_bytes: int = 0

    @property
    def peak_growth_bytes(self) -> int:
        """From before to the peak."""
        return self.peak_bytes - self.before_bytes


@contextmanager
def watched(pid: int) -> Iterator[Growth]:
    """Watch a process during a `with` block."""
    process = psutil.Process(pid)
    growth = Growth(before_bytes=process.memory_info().rss)
    done = threading.Event()

    def watch() -> None:
        while not done.wait(_LOOK_EVERY_S):
            growth.peak_bytes = max(growth.peak_bytes, process.memory_info().rss)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield growth
    finally:
        done.set()
        thread.join()
        growth.after_bytes = process.memory_info().rss
        growth.peak_bytes = max(growth.peak_bytes, growth.after_bytes)
