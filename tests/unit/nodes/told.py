"""A notice as a hook gets it, and the ready-made hooks run here on it."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from wfplatform import Notice, node, workflow
from wfplatform.authoring.hook import ReadyHook
from wfplatform.core.hook import Occasion
from wfplatform.core.notice import Failure

__all__ = ["ID", "NOTICE", "told"]

ID = UUID("01890000-0000-7000-8000-000000000001")
_AT = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NOTICE = Notice(
    occasion=Occasion.FAILURE,
    execution_id=ID,
    workflow="flights",
    version=4,
    state="failed",
    parameters={"year": 2013},
    error=Failure(type="ValueError", message="no such year", node="load"),
    created_at=_AT,
    started_at=_AT,
    finished_at=_AT + timedelta(seconds=90),
    duration_s=90.0,
    created_by="ann",
    tags=("daily",),
)


@node
def _nothing() -> None:
    return None


def told(hook: ReadyHook, notice: Notice = NOTICE, **changes: Any) -> Any:
    """What a hook returns when it is told."""

    @workflow(name="flights", on_failure=hook)
    def flights() -> Any:
        return _nothing()

    (teller,) = flights.hooks
    return teller.workflow.local(notice=replace(notice, **changes).to_json())
