"""What this machine has and this process may use of it, and where its user keeps data."""

from __future__ import annotations

import os
from pathlib import Path

import platformdirs

__all__ = ["cpu_count", "default_home", "machine_memory_bytes"]


def default_home() -> Path:
    """Where the platform keeps its data unless told otherwise. Root gets /var/lib, since PostgreSQL cannot
    run inside /root.
    """
    if os.geteuid() == 0:
        return Path("/var/lib/wfplatform")
    return Path(platformdirs.user_data_dir("wfplatform", appauthor=False))


def cpu_count() -> int:
    """The CPUs this process may use: affinity and the container's quota count."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    words = _control_group("cpu.max").split()
    if len(words) == 2 and words[0].isdigit():
        count = min(count, -(-int(words[0]) // int(words[1])))
    return max(1, count)


def machine_memory_bytes() -> int:
    """The memory this process may use: the machine's, or less if a container says so."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = _control_group("memory.max")
    return min(total, int(limit)) if limit.isdigit() else total


def _control_group(name: str) -> str:
    try:
        return Path("/sys/fs/cgroup", name).read_text(encoding="ascii").strip()
    except OSError:
        # No control groups here, or version 1: the machine's own figures hold.
        return ""
