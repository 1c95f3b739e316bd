"""What killed processes left in folders of temporary things, here and in storages that fsspec reaches, removed by its age.

Refuses: guessing. What is younger than asked for, or of unknown age, stays; whoever made it may be about to finish it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Final

__all__ = ["SAFE_AGE_S", "sweep_folder", "sweep_remote"]

SAFE_AGE_S: Final = 86_400.0
"""Nobody writes on one file for so long without a pause."""

_CHANGED: Final = ("mtime", "modified", "LastModified", "last_modified", "updated", "last_write_time", "created")
"""What file systems call the time of the last change."""

logger = logging.getLogger(__name__)


def sweep_folder(folder: Path, older_than_s: float) -> int:
    """Remove old files from a folder of this machine.

    Args:
        folder: one that need not be there.
        older_than_s: younger ones stay.

    Returns:
        how many were removed.
    """
    found = ((path, _modified_s) for path in (folder.iterdir() if folder.is_dir() else ()))
    return _sweep(str(folder), found, Path.unlink, older_than_s)


def sweep_remote(files: Any, folder: str, older_than_s: float) -> int:
    """Remove old files from a folder of another storage.

    Args:
        files: the fsspec file system.
        folder: as that file system calls it; it need not be there.
        older_than_s: younger ones stay.

    Returns:
        how many were removed.
    """
    files.invalidate_cache()
    try:
        listed = files.ls(folder, detail=True)
    except FileNotFoundError:
        return 0
    found = ((entry["name"], _told_s(files, entry)) for entry in listed if entry["type"] == "file")
    return _sweep(folder, found, files.rm_file, older_than_s)


def _sweep[Name](
    folder: str,
    found: Iterable[tuple[Name, Callable[[Name], float]]],
    remove: Callable[[Name], None],
    older_than_s: float,
) -> int:
    removed = 0
    stayed: list[Exception] = []
    # Both are the clock of the machine that keeps the files, or close to it.
    before_s = time.time() - older_than_s
    for name, changed_s in found:
        try:
            if changed_s(name) < before_s:
                remove(name)
                removed += 1
        except FileNotFoundError:  # its writer was quicker
            continue
        # It is somebody else's, or (fsspec's own answer) this storage cannot tell or remove; the others can go all the same.
        except (OSError, NotImplementedError) as error:
            stayed.append(error)
    if stayed:
        extra = {"folder": folder, "count": len(stayed), "reason": str(stayed[0])}
        logger.warning("temporary files not removed", extra=extra)
    return removed


def _modified_s(path: Path) -> float:
    return path.stat().st_mtime


def _told_s(files: Any, entry: Mapping[str, Any]) -> Callable[[str], float]:
    """When a file was changed: as its listing says, else as the file system says when it is asked for."""

    def changed_s(name: str) -> float:
        for key in _CHANGED:
            if (known := _instant_s(entry.get(key))) is not None:
                return known
        known = _instant_s(files.modified(name))
        if known is None:
            raise OSError("its age is not known")
        return known

    return changed_s


def _instant_s(told: Any) -> float | None:
    if isinstance(told, datetime):
        # Without a zone it may be half a day off.
        return told.timestamp() if told.tzinfo is not None else None
    return float(told) if isinstance(told, int | float) else None
