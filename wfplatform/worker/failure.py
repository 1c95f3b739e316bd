"""Exceptions of user code as plain data, with a traceback that begins where the user's code does."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable
from typing import Any, Final

from wfplatform.authoring.call import exception_names, message_of
from wfplatform.authoring.context import NodeStopped
from wfplatform.errors import ExecutionCancelledError, WfError
from wfplatform.worker.attempt import Attempt
from wfplatform.worker.trail import format_error

__all__ = ["describe_error"]

_STOPPED: Final = (NodeStopped, ExecutionCancelledError, CancelledError)
"""How a node ends that was told to stop."""


def describe_error(
    error: BaseException, attempt: Attempt | None = None, users_file: Callable[[str], str] = str
) -> dict[str, Any]:
    """An exception as plain data: type, names of its classes, message, traceback of user code, whether a retry makes sense.

    Args:
        error: what was raised.
        attempt: in which, which says why it was ended if it was; None: before any.
        users_file: the name of a file in this process -> its name where the user wrote it.
    """
    kinds = list(exception_names(error))
    name = kinds[0].removeprefix("builtins.")
    last_line = None
    if attempt is not None and attempt.reason and isinstance(error, _STOPPED):
        code = "timeout" if attempt.reason == "timeout" else "cancelled"
        message = f"{attempt.end}."
        name = {"timeout": "NodeTimeout", "cancelled": "Cancelled"}[code]
        last_line = f"{name}: {message}"
    else:
        code = error.code if isinstance(error, WfError) else "user_error"
        message = message_of(error)
    return {
        "type": name,
        "kinds": [*kinds, name] if name not in kinds else kinds,
        "message": message[:16_384],
        "traceback": format_error(error, users_file, last_line=last_line),
        "code": code,
        "retryable": code != "cancelled",
    }
