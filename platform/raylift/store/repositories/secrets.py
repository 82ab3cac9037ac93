"""Secrets, by workspace. Their values leave the store only for an attempt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from raylift.domain.errors import SecretNotFound
from raylift.domain.security.secret import Secret, SecretValues
from raylift.store.engine.tables import SecretRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.resealing import keys_in_use, reseal


class SecretRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, workspace: str, name: str, variables: Mapping[str, str], *, by: str, now: datetime) -> tuple[Secret, bool]:
        """Store a secret, or replace all variables of an existing one. Returns it, and True where it is new.

        Raises:
            SecretUnreadable: the platform has no key.
        """
        row = SecretRow
        values = {"variables": dict(variables), "updated_at": now, "updated_by": by}
        new = {"workspace": workspace, "name": name, "created_at": now, **values}
        with self._database.write() as session:
            known = session.scalar(select(row.name).where(row.workspace == workspace, row.name == name)) is not None
            upsert = (
                insert_into(session, row).values(new).on_conflict_do_update(index_elements=["workspace", "name"], set_=values)
            )
            session.execute(upsert)
            return _record(_get(session, workspace, name)), not known

    def get(self, workspace: str, name: str) -> Secret:
        """Return a secret without its values. Raises SecretNotFound."""
        with self._database.read() as session:
            return _record(_get(session, workspace, name))

    def list(self, workspace: str) -> list[Secret]:
        """Return the secrets of a workspace without their values, by name."""
        with self._database.read() as session:
            query = select(SecretRow).where(SecretRow.workspace == workspace).order_by(SecretRow.name)
            return [_record(row) for row in session.scalars(query)]

    def missing(self, workspace: str, names: Collection[str]) -> list[str]:
        """Return those of ``names`` that are no secrets of the workspace, sorted."""
        if not names:
            return []
        with self._database.read() as session:
            query = select(SecretRow.name).where(SecretRow.workspace == workspace, SecretRow.name.in_(names))
            return sorted({*names} - {*session.scalars(query)})

    def values(self, workspace: str, names: Sequence[str]) -> SecretValues:
        """Return the variables of these secrets.

        Raises:
            SecretNotFound: one of them does not exist.
            SecretUnreadable: the key of a value is missing.
        """
        variables: dict[str, str] = {}
        with self._database.read() as session:
            for name in names:
                variables |= dict(_get(session, workspace, name).variables)
        return SecretValues(variables)

    def delete(self, workspace: str, name: str) -> None:
        """Delete a secret. Raises SecretNotFound."""
        with self._database.write() as session:
            session.delete(_get(session, workspace, name))

    def reseal(self) -> int:
        """Encrypt every value of the store with the first key. Returns the number of changed rows; running jobs may go on."""
        return reseal(self._database)

    def missing_keys(self) -> set[str]:
        """Return ids of keys that values of secrets and deployments need and that the platform does not have."""
        with self._database.read() as session:
            return keys_in_use(session) - {*self._database.keys.ids}


def _get(session: Session, workspace: str, name: str) -> SecretRow:
    row = session.get(SecretRow, (workspace, name))
    if row is None:
        raise _not_found(name)
    return row


def _not_found(name: str) -> SecretNotFound:
    return SecretNotFound(f"There is no secret {name}.", name=name)


def _record(row: SecretRow) -> Secret:
    return Secret(row.workspace, row.name, tuple(sorted(row.variables)), row.created_at, row.updated_at, row.updated_by)
