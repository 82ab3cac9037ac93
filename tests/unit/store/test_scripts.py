"""The script of uploads that share a transaction."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest
from sqlalchemy import event, select
from sqlalchemy.engine import Engine

from raylift.store import Store
from raylift.store.engine.tables import ScriptRow
from raylift.store.engine.transactions import Database
from raylift.store.statements.blobs import scripts

CONTENT = b"print(1)"
SHA = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture
def database(tmp_path: Path) -> Database:
    url = f"sqlite:///{tmp_path}/store.db"
    store = Store.open(url)
    store.migrate()
    store.close()
    return Database(url)


def test_script_of_an_undone_upload_is_stored_by_the_next_one(database: Database) -> None:
    with database.write() as session:
        undone = session.begin_nested()
        scripts.keep(session, SHA, CONTENT)
        undone.rollback()
        with session.begin_nested():
            scripts.keep(session, SHA, CONTENT)
    with database.read() as session:
        assert session.scalars(select(ScriptRow.sha256)).all() == [SHA]
    database.close()


def test_existing_script_is_queried_once_in_a_transaction(database: Database) -> None:
    with database.write() as session:
        scripts.keep(session, SHA, CONTENT)
    asked: list[str] = []

    def note(_connection: object, _cursor: object, statement: str, *_: object) -> None:
        asked.append(statement)

    with database.write() as session:
        event.listen(Engine, "before_cursor_execute", note)
        for _ in range(3):
            scripts.keep(session, SHA, CONTENT)
        event.remove(Engine, "before_cursor_execute", note)
    assert len([statement for statement in asked if "FROM scripts" in statement]) == 1
    database.close()
