from __future__ import annotations

import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from raylift.store import Store

OPEN_AND_CLOSE = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); c.execute('SELECT count(*) FROM jobs'); c.close()"


def test_opening_the_store_again_in_one_process_keeps_the_locks_of_what_is_open(tmp_path: Path) -> None:
    """Else another process believes that it closes the last connection, and takes the write-ahead log from under ours."""
    file = tmp_path / "raylift.db"
    store = Store.open(f"sqlite:///{file}")
    store.migrate()
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("SELECT count(*) FROM jobs")
        store.close()
        Store.open(f"sqlite:///{file}").close()
        subprocess.run([sys.executable, "-c", OPEN_AND_CLOSE, str(file)], check=True)
        assert file.with_name("raylift.db-wal").exists()
