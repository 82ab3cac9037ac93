"""MLflow's tracking server: SQLite and a directory of artifacts below the state directory, served over HTTP."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sqlite3
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from raylift.launcher.errors import LauncherError
from raylift.launcher.processes.logs import tail


class MlflowFiles:
    """Where MLflow keeps what it keeps."""

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir / "mlflow"
        self.database = self.root / "mlflow.db"
        self.artifacts = self.root / "artifacts"
        self.draft = self.root / "mlflow.db.draft"
        """The copy that an upgrade is made in."""
        self.schema_of = self.root / "schema-of-version"
        self.being_made = self.root / "being-made"
        """There while MLflow makes the tables of a new database."""
        self.log = state_dir / "logs" / "mlflow.log"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.database}"


def prepare_mlflow(files: MlflowFiles, environment: Mapping[str, str]) -> None:
    """Make the database ready for this version of MLflow.

    Two processes on an empty MLflow database race (mlflow#19943); here only the server ever opens it, so a new one is left to
    the server, and one that another version wrote is upgraded first. MLflow makes and changes tables one by one, and does not
    start on what it was killed in the middle of: a new database is begun anew then, an old one is as it was before.
    """
    files.artifacts.mkdir(parents=True, exist_ok=True)
    files.log.parent.mkdir(parents=True, exist_ok=True)
    if files.being_made.exists() and not _holds_runs(files.database):
        _remove_database(files.database)
    version = importlib.metadata.version("mlflow")
    known = files.schema_of.read_text(encoding="ascii") if files.schema_of.exists() else None
    if not files.database.exists():
        files.being_made.touch()
    elif known != version:
        _upgrade(files, environment)
    with contextlib.closing(sqlite3.connect(files.database)) as connection:
        # Kept in the file: writers no longer block readers, and a write costs half.
        connection.execute("PRAGMA journal_mode=WAL")
    files.schema_of.write_text(version, encoding="ascii")


def database_is_made(files: MlflowFiles) -> None:
    """MLflow has answered for the first time: all tables are there."""
    files.being_made.unlink(missing_ok=True)


def start_mlflow(files: MlflowFiles, environment: Mapping[str, str], *, port: int, workers: int) -> subprocess.Popen[bytes]:
    """Begin to start it; it is started again whenever it ends. The process returned ends only when it cannot be started."""
    command = [
        *(sys.executable, "-m", "raylift.launcher.parts.restart"),
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", files.database_url),
        *("--artifacts-destination", str(files.artifacts)),
        "--serve-artifacts",
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--workers", str(workers)),
        # A line for every request would fill the disk.
        *("--uvicorn-opts", "--no-access-log"),
    ]
    with files.log.open("wb") as log:
        return subprocess.Popen(
            command,
            cwd=files.root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def _upgrade(files: MlflowFiles, environment: Mapping[str, str]) -> None:
    _remove_database(files.draft)
    _copy(files.database, files.draft)
    with files.log.open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", f"sqlite:///{files.draft}"],
            cwd=files.root,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode != 0:
        raise LauncherError(
            f"MLflow's database {files.database} could not be upgraded to this version of MLflow.",
            hint="A database that a newer MLflow wrote needs that MLflow.",
            log_tail=tail(files.log),
        )
    _put_into_the_file(files.draft)
    _put_into_the_file(files.database)
    files.draft.replace(files.database)


def _copy(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as read, contextlib.closing(sqlite3.connect(target)) as written:
        read.backup(written)


def _put_into_the_file(database: Path) -> None:
    """Leave no write-ahead log beside it, which would be taken for that of another file of its name."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _holds_runs(database: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is not None
    except sqlite3.DatabaseError:
        return False  # There is no such table yet.


def _remove_database(database: Path) -> None:
    for path in (database, *(database.with_name(f"{database.name}{end}") for end in ("-wal", "-shm", "-journal"))):
        path.unlink(missing_ok=True)
