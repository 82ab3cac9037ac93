from __future__ import annotations

import threading
from collections.abc import Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from raylift.store.engine.group_commit import GroupCommit
from raylift.store.engine.transactions import Database


@pytest.fixture
def database(tmp_path: Path) -> Generator[Database]:
    database = Database(f"sqlite:///{tmp_path}/store.db")
    with database.write() as session:
        session.execute(text("CREATE TABLE written (name TEXT PRIMARY KEY)"))
    yield database
    database.close()


def insert(session: Session, name: str) -> str:
    session.execute(text("INSERT INTO written VALUES (:name)"), {"name": name})
    return name


def written(database: Database) -> list[str]:
    with database.read() as session:
        return list(session.scalars(text("SELECT name FROM written ORDER BY name")))


class Counted:
    """A database whose first transaction waits until all others queue behind it."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.transactions = 0
        self.may_go_on = threading.Event()
        self.has_begun = threading.Event()

    @contextmanager
    def write(self) -> Generator[Session]:
        self.transactions += 1
        with self.database.write() as session:
            self.has_begun.set()
            assert self.may_go_on.wait(30)
            yield session


def together(counted: Counted, names: list[str]) -> list[str | BaseException]:
    """Write the first transaction alone, and the others in the queue behind it."""
    group = GroupCommit(counted.write)
    with ThreadPoolExecutor(len(names)) as pool:
        futures = [pool.submit(group.run, lambda session: insert(session, names[0]))]
        assert counted.has_begun.wait(30)
        futures += [pool.submit(group.run, lambda session, name=name: insert(session, name)) for name in names[1:]]
        while len(group._waiting) < len(names) - 1:
            threading.Event().wait(0.001)
        counted.may_go_on.set()
        return [future.exception() or future.result() for future in futures]


def test_waiting_transactions_share_a_commit(database: Database) -> None:
    counted = Counted(database)
    assert together(counted, ["a", "b", "c", "d"]) == ["a", "b", "c", "d"]
    assert counted.transactions == 2
    assert written(database) == ["a", "b", "c", "d"]


def test_failed_transaction_leaves_the_others_committed(database: Database) -> None:
    outcomes = together(Counted(database), ["a", "b", "b", "c"])
    assert sum(isinstance(outcome, BaseException) for outcome in outcomes) == 1
    assert written(database) == ["a", "b", "c"]


def test_failed_commit_fails_every_transaction(database: Database) -> None:
    counted = Counted(database)
    write = counted.write

    @contextmanager
    def full_disk() -> Generator[Session]:
        with write() as session:
            yield session
            if counted.transactions > 1:
                raise OSError("no space left")

    counted.write = full_disk
    outcomes = together(counted, ["a", "b", "c"])
    assert [type(outcome) for outcome in outcomes] == [str, OSError, OSError]
    assert written(database) == ["a"]
