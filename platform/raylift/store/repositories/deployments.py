"""Deployments: the API's wanted configuration and the supervisor's observations."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypedDict, Unpack

from sqlalchemy import ColumnElement, delete, func, select, update
from sqlalchemy.orm import Session

from raylift.domain.errors import DeploymentNotFound
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import ANSWERING, Deployment, DeploymentConfig, DeploymentStatus
from raylift.domain.webhooks.event import EventType, PlatformEvent, version_event
from raylift.store.engine.tables import DeploymentRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements import outbox
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.records import changed, check_fields, columns, execute, from_row


class DeploymentFacts(TypedDict, total=False):
    """Fields that the supervisor may report with the status."""

    replicas: int
    message: str | None
    applied_generation: int
    ready_at: datetime | None


class DeploymentRepository:
    def __init__(self, database: Database) -> None:
        self._database = database

    def ensure(
        self,
        model_name: str,
        version: str,
        *,
        model_uri: str,
        config: DeploymentConfig,
        now: datetime,
        wanted: bool = True,
        job_id: str | None = None,
        environment_lock: tuple[str, ...] = (),
        tags: Mapping[str, str] | None = None,
        files: Mapping[str, str] | None = None,
        scale_up: bool = False,
    ) -> Deployment:
        """Insert a version's deployment, or return the existing one unchanged.

        ``files``: digests of the version's files; None: the supervisor records them. ``scale_up``: start replicas of its own
        at once.
        """
        blank = Deployment(
            model_name,
            version,
            model_uri,
            config,
            status=DeploymentStatus.PENDING if wanted else DeploymentStatus.STOPPED,
            created_at=now,
            updated_at=now,
            wanted=wanted,
            job_id=job_id,
            environment_lock=tuple(environment_lock),
            tags=dict(tags or {}),
            files=None if files is None else dict(files),
            demanded_at=now if scale_up else None,
        )
        with self._database.write() as session:
            insert = insert_into(session, DeploymentRow).on_conflict_do_nothing().returning(DeploymentRow.version)
            if session.scalar(insert, columns(blank)) is not None:
                _record(session, EventType.MODEL_VERSION_REGISTERED, blank)
            return _get(session, model_name, version)

    def want(
        self, model_name: str, version: str, *, now: datetime, config: DeploymentConfig | None = None, wanted: bool = True
    ) -> Deployment:
        """Request that the version runs, with ``config`` or the present one, or is taken down.

        Raises:
            DeploymentNotFound: it does not exist.
        """
        changes: dict[str, Any] = {"wanted": wanted, "generation": DeploymentRow.generation + 1, "updated_at": now}
        if config is not None:
            changes["config"] = config
        if wanted:
            changes |= {"status": DeploymentStatus.PENDING, "message": None, "demanded_at": now}
        with self._database.write() as session:
            statement = update(DeploymentRow).where(*_is(model_name, version)).values(changes)
            found = changed(session, statement, DeploymentRow, Deployment)
        if found is None:
            raise _not_found(model_name, version)
        return found

    def get(self, model_name: str, version: str) -> Deployment:
        """Return the version's deployment.

        Raises:
            DeploymentNotFound: it does not exist.
        """
        with self._database.read() as session:
            return _get(session, model_name, version)

    def list(self, model_name: str | None = None) -> list[Deployment]:
        """Return all deployments, or one model's, sorted by name and version number."""
        query = select(DeploymentRow)
        if model_name is not None:
            query = query.where(DeploymentRow.model_name == model_name)
        # Versions are numbers stored as text; a longer one is larger.
        query = query.order_by(DeploymentRow.model_name, func.length(DeploymentRow.version), DeploymentRow.version)
        with self._database.read() as session:
            return [from_row(Deployment, row) for row in session.scalars(query)]

    def observe(
        self,
        lease: Lease,
        deployment: Deployment,
        *,
        now: datetime,
        status: DeploymentStatus,
        **changes: Unpack[DeploymentFacts],
    ) -> Deployment | None:
        """Report the actual state. Returns None and writes nothing if the wanted state has changed meanwhile.

        Raises:
            StaleLease: another supervisor has taken over.
        """
        check_fields(changes, DeploymentFacts, "deployment")
        with self._database.write() as session:
            unchanged = DeploymentRow.generation == deployment.generation
            statement = update(DeploymentRow).where(
                *_is(deployment.model_name, deployment.version), unchanged, guard(session, lease)
            )
            values = {"status": status, "updated_at": now, **changes}
            observed = changed(session, statement.values(values), DeploymentRow, Deployment)
            if observed is not None and (event := _event_of(deployment, observed)) is not None:
                _record(session, event, observed)
            return observed

    def record_files(self, lease: Lease, deployment: Deployment, files: Mapping[str, str], *, now: datetime) -> None:
        """Record the digests of a version's files, once: recorded ones stay.

        Raises:
            StaleLease: another supervisor has taken over.
        """
        with self._database.write() as session:
            is_unrecorded = DeploymentRow.files.is_(None), DeploymentRow.created_at == deployment.created_at
            statement = update(DeploymentRow).where(
                *_is(deployment.model_name, deployment.version), *is_unrecorded, guard(session, lease)
            )
            execute(session, statement.values(files=dict(files), updated_at=now))

    def request_scale_up(self, model_name: str, version: str, *, now: datetime) -> None:
        """Request replicas for the version. No effect without such a deployment."""
        with self._database.write() as session:
            execute(session, update(DeploymentRow).where(*_is(model_name, version)).values(demanded_at=now))

    def delete(self, model_name: str, version: str) -> None:
        """Delete the deployment.

        Raises:
            DeploymentNotFound: it does not exist.
        """
        with self._database.write() as session:
            if changed(session, delete(DeploymentRow).where(*_is(model_name, version)), DeploymentRow, Deployment) is None:
                raise _not_found(model_name, version)


def _event_of(before: Deployment, after: Deployment) -> EventType | None:
    """Return the event of an observation. A version that answered before, such as one that is scaled up, is not ready anew."""
    if after.status is DeploymentStatus.UNHEALTHY and before.status is not DeploymentStatus.UNHEALTHY:
        return EventType.MODEL_VERSION_UNHEALTHY
    is_new = after.ready_at is not None and (before.ready_at is None or before.status is DeploymentStatus.UNHEALTHY)
    return EventType.MODEL_VERSION_READY if is_new and after.status in ANSWERING else None


def _record(session: Session, event: EventType, deployment: Deployment) -> None:
    def make(workspace: str) -> PlatformEvent:
        return version_event(event, deployment, workspace)

    outbox.record_of_model(session, deployment.model_name, make)


def _is(model_name: str, version: str) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return DeploymentRow.model_name == model_name, DeploymentRow.version == version


def _get(session: Session, model_name: str, version: str) -> Deployment:
    row = session.get(DeploymentRow, (model_name, version))
    if row is None:
        raise _not_found(model_name, version)
    return from_row(Deployment, row)


def _not_found(model_name: str, version: str) -> DeploymentNotFound:
    return DeploymentNotFound(f"Version {version} of {model_name} has no deployment.", model_name=model_name, version=version)
