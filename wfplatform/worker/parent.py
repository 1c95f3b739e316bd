"""Noticing that the process that started this one has ended: it held the other end of standard input.

Refuses to watch anything but a pipe: started by hand or in a container, nobody holds the other end.
"""

from __future__ import annotations

import os
import stat
import threading
from collections.abc import Callable

__all__ = ["on_parent_end"]


def on_parent_end(call: Callable[[], object], *, descriptor: int = 0) -> bool:
    """Call something, in a thread of its own, when the other end of a pipe closes.

    Args:
        call: what to call, once.
        descriptor: the pipe; standard input unless told otherwise.

    Returns:
        whether there is a pipe to watch.
    """
    if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return False

    def watch() -> None:
        # Not through sys.stdin: its buffer's lock, held by a waiting thread, stops the interpreter from ending.
        while os.read(descriptor, 1024):
            continue
        call()

    threading.Thread(target=watch, name="parent watch", daemon=True).start()
    return True
