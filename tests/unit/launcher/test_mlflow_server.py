"""Preparation of MLflow's database. MLflow does not start on an incomplete one."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from raylift.launcher.errors import LauncherError
from raylift.launcher.parts import mlflow_server
from raylift.launcher.parts.mlflow_server import MlflowFiles, prepare_mlflow
from raylift.launcher.processes.starting import start
from raylift.launcher.run.private_files import PRIVATE_UMASK


@pytest.fixture
def files(tmp_path: Path) -> MlflowFiles:
    return MlflowFiles(tmp_path)


def execute(database: Path, statement: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(database, isolation_level=None)) as connection:
        return connection.execute(statement).fetchall()


def tables(database: Path) -> list[tuple[object, ...]]:
    return execute(database, "SELECT name FROM sqlite_master")


def test_incomplete_database_is_made_anew(files: MlflowFiles) -> None:
    """MLflow was killed while it made its tables, and would not start on them again."""
    prepare_mlflow(files, {})
    execute(files.database, "CREATE TABLE experiments (id)")
    prepare_mlflow(files, {})
    assert tables(files.database) == []


@pytest.mark.parametrize("said_so", [True, False])
def test_database_with_runs_is_kept(files: MlflowFiles, said_so: bool) -> None:
    prepare_mlflow(files, {})
    execute(files.database, "CREATE TABLE runs (id)")
    execute(files.database, "INSERT INTO runs VALUES (1)")
    if said_so:
        files.mark_created()
    prepare_mlflow(files, {})
    assert execute(files.database, "SELECT id FROM runs") == [(1,)]


def test_server_keeps_workspaces_once_there_are_others(files: MlflowFiles) -> None:
    prepare_mlflow(files, {})
    assert not files.has_workspaces()
    execute(files.database, "CREATE TABLE workspaces (name)")
    execute(files.database, "INSERT INTO workspaces VALUES ('default')")
    assert not files.has_workspaces()
    execute(files.database, "INSERT INTO workspaces VALUES ('red')")
    assert files.has_workspaces()


def test_interrupted_upgrade_changes_nothing(files: MlflowFiles, monkeypatch: pytest.MonkeyPatch) -> None:
    prepare_mlflow(files, {})
    execute(files.database, "CREATE TABLE runs (id)")
    files.mark_created()
    files.schema_of.write_text("1.0", encoding="ascii")
    returncode = 1

    def half_an_upgrade(command: Sequence[str], **_: object) -> subprocess.CompletedProcess[bytes]:
        execute(Path(command[-1].removeprefix("sqlite:///")), "CREATE TABLE of_the_new_version (id)")
        return subprocess.CompletedProcess(command, returncode)

    monkeypatch.setattr(mlflow_server.subprocess, "run", half_an_upgrade)
    with pytest.raises(LauncherError, match="could not be upgraded"):
        prepare_mlflow(files, {})
    assert tables(files.database) == [("runs",)]
    returncode = 0
    prepare_mlflow(files, {})
    assert tables(files.database) == [("runs",), ("of_the_new_version",)]
    assert not files.draft.exists()


def test_files_are_closed_for_others(files: MlflowFiles) -> None:
    """Also those of a directory that an earlier version made."""
    files.artifacts.mkdir(parents=True)
    files.database.touch()
    files.root.chmod(0o755)
    prepare_mlflow(files, {})
    modes = [path.stat().st_mode & 0o777 for path in (files.root, files.artifacts, files.log.parent, files.database)]
    assert modes == [0o700, 0o700, 0o700, 0o600]
    script = "import sys; open(sys.argv[1], 'w').close()"
    made = files.root / "made"
    command = [sys.executable, "-c", script, str(made)]
    assert start(command, directory=files.root, environment={}, log=files.log, umask=PRIVATE_UMASK).wait() == 0
    assert made.stat().st_mode & 0o777 == 0o600
