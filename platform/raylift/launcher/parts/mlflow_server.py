"""MLflow's tracking server, with SQLite and a directory of artifacts below the state directory."""

from __future__ import annotations

import contextlib
import importlib.metadata
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from raylift.engines.mlflow_engine.guarded_app import APP_NAME as APP_WITH_CREDENTIALS
from raylift.engines.mlflow_engine.guarded_app import SECRET_FILE_VARIABLE
from raylift.engines.mlflow_engine.server_app import APP_NAME as APP
from raylift.launcher.errors import LauncherError
from raylift.launcher.parts.confined import confined
from raylift.launcher.processes.starting import start, tail
from raylift.launcher.run.private_files import PRIVATE_UMASK, make_files_private, make_private


class MlflowFiles:
    """MLflow's files."""

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir / "mlflow"
        self.database = self.root / "mlflow.db"
        self.artifacts = self.root / "artifacts"
        self.draft = self.root / "mlflow.db.draft"
        """Copy of the database during an upgrade."""
        self.schema_of = self.root / "schema-of-version"
        self.being_made = self.root / "being-made"
        """Exists while MLflow creates the tables of a new database."""
        self.log = state_dir / "logs" / "mlflow.log"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.database}"

    def has_workspaces(self) -> bool:
        """Return True if others than the default workspace were made: MLflow then starts with workspaces only."""
        with contextlib.closing(sqlite3.connect(self.database)) as connection:
            try:
                return connection.execute("SELECT 1 FROM workspaces WHERE name != 'default' LIMIT 1").fetchone() is not None
            except sqlite3.OperationalError:
                return False  # The tables do not exist yet.

    def mark_created(self) -> None:
        """Record that all tables exist. Call it after MLflow's first answer."""
        self.being_made.unlink(missing_ok=True)


def prepare_mlflow(files: MlflowFiles, environment: Mapping[str, str]) -> None:
    """Prepare the database for this version of MLflow.

    Two processes on an empty MLflow database race (mlflow#19943), so only the server creates it. A database of another version
    is upgraded first. MLflow changes tables one by one and does not start after an interruption in between. So an incomplete
    new database is deleted, and an upgrade is made in a copy.
    """
    for directory in (files.root, files.artifacts, files.log.parent):
        make_private(directory)
    if files.being_made.exists() and not _holds_runs(files.database):
        _remove_database(files.database)
    version = importlib.metadata.version("mlflow")
    known = files.schema_of.read_text(encoding="ascii") if files.schema_of.exists() else None
    if not files.database.exists():
        files.being_made.touch()
    elif known != version:
        _upgrade(files, environment)
    with contextlib.closing(sqlite3.connect(files.database)) as connection:
        # A permanent setting: writers do not block readers, and a write costs half.
        connection.execute("PRAGMA journal_mode=WAL")
    files.schema_of.write_text(version, encoding="ascii")
    make_files_private(files.root, f"{files.database.name}*")


def start_mlflow(
    files: MlflowFiles,
    environment: Mapping[str, str],
    *,
    port: int,
    workers: int,
    protected: Sequence[Path],
    readable: Sequence[Path] = (),
    secret_file: Path | None = None,
    workspaces: bool = False,
    host: str = "127.0.0.1",
) -> subprocess.Popen[bytes]:
    """Start the server; it is restarted whenever it ends.

    It is confined to its own files, and reads none below ``protected`` for a client. ``readable``: files of the machine that it
    needs besides, such as the credentials of an artifact store. With ``secret_file``, one of its own files, it requires a
    credential. With ``workspaces``, each request is in one. ``host``: the address that it listens on.

    Raises:
        LauncherError: Raylift is not installed as its sources are.
    """
    name = APP_WITH_CREDENTIALS if secret_file else APP
    if not importlib.metadata.entry_points(group="mlflow.app", name=name):
        raise LauncherError(
            "MLflow does not find Raylift's application of its server.",
            hint="Install Raylift again: `pip install .` or `pip install -e .` in its sources.",
        )
    temp = Path(environment.get("TMPDIR", tempfile.gettempdir())) / "mlflow"
    temp.mkdir(mode=0o700, exist_ok=True)
    variables = {**environment, "TMPDIR": str(temp)}
    if secret_file is not None:
        variables[SECRET_FILE_VARIABLE] = str(secret_file)
    command = [
        *(sys.executable, "-m", "mlflow", "server"),
        *("--backend-store-uri", files.database_url),
        *("--artifacts-destination", str(files.artifacts)),
        # It opens local artifacts in that directory only (engines/mlflow_engine/server_app.py).
        *("--app-name", name),
        "--serve-artifacts",
        *(("--enable-workspaces",) if workspaces else ()),
        *("--host", host, "--port", str(port)),
        # It answers for no other names. The ingress names loopback.
        *(() if host == "127.0.0.1" else ("--allowed-hosts", f"{host}:{port},127.0.0.1:{port}")),
        *("--workers", str(workers)),
        # A log line per request would fill the disk.
        *("--uvicorn-opts", "--no-access-log"),
    ]
    return start(
        confined(command, protected=protected, read=readable, write=[files.root, temp]),
        directory=files.root,
        environment=variables,
        log=files.log,
        restarting=True,
        umask=PRIVATE_UMASK,
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
            hint="If a newer MLflow has used it, install that version.",
            log_tail=tail(files.log),
        )
    _close_log(files.draft)
    _close_log(files.database)
    files.draft.replace(files.database)


def _copy(source: Path, target: Path) -> None:
    with contextlib.closing(sqlite3.connect(source)) as read, contextlib.closing(sqlite3.connect(target)) as written:
        read.backup(written)


def _close_log(database: Path) -> None:
    """Remove the write-ahead log, which SQLite would apply to another file of the same name."""
    with contextlib.closing(sqlite3.connect(database)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _holds_runs(database: Path) -> bool:
    try:
        with contextlib.closing(sqlite3.connect(database)) as connection:
            return connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone() is not None
    except sqlite3.DatabaseError:
        return False  # The table does not exist yet.


def _remove_database(database: Path) -> None:
    for path in (database, *(database.with_name(f"{database.name}{end}") for end in ("-wal", "-shm", "-journal"))):
        path.unlink(missing_ok=True)
