"""Rows as records, and the queries and cursors that pages of them are made of.

Refuses: running a query; the reader does that, as a tenant.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from sqlalchemy import Integer, Select, String, cast, select
from sqlalchemy.dialects.postgresql import ARRAY

from wfplatform.core.execution import ExecutionState, NodeState
from wfplatform.core.hook import HookOf, Occasion
from wfplatform.core.record import AttemptRecord, ExecutionRecord, LogRecord, NodeExecutionRecord, NodeSummary
from wfplatform.errors import UserError
from wfplatform.store.table import Row

__all__ = [
    "PAGE_LIMIT",
    "SUMMARY",
    "attempt_record",
    "bounded",
    "execution_record",
    "indices",
    "log_record",
    "node_record",
    "node_summary",
    "read_cursor",
    "read_key",
    "version_query",
    "workflow_query",
]

PAGE_LIMIT: Final = 10_000
"""No page is longer, in rows."""

# In two steps: elements share their worker with many, so what has to be sorted to tell workers apart is little. The index
# by start holds an execution's elements in about the order in which they lie in the table.
SUMMARY: Final = f"""
select node_id, min(started_at), max(finished_at), sum(cpu_s), sum(cpu_s) / nullif(sum(measured), 0), max(peak_memory_bytes),
    nullif(count(distinct nullif(worker, '')), 0), sum(reused)::bigint,
    {", ".join(f"sum(elements) filter (where state = '{state}')::bigint" for state in NodeState)}
from (
    select node_id, state, worker, min(started_at) as started_at, max(finished_at) as finished_at, sum(cpu_s) as cpu_s,
        count(cpu_s) as measured, max(peak_memory_bytes) as peak_memory_bytes, count(reused_from) as reused, count(*) as elements
    from node_execution where execution_id = %s group by node_id, state, worker
) as part group by node_id order by node_id"""  # noqa: S608 - made of constants
"""Of an execution: a row a node, for `node_summary`."""

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
    values["refresh"] = tuple(values["refresh"])
    hook_of, hook_on = values.pop("hook_of"), values.pop("hook_on")
    values["hook"] = HookOf(hook_of, Occasion(hook_on)) if hook_of else None
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


def node_summary(row: Sequence[Any]) -> NodeSummary:
    """A row of `SUMMARY`."""
    node, started_at, finished_at, cpu_s, cpu_mean_s, peak_memory_bytes, workers, reused, *counts = row
    return NodeSummary(
        node=node,
        counts={state: count for state, count in zip(NodeState, counts, strict=True) if count},
        started_at=started_at,
        finished_at=finished_at,
        cpu_s=cpu_s,
        cpu_mean_s=cpu_mean_s,
        peak_memory_bytes=peak_memory_bytes,
        workers=workers,
        reused=reused,
    )


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
