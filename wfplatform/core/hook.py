"""Hooks: which executions are started because another one failed, completed, was cancelled or is late.

Plain data. Refuses to know how they are started.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple
from uuid import UUID

from wfplatform.core.execution import ExecutionState

__all__ = ["Hook", "HookOf", "Occasion", "occasion_of"]


class Occasion(StrEnum):
    """Why a hook is started."""

    FAILURE = "failure"
    COMPLETION = "completion"
    CANCELLATION = "cancellation"
    LATENESS = "lateness"


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A workflow that is run on an occasion.

    Args:
        workflow: its name.
        version: the digest of the version that is run, 64 hexadecimal digits.
    """

    on: Occasion
    workflow: str
    version: str


class HookOf(NamedTuple):
    """What an execution was started to tell of. The children of a hook say the same of themselves.

    Args:
        execution: the one it tells of.
        on: what happened to that.
    """

    execution: UUID
    on: Occasion


_ENDS: Final = {
    ExecutionState.FAILED: Occasion.FAILURE,
    ExecutionState.COMPLETED: Occasion.COMPLETION,
    ExecutionState.CANCELLED: Occasion.CANCELLATION,
}


def occasion_of(state: ExecutionState) -> Occasion | None:
    """What an end in this state is told as; None for a state that is no end."""
    return _ENDS.get(state)
