"""Preparation of MLflow's database. MLflow does not start on an incomplete one."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pytest

from raylift.launcher.errors import LauncherError
from raylift.launcher.parts import mlflow_server
from raylift.launcher.parts.mlflow_server import MlflowFiles, prepare_mlflow


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
