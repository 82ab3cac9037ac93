"""Alembic's environment. Runs in the transaction that ``raylift.store.migrations`` opened."""

from __future__ import annotations

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Column, Text
from sqlalchemy.types import TypeEngine

from raylift.store.engine import access_tables as _access_tables  # noqa: F401  # pyright: ignore[reportUnusedImport] - it adds its tables to Base
from raylift.store.engine import monitor_tables as _monitor_tables  # noqa: F401  # pyright: ignore[reportUnusedImport] - likewise
from raylift.store.engine import series_tables as _series_tables  # noqa: F401  # pyright: ignore[reportUnusedImport] - likewise
from raylift.store.engine.columns import Key
from raylift.store.engine.tables import Base


def differs(
    migration: MigrationContext,
    _column: object,
    _metadata_column: Column[object],
    found: TypeEngine[object],
    ours: TypeEngine[object],
) -> bool | None:
    """Return True where a column's type differs from its table; None leaves the decision to Alembic."""
    if not isinstance(ours, Key):
        return None
    # Alembic compares only the types' classes, so it ignores the collation of Key.
    return not isinstance(found, Text) or found.collation != ours.collation_on(migration.dialect)


context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    compare_type=differs,
    # SQLite changes a column by rebuilding its table.
    render_as_batch=True,
)
context.run_migrations()
