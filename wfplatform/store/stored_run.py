"""Rows of node_execution and of claimed executions as the domain knows them, small artifacts put back into their outputs.

Refuses: large artifacts; their location stands in the outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import psycopg

from wfplatform.core.execution import ExecutionState, NodeState, Run, Signal
from wfplatform.core.hook import HookOf, Occasion
from wfplatform.core.ports import Claim, StoredRun, Wanted

__all__ = ["RUN_COLUMNS", "claim_of", "read_outputs", "stored_run"]

RUN_COLUMNS: Final = (
    "n.node_id, n.element, n.state, n.attempt, n.tries, n.lost, n.alone, n.upstream, n.verdict, n.sizes,"
    " n.due_at, n.error, n.reason, n.reused_from, n.awaits, n.edit"
)
_OUTPUT: Final = len(RUN_COLUMNS.split(","))
"""Where outputs stand in a row, followed by tenant and execution."""
_OUTPUTS: Final = f"""
with asked as materialized (select * from json_to_recordset(%(asked)s::json) as u(i uuid, n text, e int[]))
select {RUN_COLUMNS}, n.outputs, n.tenant_id, n.execution_id
from asked u join node_execution n on n.execution_id = u.i and n.node_id = u.n and n.element = u.e
union all
select {RUN_COLUMNS}, n.outputs, n.tenant_id, n.execution_id
from asked u join node_execution n on n.execution_id = u.i and n.node_id = u.n
where u.e is null"""  # noqa: S608 - made of constants
_BODIES: Final = """
select a.tenant_id, a.digest, a.codec, a.body from unnest(%s::uuid[], %s::text[], %s::text[]) as u(tenant_id, digest, codec)
join artifact a on a.tenant_id = u.tenant_id and a.digest = u.digest and a.codec = u.codec where a.body is not null"""


def stored_run(row: tuple[Any, ...], outputs: Mapping[str, Any] | None = None) -> StoredRun:
    """A row of `RUN_COLUMNS`, which are in the order of a `Run`."""
    node, element, state, *rest = row
    return StoredRun(node, tuple(element), Run(NodeState(state), *rest), outputs)


def claim_of(row: dict[str, Any], runs: Sequence[StoredRun]) -> Claim:
    """A row of the statement that claims."""
    parent_id, node, element = row.pop("parent_id"), row.pop("parent_node"), row.pop("parent_element")
    parent = (parent_id, node, tuple(element)) if parent_id else None
    state = ExecutionState(row.pop("state"))
    mailbox = tuple(Signal(*one) for one in row.pop("mailbox") or ())
    refresh, tags = tuple(row.pop("refresh")), tuple(row.pop("tags"))
    hook_of, hook_on = row.pop("hook_of"), row.pop("hook_on")
    hook = HookOf(hook_of, Occasion(hook_on)) if hook_of else None
    return Claim(**row, state=state, parent=parent, runs=runs, mailbox=mailbox, refresh=refresh, tags=tags, hook=hook)


type _Key = tuple[UUID, str, str]
"""Tenant, digest and codec of an artifact."""


def read_outputs(connection: psycopg.Connection[tuple[Any, ...]], wanted: Wanted) -> dict[UUID, list[StoredRun]]:
    """What is committed of some elements; small artifacts stand in their outputs as `body`. What is not there is left out."""
    asked = json.dumps(
        [{"i": str(id), "n": node, "e": element} for id, pairs in wanted.items() for node, element in pairs]
    )
    rows = connection.execute(_OUTPUTS, {"asked": asked}).fetchall()
    absent = {
        (row[_OUTPUT + 1], *key) for row in rows for entry in (row[_OUTPUT] or {}).values() for key in _absent(entry)
    }
    bodies: dict[_Key, bytes] = {}
    if absent:
        found = connection.execute(_BODIES, tuple(map(list, zip(*absent, strict=True))))
        bodies = {(tenant_id, digest, codec): bytes(body) for tenant_id, digest, codec, body in found}
    runs: dict[UUID, list[StoredRun]] = {}
    for row in rows:
        outputs = row[_OUTPUT]
        if outputs and bodies:
            outputs = {port: _with_body(row[_OUTPUT + 1], entry, bodies) for port, entry in outputs.items()}
        runs.setdefault(row[_OUTPUT + 2], []).append(stored_run(row[:_OUTPUT], outputs))
    return runs


def _absent(entry: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Digest and codec of everything in an output that is kept as an artifact in the database."""
    if entry["codec"] == "tree":
        for item in entry["items"]:
            yield from _absent(item)
    elif "value" not in entry and "location" not in entry:
        yield entry["digest"], entry["codec"]


def _with_body(tenant_id: UUID, entry: Mapping[str, Any], bodies: Mapping[_Key, bytes]) -> Mapping[str, Any]:
    if entry["codec"] == "tree":
        return {**entry, "items": [_with_body(tenant_id, item, bodies) for item in entry["items"]]}
    inline = "value" in entry or "location" in entry
    body = None if inline else bodies.get((tenant_id, entry["digest"], entry["codec"]))
    return entry if body is None else {**entry, "body": body}
