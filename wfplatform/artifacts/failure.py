"""Failures of storage as sentences: what was tried, where, why it failed and what to do.

Refuses to guess: an unknown failure is told in the words of the operating system or the object store.
"""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from wfplatform.errors import StorageError, WfError

__all__ = ["failing", "missing", "storage_error"]

_FULL: Final = {
    errno.ENOSPC: "there is no space left",
    errno.EDQUOT: "the disk quota is used up",
    errno.EFBIG: "the file would be larger than is allowed here",
}
_CLOSED: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


def storage_error(action: str, place: object, error: BaseException) -> StorageError:
    """The error that tells of a failure.

    Args:
        action: a verb and its object, as in "write an artifact".
        place: path or URL, None = not known yet.
        error: what the system raised.
    """
    where = f" at {place}" if place is not None else ""
    number = getattr(error, "errno", None)
    facts = {"place": str(place), "reason": f"{type(error).__name__}: {error}"}
    if number in _FULL:
        reason = _FULL[number]
        return StorageError(
            "storage_full",
            f"Could not {action}{where}: {reason}.",
            "Free some space there or point the artifact storage elsewhere; nothing half-written was left.",
            **facts,
        )
    if number in _CLOSED:
        return StorageError(
            "storage_closed",
            f"Could not {action}{where}: this process may not ({error}).",
            "Give the user that runs this process the right to read and write the artifact storage.",
            **facts,
        )
    return StorageError(
        "storage_failed",
        f"Could not {action}{where}: {type(error).__name__}: {error}.",
        "See that the artifact storage can be reached from this machine.",
        **facts,
    )


def missing(place: object) -> StorageError:
    """The error that says that nothing is stored there."""
    return StorageError(
        "artifact_missing",
        f"Nothing is stored at {place}.",
        "It was removed, or this process looks at another storage than the one that wrote it.",
        place=str(place),
    )


@contextmanager
def failing(action: str, place: object, *, clean: Callable[[], None] | None = None) -> Iterator[None]:
    """Turn what the system raises inside into a StorageError.

    Args:
        action: as in `storage_error`.
        place: as in `storage_error`.
        clean: called before the error goes on.
    """
    try:
        yield
    except WfError:
        if clean is not None:
            clean()
        raise
    # Object stores raise errors of their own making, of any class.
    except Exception as error:
        if clean is not None:
            clean()
        if isinstance(error, FileNotFoundError) and action.startswith("read"):
            raise missing(place) from error
        raise storage_error(action, place, error) from error
