"""Fixtures for the store on SQLite and on PostgreSQL. PostgreSQL is a real server from the machine's binaries."""

from __future__ import annotations

from collections.abc import Callable, Generator
from pathlib import Path

import pytest

from raylift.domain.lease import Lease
from raylift.store import KeyRing, Store
from tests.contract.samples import NOW
from tests.migrated_store import open_migrated
from tests.postgres_server import PostgresServer, running_postgres

BOTH = [pytest.param("sqlite"), pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(scope="session")
def postgres() -> Generator[PostgresServer]:
    with running_postgres() as server:
        yield server


@pytest.fixture(scope="session")
def migrated_template(postgres: PostgresServer) -> Generator[str]:
    with postgres.database() as name:
        store = Store.open(postgres.url(name))
        store.migrate()
        store.close()
        yield name


@pytest.fixture(params=BOTH)
def empty_database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The address of an empty database without tables."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/store.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database() as name:
        yield server.url(name)


@pytest.fixture(params=BOTH)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Generator[str]:
    """The address of an empty database with all tables."""
    if request.param == "sqlite":
        open_migrated(tmp_path / "store.db").close()
        yield f"sqlite:///{tmp_path}/store.db"
        return
    server: PostgresServer = request.getfixturevalue("postgres")
    with server.database(request.getfixturevalue("migrated_template")) as name:
        yield server.url(name)


@pytest.fixture
def keys(tmp_path: Path) -> KeyRing:
    return KeyRing(tmp_path / "keys", made_on_demand=True)


@pytest.fixture
def open_store(database_url: str, keys: KeyRing) -> Generator[Callable[[], Store]]:
    """Open the same database again, as another process would."""
    opened: list[Store] = []

    def open_another() -> Store:
        opened.append(Store.open(database_url, keys))
        return opened[-1]

    yield open_another
    for store in opened:
        store.close()


@pytest.fixture
def store(open_store: Callable[[], Store]) -> Store:
    return open_store()


@pytest.fixture
def lease(store: Store) -> Lease:
    lease = store.leases.acquire("supervisor", "first", now=NOW, seconds=15)
    assert lease is not None
    return lease
