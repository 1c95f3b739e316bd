"""Exceptions of user code as plain data, with a traceback that begins where the user's code does."""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import Any, Final

from wfplatform.authoring import call, coroutine
from wfplatform.authoring.call import exception_names
from wfplatform.errors import WfError
from wfplatform.worker.attempt import AttemptEnded

__all__ = ["describe_error"]

_MAX_TRACEBACK_CHARS: Final = 65_536
_OWN_MODULES: Final = frozenset(
    {"wfplatform.worker.part_run", "wfplatform.worker.async_loop", "wfplatform.worker.loop_run"}
)
_OWN_FILES: Final = frozenset({call.__file__, coroutine.__file__})
"""Frames of these are left out at the head of a traceback."""


def describe_error(error: BaseException, reason: str) -> dict[str, Any]:
    """An exception as plain data: type, names of its classes, message, traceback of user code, whether a retry makes sense."""
    kind = type(error)
    kinds = list(exception_names(error))
    name = kinds[0].removeprefix("builtins.")
    if isinstance(error, AttemptEnded):
        code = "timeout" if reason == "timeout" else "cancelled"
        message = {
            "timeout": "It ran longer than its timeout.",
            "cancelled": "Its execution was cancelled while it ran.",
        }[code]
        name = {"timeout": "NodeTimeout", "cancelled": "Cancelled"}[code]
    else:
        code = error.code if isinstance(error, WfError) else "user_error"
        try:
            message = str(error)
        except Exception as broken:  # noqa: BLE001 - a __str__ of the user's that raises
            message = f"(its message cannot be shown: {type(broken).__name__})"
    frames = error.__traceback__
    while frames is not None and _is_own(frames):
        frames = frames.tb_next
    text = "".join(traceback.format_exception(kind, error, frames))
    if len(text) > _MAX_TRACEBACK_CHARS:
        text = f"{text[: _MAX_TRACEBACK_CHARS // 2]}\n...\n{text[-_MAX_TRACEBACK_CHARS // 2 :]}"
    return {
        "type": name,
        "kinds": [*kinds, name] if name not in kinds else kinds,
        "message": message[:16_384],
        "traceback": text,
        "code": code,
        "retryable": code != "cancelled",
    }


def _is_own(frames: TracebackType) -> bool:
    frame = frames.tb_frame
    return frame.f_code.co_filename in _OWN_FILES or frame.f_globals.get("__name__") in _OWN_MODULES
