"""Which executions are read, as conditions of a query."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Final
from uuid import UUID

from sqlalchemy import literal

from wfplatform.core.execution import ExecutionState
from wfplatform.store.table import Row

__all__ = ["execution_filter"]

_EXECUTION: Final = Row.metadata.tables["execution"].c


def execution_filter(
    *,
    states: Collection[ExecutionState],
    workflow_name: str | None,
    tag: str | None,
    parent_id: UUID | None,
    hook_of: UUID | None,
    hooks: bool,
) -> list[Any]:
    """Conditions that all hold; the arguments are those of `Reader.executions`."""
    kept: list[Any] = []
    if states:
        kept.append(_EXECUTION.state.in_(sorted(states)))
    if workflow_name is not None:
        kept.append(_EXECUTION.workflow_name == workflow_name)
    if tag is not None:
        kept.append(literal(tag) == _EXECUTION.tags.any_())
    if parent_id is not None:
        kept.append(_EXECUTION.parent_id == parent_id)
    if hook_of is not None:
        kept += [_EXECUTION.hook_of == hook_of, _EXECUTION.parent_id.is_(None)]
    if not hooks:
        kept.append(_EXECUTION.hook_of.is_(None))
    return kept
