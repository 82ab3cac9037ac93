"""Backup and restore of a store in PostgreSQL."""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from raylift.launcher.backup.create import write_backup
from raylift.launcher.backup.restore import restore_backup
from raylift.launcher.errors import LauncherError
from raylift.launcher.startup import DATABASE_VARIABLE
from raylift.store import KeyRing, Store
from raylift.store.engine.key_ring import make_key_file
from tests.contract.samples import add
from tests.postgres_server import PostgresServer

pytestmark = [
    pytest.mark.postgres,
    pytest.mark.skipif(shutil.which("pg_dump") is None, reason="needs PostgreSQL's client programs"),
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state" / "mlflow").mkdir(parents=True)
    make_key_file(tmp_path / "state" / "secrets-key")
    with closing(sqlite3.connect(tmp_path / "state" / "mlflow" / "mlflow.db")) as database:
        database.execute("CREATE TABLE runs (id TEXT)")
    return tmp_path / "state"


def test_postgresql_is_dumped_and_restored(
    postgres: PostgresServer, migrated_template: str, state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file, target = tmp_path / "b.tar.gz", tmp_path / "new"
    with postgres.database(migrated_template) as first, postgres.database() as second:
        with closing(Store.open(postgres.url(first), KeyRing(state / "secrets-key"))) as store:
            job = add(store, environment={"TOKEN": "hunter2"})
        monkeypatch.setenv(DATABASE_VARIABLE, postgres.url(first))
        assert write_backup(state, file, with_keys=True).store == "postgresql"
        monkeypatch.delenv(DATABASE_VARIABLE)
        with pytest.raises(LauncherError, match="store is of PostgreSQL"):
            restore_backup(file, target)
        monkeypatch.setenv(DATABASE_VARIABLE, postgres.url(second))
        restore_backup(file, target)
        assert not (target / "raylift.dump").exists()
        with closing(Store.open(postgres.url(second), KeyRing(target / "secrets-key"))) as store:
            store.migrate()
            assert store.jobs.get(job.job_id) == job


def test_unreachable_server_is_named(state: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(DATABASE_VARIABLE, "postgresql://user:hunter2@127.0.0.1:1/none")
    with pytest.raises(LauncherError, match="pg_dump failed") as raised:
        write_backup(state, tmp_path / "b.tar.gz")
    assert "hunter2" not in str(raised.value)
    assert not list(tmp_path.glob("*b.tar.gz*"))
