"""Encrypts stored values again after the keys have changed. Jobs and requests may go on meanwhile."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import JSON, Table, select, text, tuple_, type_coerce, update
from sqlalchemy.orm import Session

from raylift.store.engine.key_ring import KeyRing, key_of
from raylift.store.engine.sealed import ENVIRONMENT
from raylift.store.engine.tables import Base
from raylift.store.engine.transactions import Database
from raylift.store.engine.webhook_tables import WebhookRow

_ROWS_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class _Sealed:
    """A column with encrypted values: the whole JSON object, or the one at ``field``."""

    table: Table
    column: str
    field: str | None = None

    def values_of(self, document: dict[str, Any]) -> dict[str, str]:
        return document if self.field is None else document.get(self.field) or {}

    def with_values(self, document: dict[str, Any], values: dict[str, str]) -> dict[str, Any]:
        return values if self.field is None else {**document, self.field: values}


_TABLES: Final = Base.metadata.tables
_DEPLOYMENTS: Final = _Sealed(_TABLES["deployments"], "config", ENVIRONMENT)
_SCHEDULES: Final = _Sealed(_TABLES["schedules"], "template", ENVIRONMENT)
_SECRETS: Final = _Sealed(_TABLES["secrets"], "variables")
_WEBHOOKS: Final = _Sealed(_TABLES[WebhookRow.__tablename__], "variables")
_SEALED: Final = (_Sealed(_TABLES["jobs"], "spec", ENVIRONMENT), _DEPLOYMENTS, _SCHEDULES, _SECRETS, _WEBHOOKS)


def reseal(database: Database) -> int:
    """Encrypt every value with the first key, a few rows in one transaction. Returns the number of changed rows.

    Raises:
        SecretUnreadable: the key of a value is missing.
    """
    _wait_for_writers(database)
    return sum(_reseal(database, sealed) for sealed in _SEALED)


def keys_in_use(session: Session) -> set[str]:
    """Return ids of the keys of secrets, schedules, webhooks and deployments."""
    found: set[str] = set()
    for sealed in (_DEPLOYMENTS, _SCHEDULES, _SECRETS, _WEBHOOKS):
        documents: Iterable[Any] = session.scalars(select(type_coerce(sealed.table.c[sealed.column], JSON)))
        for document in documents:
            found |= {key_of(value) for value in sealed.values_of(document).values()}
    return found


def _wait_for_writers(database: Database) -> None:
    """Wait until each transaction has ended that may have used an older key."""
    with database.write() as session:
        if not database.is_sqlite:  # SQLite has one writer at a time, and this transaction was its turn.
            session.execute(text("LOCK TABLE jobs, deployments, schedules, secrets, webhooks IN SHARE MODE"))


def _reseal(database: Database, sealed: _Sealed) -> int:
    count, after = 0, None
    while True:
        with database.write() as session:
            rows = _rows(session, sealed, after)
            count += sum(_reseal_row(session, sealed, key, document, database.keys) for *key, document in rows)
        if len(rows) < _ROWS_AT_ONCE:
            return count
        after = tuple(rows[-1][:-1])


def _rows(session: Session, sealed: _Sealed, after: tuple[Any, ...] | None) -> list[tuple[Any, ...]]:
    """Return the next rows: their primary key and the document as stored."""
    primary = list(sealed.table.primary_key.columns)
    query = select(*primary, type_coerce(sealed.table.c[sealed.column], JSON)).order_by(*primary).limit(_ROWS_AT_ONCE)
    if after is not None:
        query = query.where(tuple_(*primary) > tuple_(*after))
    return [tuple(row) for row in session.execute(query.with_for_update())]


def _reseal_row(session: Session, sealed: _Sealed, key: list[Any], document: dict[str, Any], keys: KeyRing) -> bool:
    values, first = sealed.values_of(document), keys.ids[:1]
    if all((key_of(value),) == first for value in values.values()):
        return False
    again = sealed.with_values(document, {name: keys.seal(keys.open(value)) for name, value in values.items()})
    matching = [column == part for column, part in zip(sealed.table.primary_key.columns, key, strict=True)]
    session.execute(update(sealed.table).where(*matching).values({sealed.column: type_coerce(again, JSON)}))
    return True
