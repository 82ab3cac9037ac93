from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from raylift.store import Store

OPEN_AND_CLOSE = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM jobs'); c.close()"


def test_second_open_in_a_process_keeps_the_locks_of_the_first(tmp_path: Path) -> None:
    """Otherwise another process takes its connection for the last one, and deletes the write-ahead log that ours uses."""
    file = tmp_path / "raylift.db"
    store = Store.open(f"sqlite:///{file}")
    store.migrate()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT count(*) FROM jobs")
        store.close()
        Store.open(f"sqlite:///{file}").close()
        subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(file)], check=True)
        assert file.with_name("raylift.db-wal").exists()
