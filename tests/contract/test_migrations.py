from __future__ import annotations

import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import inspect, text

from raylift.store import JobFilter, Store
from raylift.store.engine.tables import Base
from raylift.store.migrations import configuration
from tests.contract.samples import add

TABLES = set(Base.metadata.tables)

MIGRATE = """
import sys
from raylift.store import JobFilter, Store
store = Store.open(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
store.migrate()
store.jobs.list(JobFilter(), limit=1)
"""


@pytest.fixture
def empty_store(empty_database_url: str) -> Generator[Store]:
    store = Store.open(empty_database_url)
    yield store
    store.close()


@contextmanager
def alembic(store: Store) -> Generator[Config]:
    with store._database.migrating() as connection:
        yield configuration(connection)


def table_names(store: Store) -> set[str]:
    with store._database.migrating() as connection:
        return set(inspect(connection).get_table_names())


def test_migrations_make_the_tables_of_the_code(empty_store: Store) -> None:
    empty_store.migrate()
    with alembic(empty_store) as config:
        command.check(config)


def test_repeated_migration_keeps_the_data(store: Store) -> None:
    job = add(store)
    store.migrate()
    store.migrate()
    assert store.jobs.get(job.job_id) == job


def test_database_can_be_downgraded_and_upgraded(empty_store: Store) -> None:
    empty_store.migrate()
    with alembic(empty_store) as config:
        command.downgrade(config, "base")
    assert table_names(empty_store) == {"alembic_version"}
    empty_store.migrate()
    assert table_names(empty_store) == TABLES | {"alembic_version"}


def test_failed_migration_is_rolled_back(empty_store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    upgrade = command.upgrade

    def upgrade_and_fail(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise KeyError("power cut")

    monkeypatch.setattr("raylift.store.migrations.command.upgrade", upgrade_and_fail)
    with pytest.raises(KeyError):
        empty_store.migrate()
    assert table_names(empty_store) == set()
    monkeypatch.undo()
    empty_store.migrate()
    assert table_names(empty_store) > TABLES


def test_database_of_a_newer_release_is_refused(store: Store) -> None:
    with store._database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(RuntimeError, match="newer release"):
        store.migrate()


def test_two_processes_migrate_an_empty_database_at_once(empty_database_url: str, empty_store: Store) -> None:
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", MIGRATE, empty_database_url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for _ in range(3)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        process.communicate(timeout=60)
        assert process.returncode == 0
    assert empty_store.jobs.list(JobFilter(), limit=1).jobs == []
