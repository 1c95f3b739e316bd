"""What a hook is told: which execution, what happened to it, and why.

Plain data that goes as JSON into the parameter `notice`. Refuses values of results, and tracebacks: they go to strangers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from wfplatform.core.graph import Json
from wfplatform.core.hook import Occasion

__all__ = ["NOTICE", "Failure", "Notice", "failure_told"]

NOTICE: Final = "notice"
"""The parameter by which a hook is told."""

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")
"""What no JSON in the database holds."""
_MOST: Final = 2000
"""Characters of an error's message that are told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why an execution failed.

    Args:
        type: the class of the exception.
        code: of the platform, as `timeout` or `worker_lost`; empty for an error of the user's code.
        node: the node that failed first; empty when it was none.
        element: its indices, if the node is mapped.
    """

    type: str
    message: str
    code: str = ""
    node: str = ""
    element: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """What happened to an execution.

    Args:
        occasion: `failure`, `completion`, `cancellation` or `lateness`.
        execution_id: the execution.
        workflow: the name of its workflow.
        version: the number of the workflow version.
        state: its state.
        parameters: what it was run with.
        error: why it failed; None if it did not.
        created_at: when it was asked for.
        started_at: when it was begun; None if it was not.
        finished_at: when it ended; None if it has not.
        duration_s: seconds from its begin to its end, or until now.
        created_by: who asked for it.
        tags: its tags.
        late_after_s: how long after it was asked for its workflow is late, if that is said.
        waiting_for: what it waits for, if it does.
    """

    occasion: Occasion
    execution_id: UUID
    workflow: str
    version: int
    state: str
    parameters: dict[str, Any]
    error: Failure | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    duration_s: float | None
    created_by: str = ""
    tags: tuple[str, ...] = field(default=())
    late_after_s: float | None = None
    waiting_for: str = ""

    def to_json(self) -> dict[str, Json]:
        """As the parameter of a hook."""
        values: dict[str, Any] = asdict(self)
        for name in ("created_at", "started_at", "finished_at"):
            values[name] = values[name] and values[name].isoformat()
        values["execution_id"] = str(self.execution_id)
        values["occasion"] = str(self.occasion)
        values["tags"] = list(self.tags)
        if self.error is not None:
            values["error"]["element"] = list(self.error.element)
        return values


def failure_told(error: Mapping[str, Any] | None) -> Failure | None:
    """The error of an execution as it is told."""
    if error is None:
        return None
    message = _UNSTORABLE.sub("\ufffd", str(error.get("message", "")))
    return Failure(
        type=_UNSTORABLE.sub("\ufffd", str(error.get("type", ""))),
        message=message if len(message) <= _MOST else message[: _MOST - 1] + "…",
        code=str(error.get("code", "")),
        node=str(error.get("node", "")),
        element=tuple(error.get("element") or ()),
    )
