"""Dead letters: what failed for good, until somebody discards it; and inputs that somebody replaced."""

from __future__ import annotations

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

_DEAD_LETTERS = """
-- Since when an element has failed for good, and by itself; empty again when it goes on, or is discarded.
alter table node_execution add column dead_at timestamptz;
-- Who discarded it, when and why, and what somebody replaced among its inputs.
alter table node_execution add column discarded jsonb, add column edit json;
create index node_execution_dead_idx on node_execution (tenant_id, dead_at desc, execution_id, node_id, element)
    where dead_at is not null;
-- That somebody has seen to a dead letter changes nothing of its execution, so that no engine is asked.
grant update (dead_at, discarded) on node_execution to wf_runtime;
"""


def upgrade() -> None:
    """When what failed for good did so, what became of it, and what of its inputs was replaced."""
    op.get_bind().exec_driver_sql(_DEAD_LETTERS.replace("%", "%%"))  # the driver reads % as the mark of a parameter
