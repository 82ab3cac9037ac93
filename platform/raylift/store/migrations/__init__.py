"""How the tables came to be, step by step (Alembic). A released step is never edited: docs/adr/0002."""
