from __future__ import annotations

import sqlite3
import stat
import threading
from collections.abc import Generator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text

from raylift.domain.errors import EngineUnavailable
from raylift.store import Store
from raylift.store.engine.transactions import Database


@pytest.fixture
def database(tmp_path: Path) -> Generator[Database]:
    database = Database(f"sqlite:///{tmp_path}/deep/store.db")
    yield database
    database.close()


def pragma(database: Database, name: str) -> object:
    with database.read() as session:
        return session.execute(text(f"PRAGMA {name}")).scalar_one()


def test_sqlite_syncs_every_commit_and_waits_for_locks(database: Database) -> None:
    assert pragma(database, "journal_mode") == "wal"
    full = 2
    assert pragma(database, "synchronous") == full
    assert pragma(database, "foreign_keys") == 1
    assert pragma(database, "busy_timeout") == 30_000


def test_database_file_is_readable_by_its_owner_only(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE t (a)"))
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in (tmp_path / "deep").iterdir()}
    assert modes.keys() >= {"store.db", "store.db-wal", "store.db-shm"}
    assert set(modes.values()) == {0o600}


def test_writer_locks_the_database_from_its_start(database: Database, tmp_path: Path) -> None:
    with database.write() as session:
        session.execute(text("SELECT 1"))
        with closing(sqlite3.connect(tmp_path / "deep" / "store.db", timeout=0)) as other:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                other.execute("BEGIN IMMEDIATE")
            # Readers neither block nor are blocked.
            other.execute("SELECT * FROM sqlite_master").fetchall()


def test_failed_transaction_is_rolled_back(database: Database) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE t (a)"))

    def write_and_fail() -> None:
        with database.write() as session:
            session.execute(text("INSERT INTO t VALUES (1)"))
            raise KeyError

    with pytest.raises(KeyError):
        write_and_fail()
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM t")).scalar_one() == 0


def test_read_transaction_cannot_write(database: Database) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE t (a)"))
    with database.read() as session:
        session.execute(text("INSERT INTO t VALUES (1)"))
    with database.read() as session:
        assert session.execute(text("SELECT count(*) FROM t")).scalar_one() == 0


def test_writers_of_several_threads_take_turns(database: Database) -> None:
    with database.write() as session:
        session.execute(text("CREATE TABLE t (a INTEGER)"))
        session.execute(text("INSERT INTO t VALUES (0)"))

    def count() -> None:
        for _ in range(25):
            with database.write() as session:
                seen = session.execute(text("SELECT a FROM t")).scalar_one()
                session.execute(text("UPDATE t SET a = :a"), {"a": seen + 1})

    threads = [threading.Thread(target=count) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.execute(text("SELECT a FROM t")).scalar_one() == 200


def test_store_without_tables_is_unavailable(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    with pytest.raises(EngineUnavailable):
        store.jobs.get("job_1")
    store.close()


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite:///file:x?mode=memory&uri=true", "mysql://h/d"])
def test_other_databases_are_refused(url: str) -> None:
    with pytest.raises(ValueError, match="sqlite:///"):
        Database(url)


@pytest.mark.parametrize("url", ["postgresql://u@h/d", "postgresql+psycopg://u@h/d", "postgresql+psycopg2://u@h/d"])
def test_postgresql_uses_psycopg(url: str) -> None:
    database = Database(url)
    assert database.url.drivername == "postgresql+psycopg"
    database.close()
