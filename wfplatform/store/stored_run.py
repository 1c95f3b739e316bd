"""Rows of node_execution as the domain knows them, with the bodies of small artifacts put back into their outputs.

Refuses: large artifacts; their location stands in the outputs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import UUID

import psycopg

from wfplatform.core.execution import Element, NodeState, Run
from wfplatform.core.ports import StoredRun

__all__ = ["RUN_COLUMNS", "read_outputs", "stored_run"]

RUN_COLUMNS: Final = (
    "n.node_id, n.element, n.state, n.attempt, n.tries, n.lost, n.alone, n.upstream, n.verdict, n.sizes,"
    " n.due_at, n.error, n.reason"
)
_OUTPUTS: Final = f"""
select {RUN_COLUMNS}, n.outputs, n.tenant_id
from json_to_recordset(%s::json) as u(n text, e int[])
join node_execution n on n.execution_id = %s and n.node_id = u.n and (u.e is null or n.element = u.e)"""  # noqa: S608 - made of constants
_BODIES: Final = """
select a.digest, a.codec, a.body from unnest(%s::text[], %s::text[]) as u(digest, codec)
join artifact a on a.tenant_id = %s and a.digest = u.digest and a.codec = u.codec where a.body is not null"""


def stored_run(row: tuple[Any, ...], outputs: Mapping[str, Any] | None = None) -> StoredRun:
    """A row of `RUN_COLUMNS`."""
    node, element, state, attempt, tries, lost, alone, upstream, verdict, sizes, due_at, error, reason = row
    run = Run(NodeState(state), attempt, tries, lost, alone, upstream, verdict, sizes, due_at, error, reason)
    return StoredRun(node, tuple(element), run, outputs)


def read_outputs(
    connection: psycopg.Connection[tuple[Any, ...]], execution_id: UUID, wanted: Iterable[tuple[str, Element | None]]
) -> list[StoredRun]:
    """What is committed of some elements (None: of all of a node); small artifacts stand in their outputs as
    `body`. What is not there is left out.
    """
    asked = json.dumps([{"n": node, "e": element} for node, element in wanted])
    rows = connection.execute(_OUTPUTS, (asked, execution_id)).fetchall()
    absent = {
        (entry["digest"], entry["codec"])
        for row in rows
        for entry in (row[13] or {}).values()
        if "value" not in entry and "location" not in entry
    }
    bodies: dict[tuple[str, str], bytes] = {}
    if absent:
        digests, codecs = [digest for digest, _ in absent], [codec for _, codec in absent]
        found = connection.execute(_BODIES, (digests, codecs, rows[0][14]))
        bodies = {(digest, codec): bytes(body) for digest, codec, body in found}
    return [stored_run(row[:13], _with_bodies(row[13], bodies)) for row in rows]


def _with_bodies(
    outputs: Mapping[str, Any] | None, bodies: Mapping[tuple[str, str], bytes]
) -> Mapping[str, Any] | None:
    if outputs is None or not bodies:
        return outputs
    full = {}
    for port, entry in outputs.items():
        inline = "value" in entry or "location" in entry
        body = None if inline else bodies.get((entry["digest"], entry["codec"]))
        full[port] = entry if body is None else {**entry, "body": body}
    return full
