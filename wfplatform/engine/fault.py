"""Errors as they are recorded of a node or an execution.

What an operator can mend (`PlatformError`) is not for here: it passes.
"""

from __future__ import annotations

import logging
from typing import Any

from wfplatform.errors import WfError

__all__ = ["described"]

logger = logging.getLogger(__name__)


def described(error: BaseException, doing: str = "") -> dict[str, Any]:
    """An error as it is recorded of a node or an execution.

    Args:
        error: of the platform, with a code and a sentence of its own; or any other, which nobody has foreseen.
        doing: what the engine could not do, for the sentence about one that nobody has foreseen.
    """
    if isinstance(error, WfError):
        return {"type": type(error).__name__, "code": error.code, "message": str(error), "retryable": False}
    logger.error("unforeseen error", exc_info=error, extra={"doing": doing})
    kind = type(error).__name__
    return {
        "type": kind,
        "code": "engine_error",
        "message": f"The engine could not {doing or 'go on'}: {kind}: {error}. Its log has the traceback.",
        "retryable": False,
    }
