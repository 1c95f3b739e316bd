"""What waits for somebody, in SQL: a partial index holds these elements alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from wfplatform.core.record import AwaitedRecord

__all__ = ["AWAITED", "awaited_record"]

AWAITED: Final = """
select n.execution_id, e.workflow_name, n.node_id as node, n.element, n.awaits, n.reason, n.due_at
from node_execution n join execution e on e.id = n.execution_id
where n.tenant_id = %(tenant)s and n.awaits is not null and n.awaits ->> 'kind' = %(kind)s and n.state = 'waiting'
  and (%(execution)s::uuid is null or n.execution_id = %(execution)s) and e.state in ('pending', 'running', 'waiting')
order by n.execution_id, n.node_id, n.element limit 10000"""


def awaited_record(row: Mapping[str, Any]) -> AwaitedRecord:
    """A row of `AWAITED`."""
    return AwaitedRecord(**{**row, "element": tuple(row["element"])})
