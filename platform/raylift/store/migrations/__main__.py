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
            steps = list(ScriptDirectory.from_config(config).walk_revisions())
            beside_the_last = Path(steps[0].path).parent
            number = f"{len(steps) + 1:04}"
            command.revision(config, message, autogenerate=True, rev_id=number, version_path=str(beside_the_last))
        database.close()


if __name__ == "__main__":
    main(" ".join(sys.argv[1:]))
