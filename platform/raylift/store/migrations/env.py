"""Run by Alembic, on the connection and in the transaction that ``raylift.store.migration`` opened."""

from __future__ import annotations

from alembic import context

from raylift.store.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    # SQLite changes a column by rebuilding its table.
    render_as_batch=True,
)
context.run_migrations()
