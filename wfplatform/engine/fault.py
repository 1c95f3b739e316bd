"""Errors as they are recorded of a node or an execution.

What an operator can mend (`PlatformError`) is not for here: it passes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Final

from wfplatform.core.execution import Element
from wfplatform.errors import UnstorableError, WfError

__all__ = ["described", "unrecorded"]

logger = logging.getLogger(__name__)

_NAMED: Final = 5
"""So many elements are named in a sentence."""


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


def unrecorded(error: UnstorableError, elements: Sequence[tuple[str, Element]]) -> dict[str, Any]:
    """The error of an execution that fails because something of it cannot be stored.

    Args:
        error: of the store.
        elements: of what is told about nodes; empty when it is not that.
    """
    if elements:
        named = [f"{node}[{', '.join(map(str, element))}]" if element else node for node, element in elements[:_NAMED]]
        more = f" and {len(elements) - _NAMED} more" if len(elements) > _NAMED else ""
        what = f"what came of {', '.join(named)}{more}"
    else:
        what = "how the execution went on"
    found: dict[str, Any] = {
        "type": type(error).__name__,
        "code": error.code,
        "message": f"The database refuses to record {what}, so the execution cannot go on. {error}",
        "retryable": False,
    }
    if elements:
        node, element = elements[0]
        found |= {"node": node, "element": list(element)}
    return found
