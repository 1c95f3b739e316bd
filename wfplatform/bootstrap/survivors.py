"""Processes that a killed supervisor has left behind: written down while they run, gone before others take their place.

They end by themselves as soon as they notice; one that does not (stopped, stuck) is killed. Refuses: trusting a pid. A
process is the one written down only if it was started at the same instant of the same boot.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from wfplatform.bootstrap.places import POLL_S, write_atomically

__all__ = ["end_survivors", "identity_of", "write_down"]

logger = logging.getLogger(__name__)

PATIENCE_S: Final = 5.0
"""How long they may take to end by themselves."""
KILL_PATIENCE_S: Final = 5.0


def write_down(path: Path, running: Mapping[str, int]) -> None:
    """Write down who runs.

    Args:
        path: where.
        running: name -> process id.
    """
    known = {name: {"pid": pid, "identity": identity_of(pid)} for name, pid in running.items()}
    write_atomically(path, known)


def end_survivors(path: Path, *, patience_s: float = PATIENCE_S) -> list[str]:
    """Wait until all that are written down have ended, and kill those that do not. Call it only while no supervisor can run.

    Args:
        path: where `write_down` wrote.
        patience_s: how long they may take to end by themselves.

    Returns:
        the names of those that had to be killed.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    survivors = {name: (int(one["pid"]), str(one["identity"])) for name, one in known.items() if one["identity"]}
    _await(survivors, patience_s)
    killed = sorted(survivors)
    for name, (pid, _) in survivors.items():
        logger.warning("process of a killed supervisor does not end", extra={"child": name, "pid": pid})
        try:
            # With all it has started: it leads a process group.
            os.killpg(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            continue  # It has just ended.
    _await(survivors, KILL_PATIENCE_S)
    path.unlink(missing_ok=True)
    return killed


def _await(survivors: dict[str, tuple[int, str]], patience_s: float) -> None:
    """Takes out those that have ended."""
    deadline_s = time.monotonic() + patience_s
    while True:
        for name in [name for name, (pid, identity) in survivors.items() if identity_of(pid) != identity]:
            del survivors[name]
        if not survivors or time.monotonic() > deadline_s:
            return
        time.sleep(POLL_S)


def identity_of(pid: int) -> str:
    """What tells a process from every other that ever had its number; empty when it does not run."""
    if not sys.platform.startswith("linux"):
        said = subprocess.run(
            ["ps", "-o", "stat=,lstart=", "-p", str(pid)], capture_output=True, text=True, check=False
        ).stdout.split(maxsplit=1)
        return said[1].strip() if len(said) == 2 and not said[0].startswith("Z") else ""
    try:
        # The name of the program stands in parentheses and may hold anything.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
    # One that has ended and was not yet asked for its exit code holds nothing any more.
    return "" if fields[0] in "ZX" else f"{boot} {fields[19]}"
