"""Tracebacks as a user knows the code: they begin in it, and name its files as they lie where it was written.

Refuses frames of the runner's own: what leads to a user's function, and what stands between two of them.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import importlib
import os
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Final

import wfplatform
from wfplatform.errors import WfError

__all__ = ["MAX_TRAIL_CHARS", "format_error"]

MAX_TRAIL_CHARS: Final = 65_536

_OWN: Final = str(Path(wfplatform.__file__).parent) + os.sep
_EXAMPLES: Final = _OWN + "examples" + os.sep
"""Written as users write."""
_IMPORTING: Final = "<frozen importlib"
_LEADING: Final = (
    str(Path(asyncio.__file__).parent) + os.sep,
    str(Path(concurrent.futures.__file__).parent) + os.sep,
    str(Path(importlib.__file__).parent) + os.sep,
    threading.__file__,
    _IMPORTING,
)
"""The standard library's part in awaiting and importing what users write."""
_BETWEEN: Final = (
    *(str(Path(_OWN, "authoring", name)) for name in ("node.py", "call.py")),
    *(str(Path(_OWN, "worker", name)) for name in ("project.py", "program.py")),
    _IMPORTING,
)
"""What stands between two functions of the user's where a node calls a node, or a module imports a module."""


def format_error(error: BaseException, users_file: Callable[[str], str] = str, *, last_line: str | None = None) -> str:
    """An exception with its causes, as Python would print it.

    Args:
        error: what was raised.
        users_file: the name of a file in this process -> its name where the user wrote it.
        last_line: instead of the line that names the exception.

    Returns:
        text; of a long one the middle is left out. Errors that the platform raised by itself have no frames: their
        message says what is wrong.
    """
    found = traceback.TracebackException(type(error), error, error.__traceback__, compact=True)
    _tidy(found, isinstance(error, WfError) or last_line is not None, users_file)
    if last_line is None:
        text = "".join(found.format())
    else:
        head = ["Traceback (most recent call last):\n", *found.stack.format()] if found.stack else []
        text = "".join([*head, last_line, "\n"])
    if len(text) > MAX_TRAIL_CHARS:
        text = f"{text[: MAX_TRAIL_CHARS // 2]}\n...\n{text[-MAX_TRAIL_CHARS // 2 :]}"
    return text


def _tidy(found: traceback.TracebackException, is_plain: bool, users_file: Callable[[str], str]) -> None:
    """Do it for an exception and for all that it names."""
    left = [(found, is_plain)]
    while left:
        one, is_plain = left.pop()
        frames = list(one.stack)
        first = next((number for number, frame in enumerate(frames) if not _leads(frame.filename)), None)
        if first is not None:
            frames = [frame for frame in frames[first:] if not frame.filename.startswith(_BETWEEN)]
        elif is_plain:
            frames = []
        # else a fault of the platform: who looks for it needs all of them
        for frame in frames:
            _ = frame.line  # read before its file gets another name
            frame.filename = users_file(frame.filename)
        one.stack[:] = frames
        if not frames:
            one.stack = None  # type: ignore[assignment]  # else Python 3.12 would print the head of a traceback without frames
        if isinstance(getattr(one, "filename", None), str):  # of a SyntaxError
            one.filename = users_file(str(one.filename))
        left += [
            (other, True) for other in (one.__cause__, one.__context__, *(one.exceptions or ())) if other is not None
        ]


def _leads(file: str) -> bool:
    return file.startswith(_LEADING) or (file.startswith(_OWN) and not file.startswith(_EXAMPLES))
