"""Executions that nobody owns while they only wait, and what others are to bring them."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_ASLEEP = """
-- One that is asleep without a time is woken by a command only.
alter table execution add column is_asleep boolean not null default false, add column wake_at timestamptz;
drop index execution_unclaimed_idx;
create index execution_unclaimed_idx on execution (priority desc, id)
    where engine_id is null and not is_asleep and state in ('pending', 'running', 'waiting');
create index execution_wake_idx on execution (wake_at)
    where engine_id is null and is_asleep and state in ('pending', 'running', 'waiting');

-- What somebody told an execution before anything waited for it: [number, name, data, by] each.
alter table execution add column mailbox json;
-- For what a waiting element waits that somebody is to bring.
alter table node_execution add column awaits jsonb;
-- Not on the state: an update of what an index looks at moves the row.
create index node_execution_awaits_idx on node_execution (tenant_id, execution_id) where awaits is not null;

-- Whoever takes it, even an engine of a release that does not know of sleep, wakes it.
create function wf_wake() returns trigger language plpgsql as $$
begin
    new.is_asleep := false;
    new.wake_at := null;
    return new;
end $$;
create trigger execution_wakes before update of engine_id on execution for each row
    when (new.engine_id is not null and old.is_asleep) execute function wf_wake();
"""


def upgrade() -> None:
    """When an execution that waits is to be taken up again, and by what."""
    op.get_bind().exec_driver_sql(_ASLEEP.replace("%", "%%"))  # the driver reads % as the mark of a parameter
