"""Between a process and the one that started it: telling that it can be used now, noticing that the other has ended.

The other held the far end of standard input. Refuses to watch anything but a pipe: started by hand or in a container, nobody
holds the far end.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Callable

__all__ = ["on_parent_end", "tell_ready"]


def tell_ready(descriptor: int | None) -> None:
    """Tell the process that started this one that this one can be used; once.

    Args:
        descriptor: a pipe to it; None: nobody asked.
    """
    if descriptor is None:
        return
    # Without a reader the other has ended, and so does this process as soon as it notices.
    with contextlib.suppress(BrokenPipeError):
        os.write(descriptor, b"1")
    os.close(descriptor)


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
