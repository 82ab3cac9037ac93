"""Access keys, and the workspaces of jobs, sweeps and models."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import delete, or_, select, update

from raylift.domain.access import AccessKey
from raylift.domain.errors import KeyNotFound
from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.store.engine import trail
from raylift.store.engine.access_tables import AccessKeyRow, EnvironmentWorkspaceRow, ModelWorkspaceRow
from raylift.store.engine.tables import JobRow, SweepRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.records import changed, columns, execute, from_row
from raylift.store.statements.workspaces import claim_model

_FORGOTTEN_AFTER: Final = timedelta(days=1)
"""Age after its end at which a key is unknown to the ingress and the gateway, and a sign-in is deleted."""


class KeyRepository:
    """Keys are stored as SHA-256 of their token."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, key: AccessKey) -> None:
        """Store a new key; durable on return."""
        with self._database.write() as session:
            session.execute(insert_into(session, AccessKeyRow), columns(key))
            trail.name_target(session, key.key_id)

    def add_login(self, key: AccessKey) -> None:
        """Store the key of a sign-in, and delete those of the same person that ended a day ago or earlier."""
        with self._database.write() as session:
            ended = (AccessKeyRow.subject == key.subject, AccessKeyRow.expires_at < key.created_at - _FORGOTTEN_AFTER)
            session.execute(delete(AccessKeyRow).where(*ended))
            session.execute(insert_into(session, AccessKeyRow), columns(key))
            trail.name_target(session, key.key_id)

    def list(self) -> list[AccessKey]:
        """Return all keys, revoked ones included, oldest first."""
        with self._database.read() as session:
            query = select(AccessKeyRow).order_by(AccessKeyRow.created_at, AccessKeyRow.key_id)
            return [from_row(AccessKey, row) for row in session.scalars(query)]

    def unrevoked(self, now: datetime) -> list[AccessKey]:
        """Return the keys that are not revoked. Those that expired within a day are among them."""
        with self._database.read() as session:
            lasting = or_(AccessKeyRow.expires_at.is_(None), AccessKeyRow.expires_at > now - _FORGOTTEN_AFTER)
            query = select(AccessKeyRow).where(AccessKeyRow.revoked_at.is_(None), lasting)
            return [from_row(AccessKey, row) for row in session.scalars(query)]

    def of_owner(self, name: str, workspace: str) -> list[AccessKey]:
        """Return all keys of this name in the workspace, revoked and expired ones included, oldest first."""
        with self._database.read() as session:
            query = select(AccessKeyRow).where(AccessKeyRow.name == name, AccessKeyRow.workspace == workspace)
            return [from_row(AccessKey, row) for row in session.scalars(query.order_by(AccessKeyRow.created_at))]

    def get(self, key_id: str) -> AccessKey:
        """Raises KeyNotFound."""
        with self._database.read() as session:
            row = session.get(AccessKeyRow, key_id)
            if row is None:
                raise KeyNotFound(f"There is no key {key_id}.", key_id=key_id)
            return from_row(AccessKey, row)

    def revoke(self, key_id: str, *, now: datetime) -> AccessKey:
        """Revoke a key. Idempotent. Raises KeyNotFound."""
        with self._database.write() as session:
            statement = update(AccessKeyRow).where(AccessKeyRow.key_id == key_id, AccessKeyRow.revoked_at.is_(None))
            execute(session, statement.values(revoked_at=now))
        return self.get(key_id)

    def expire(self, key_id: str, *, now: datetime) -> None:
        """End a key as its time would. Its owner keeps the rights that revoking takes."""
        with self._database.write() as session:
            lasting = or_(AccessKeyRow.expires_at.is_(None), AccessKeyRow.expires_at > now)
            execute(session, update(AccessKeyRow).where(AccessKeyRow.key_id == key_id, lasting).values(expires_at=now))

    def replace(self, key_id: str, successor: AccessKey, *, now: datetime, expires_at: datetime) -> AccessKey:
        """Add ``successor``, and let the former key expire at ``expires_at`` or before. Raises KeyNotFound."""
        with self._database.write() as session:
            valid = (AccessKeyRow.key_id == key_id, AccessKeyRow.revoked_at.is_(None))
            former = changed(session, update(AccessKeyRow).where(*valid).values(revoked_at=None), AccessKeyRow, AccessKey)
            if former is None or former.is_expired(now):
                raise KeyNotFound(f"There is no valid key {key_id}.", key_id=key_id)
            ends = expires_at if former.expires_at is None else min(former.expires_at, expires_at)
            execute(session, update(AccessKeyRow).where(*valid).values(expires_at=ends))
            session.execute(insert_into(session, AccessKeyRow), columns(successor))
            trail.name_target(session, key_id)
        return successor

    def used(self, digests: Collection[str], *, now: datetime) -> None:
        """Write the time of the last use."""
        if not digests:
            return
        with self._database.write() as session:
            execute(session, update(AccessKeyRow).where(AccessKeyRow.sha256.in_(sorted(digests))).values(last_used_at=now))


class WorkspaceRepository:
    """Workspaces of things."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_job(self, job_id: str) -> str | None:
        """Return the job's workspace; None if it does not exist."""
        with self._database.read() as session:
            return session.scalar(select(JobRow.workspace).where(JobRow.job_id == job_id))

    def of_sweep(self, sweep_id: str) -> str | None:
        """Return the sweep's workspace; None if it does not exist."""
        with self._database.read() as session:
            return session.scalar(select(SweepRow.workspace).where(SweepRow.sweep_id == sweep_id))

    def of_model(self, model_name: str) -> str:
        """Return the model's workspace."""
        with self._database.read() as session:
            query = select(ModelWorkspaceRow.workspace).where(ModelWorkspaceRow.model_name == model_name)
            return session.scalar(query) or DEFAULT_WORKSPACE

    def claim_model(self, model_name: str, workspace: str) -> None:
        """Give a new model to the workspace. Raises ModelTaken if it belongs to another."""
        with self._database.write() as session:
            claim_model(session, model_name, workspace)

    def of_models(self) -> dict[str, str]:
        """Return the workspaces of models that do not belong to the default one."""
        with self._database.read() as session:
            query = select(ModelWorkspaceRow.model_name, ModelWorkspaceRow.workspace)
            return {name: workspace for name, workspace in session.execute(query) if workspace != DEFAULT_WORKSPACE}

    def claim_environment(self, environment: str, workspace: str) -> None:
        """Note that the workspace needs the environment, by its hash. Idempotent."""
        with self._database.write() as session:
            row = {"environment": environment, "workspace": workspace}
            session.execute(insert_into(session, EnvironmentWorkspaceRow).on_conflict_do_nothing(), row)

    def of_environments(self) -> dict[str, set[str]]:
        """Return the workspaces of each environment that one has claimed, by hash."""
        with self._database.read() as session:
            found: defaultdict[str, set[str]] = defaultdict(set)
            query = select(EnvironmentWorkspaceRow.environment, EnvironmentWorkspaceRow.workspace)
            for environment, workspace in session.execute(query):
                found[environment].add(workspace)
            return dict(found)

    def names(self) -> Sequence[str]:
        """Return the workspaces of keys, sorted."""
        with self._database.read() as session:
            return sorted({DEFAULT_WORKSPACE, *session.scalars(select(AccessKeyRow.workspace).distinct())})
