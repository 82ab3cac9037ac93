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
from raylift.launcher.logs import tail


class MlflowFiles:
    """Where MLflow keeps what it keeps."""

    def __init__(self, state_dir: Path) -> None:
        self.root = state_dir / "mlflow"
        self.database = self.root / "mlflow.db"
        self.artifacts = self.root / "artifacts"
        self.schema_of = self.root / "schema-of-version"
        self.log = state_dir / "logs" / "mlflow.log"

    @property
    def database_url(self) -> str:
        return f"sqlite:///{self.database}"


def prepare_mlflow(files: MlflowFiles, environment: Mapping[str, str]) -> None:
    """Make the database ready for this version of MLflow.

    Two processes on an empty MLflow database race (mlflow#19943); here only the server ever opens it, so a new one is left to
    the server, and one that another version wrote is upgraded first.
    """
    files.artifacts.mkdir(parents=True, exist_ok=True)
    files.log.parent.mkdir(parents=True, exist_ok=True)
    version = importlib.metadata.version("mlflow")
    known = files.schema_of.read_text(encoding="ascii") if files.schema_of.exists() else None
    if files.database.exists() and known != version:
        _upgrade(files, environment)
    with contextlib.closing(sqlite3.connect(files.database)) as connection:
        # Kept in the file: writers no longer block readers, and a write costs half.
        connection.execute("PRAGMA journal_mode=WAL")
    files.schema_of.write_text(version, encoding="ascii")


def start_mlflow(files: MlflowFiles, environment: Mapping[str, str], *, port: int, workers: int) -> subprocess.Popen[bytes]:
    """Begin to start it; it is started again whenever it ends. The process returned ends only when it cannot be started."""
    command = [
        *(sys.executable, "-m", "raylift.launcher.restarting"),
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
    with files.log.open("wb") as log:
        done = subprocess.run(
            [sys.executable, "-m", "mlflow", "db", "upgrade", files.database_url],
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
