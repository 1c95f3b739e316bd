"""What child processes of the platform share: they end with their parent, and their last words can be shown.

Refuses: deciding what is started; that is for whoever owns the child.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from pathlib import Path

__all__ = ["die_with_parent", "last_lines"]


def die_with_parent(order: int) -> Callable[[], None] | None:
    """For `subprocess.Popen(preexec_fn=...)`: the child gets the signal `order` when the thread that started
    it ends.

    Returns None where the kernel does not offer it (anything but Linux).
    """
    if not sys.platform.startswith("linux"):
        return None
    parent = os.getpid()
    libc = ctypes.CDLL(None, use_errno=True)

    def arrange() -> None:
        libc.prctl(1, order, 0, 0, 0)  # PR_SET_PDEATHSIG
        if os.getppid() != parent:
            os._exit(1)

    return arrange


def last_lines(path: Path, count: int = 12) -> str:
    """The last `count` lines of a log, or empty."""
    if not path.exists():
        return ""
    with path.open("rb") as log:
        log.seek(max(0, path.stat().st_size - 16_384))
        return "\n".join(log.read().decode(errors="replace").splitlines()[-count:])
