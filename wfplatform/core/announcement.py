"""What is announced when something changed: the channels, and what is said on them.

Announcements are hints: who hears one looks at the records. Refuses to carry anything that is not recorded.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final
from uuid import UUID

from wfplatform.core.execution import ExecutionState

__all__ = ["ENGINE_CHANNEL", "EXECUTION_CHANNEL", "announcements", "ended_in"]

ENGINE_CHANNEL: Final = "wfp_engine"
"""For engines: something waits for them."""
EXECUTION_CHANNEL: Final = "wfp_execution"
"""For who watches: executions changed."""

_AT_ONCE: Final = 200
"""Executions in one announcement; PostgreSQL takes at most 8,000 bytes."""


def announcements(changed: Iterable[tuple[UUID, ExecutionState]]) -> Iterator[str]:
    """What to say of executions that changed: a state, and the executions that are in it now."""
    by_state: dict[ExecutionState, list[str]] = {}
    for execution, state in changed:
        by_state.setdefault(state, []).append(execution.hex)
    for state, executions in by_state.items():
        for start in range(0, len(executions), _AT_ONCE):
            yield " ".join([state, *executions[start : start + _AT_ONCE]])


def ended_in(announcement: str) -> frozenset[UUID] | None:
    """The executions that ended, according to an announcement; None if it is empty: any may have."""
    if not announcement:
        return None
    state, *executions = announcement.split(" ")
    return frozenset(map(UUID, executions)) if ExecutionState(state).final else frozenset()
