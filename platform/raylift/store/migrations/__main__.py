"""``python -m raylift.store.migrations "add traffic"``: write the next step from ``raylift.store.engine.tables``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from alembic import command
from alembic.script import ScriptDirectory

from raylift.store.engine.transactions import Database
from raylift.store.migrations import configuration, upgrade


def main(message: str) -> None:
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{Path(directory) / 'store.db'}")
        upgrade(database)
        with database.migrating() as connection:
            config = configuration(connection)
            number = len(list(ScriptDirectory.from_config(config).walk_revisions())) + 1
            command.revision(config, message, autogenerate=True, rev_id=f"{number:04}")
        database.close()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
