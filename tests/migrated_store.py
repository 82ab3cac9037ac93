"""Stores of SQLite with all tables. The migrations run once a process, into a template that each test copies."""

from __future__ import annotations

import shutil
import tempfile
from functools import cache
from pathlib import Path

from raylift.store import Store


def open_migrated(path: Path) -> Store:
    """Make a database at the path, and open it."""
    path.write_bytes(_template())
    return Store.open(f"sqlite:///{path}")


@cache
def _template() -> bytes:
    directory = Path(tempfile.mkdtemp(prefix="raylift-store-"))
    try:
        store = Store.open(f"sqlite:///{directory}/store.db")
        store.migrate()
        store.close()
        return (directory / "store.db").read_bytes()
    finally:
        shutil.rmtree(directory)
