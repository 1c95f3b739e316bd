"""Rows as records, and the queries and cursors that pages of them are made of.

Refuses: running a query; the reader does that, as a tenant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, Final

from sqlalchemy import Integer, Select, String, cast, select
from sqlalchemy.dialects.postgresql import ARRAY

from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.record import AttemptRecord, ExecutionRecord, LogRecord, NodeExecutionRecord
from wfplatform.errors import UserError
from wfplatform.store.table import Row

__all__ = [
    "PAGE_LIMIT",
    "attempt_record",
    "bounded",
    "execution_record",
    "indices",
    "log_record",
    "node_record",
    "read_cursor",
    "read_key",
    "version_query",
    "workflow_query",
]

PAGE_LIMIT: Final = 10_000
"""No page is longer, in rows."""

_WORKFLOW: Final = Row.metadata.tables["workflow"]
_VERSION: Final = Row.metadata.tables["workflow_version"]


def bounded(limit: int) -> int:
    """The limit, if it is one.

    Raises:
        UserError: it is not between 1 and `PAGE_LIMIT`.
    """
    if not 1 <= limit <= PAGE_LIMIT:
        raise UserError("bad_limit", f"Expected a limit from 1 to {PAGE_LIMIT}, got {limit}.")
    return limit


def read_cursor[Result](text: str, read: Callable[[str], Result]) -> Result:
    """What a cursor says.

    Raises:
        UserError: `read` cannot make sense of it.
    """
    try:
        return read(text)
    except (ValueError, TypeError) as error:
        said = f"{text!r} is not what `next` of a page said."
        raise UserError("bad_cursor", said, "Begin without it.") from error


def read_key(text: str, *kinds: type) -> list[Any]:
    """The parts of a cursor that is a key of several columns.

    Raises:
        UserError: it has not one part of each of these kinds.
    """

    def read(text: str) -> list[Any]:
        found = json.loads(text)
        if not isinstance(found, list) or [type(part) for part in found] != list(kinds):
            raise ValueError(text)
        return found

    return read_cursor(text, read)


def indices(element: Any) -> Any:
    """An element as SQL has it, for comparisons.

    Raises:
        UserError: it is no list of numbers.
    """
    return cast(read_cursor(element, lambda found: [int(index) for index in found]), ARRAY(Integer))


def workflow_query() -> Select[Any]:
    """Workflows with the number of their current version."""
    names = ("id", "tenant_id", "name", "description", "created_by", "created_at", "updated_at", "is_active")
    current = _VERSION.c.id.label("version_id"), _VERSION.c.number
    joined = _WORKFLOW.outerjoin(_VERSION, _VERSION.c.id == _WORKFLOW.c.current_version_id)
    return select(*(_WORKFLOW.c[name] for name in names), *current).select_from(joined)


def version_query() -> Select[Any]:
    """Versions with the name of their workflow."""
    names = ("id", "tenant_id", "workflow_id", "number", "digest", "document", "code_digest")
    joined = _VERSION.join(_WORKFLOW, _VERSION.c.workflow_id == _WORKFLOW.c.id)
    name = cast(_WORKFLOW.c.name, String).label("name")
    return select(*(_VERSION.c[column] for column in names), name).select_from(joined)


def execution_record(row: Mapping[str, Any]) -> ExecutionRecord:
    """A row of execution."""
    values = dict(row)
    parent_id = values.pop("parent_id")
    node, element = values.pop("parent_node"), values.pop("parent_element")
    values["parent"] = (parent_id, node, tuple(element)) if parent_id else None
    values["state"] = ExecutionState(values["state"])
    values["tags"] = tuple(values["tags"])
    return ExecutionRecord(**values)


def node_record(row: Mapping[str, Any]) -> NodeExecutionRecord:
    """A row of node_execution without what only engines need."""
    values = dict(row)
    values["node"] = values.pop("node_id")
    values["element"] = tuple(values["element"])
    values["state"] = NodeState(values["state"])
    for name in ("worker", "segment", "progress_message"):
        values[name] = values[name] or ""
    return NodeExecutionRecord(**values)


def attempt_record(row: Mapping[str, Any]) -> AttemptRecord:
    """A row of attempt."""
    return AttemptRecord(
        execution_id=row["execution_id"],
        node=row["node_id"],
        element=tuple(row["element"]),
        attempt=row["attempt"],
        state=row["state"],
        worker=row["worker"] or "",
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        error=row["error"],
    )


def log_record(row: Mapping[str, Any]) -> LogRecord:
    """A row of node_log."""
    element = tuple(row["element"])
    told = row["level"], row["logger"], row["message"]
    return LogRecord(row["at"], row["node_id"], element, row["attempt"], row["line"], *told)
