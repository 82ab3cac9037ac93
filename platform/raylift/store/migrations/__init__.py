"""Alembic migrations. A released step is never edited: docs/adr/0002."""
