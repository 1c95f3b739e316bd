"""What Alembic runs for each command: the steps, on the connection that `wfplatform.store.migration` hands over."""

from __future__ import annotations

from alembic import context

from wfplatform.store.table import Row

connection = context.config.attributes["connection"]
context.configure(
    connection=connection,
    target_metadata=Row.metadata,
    version_table="wf_schema_version",
    transaction_per_migration=True,
    compare_type=True,
    compare_server_default=True,
)
with context.begin_transaction():
    context.run_migrations()
