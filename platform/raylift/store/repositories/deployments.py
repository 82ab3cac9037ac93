"""Deployments: what the API wants of each model version, and what the supervisor sees of it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, TypedDict, Unpack

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from raylift.domain.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.domain.errors import DeploymentNotFound
from raylift.domain.lease import Lease
from raylift.store.engine.tables import DeploymentRow
from raylift.store.engine.transactions import Database, insert_into
from raylift.store.statements.lease_guard import guard
from raylift.store.statements.records import columns, deployment_of


class DeploymentFacts(TypedDict, total=False):
    """What the supervisor may report besides the status."""

    replicas: int
    message: str | None
    applied_generation: int
    ready_at: datetime | None


_FACTS: Final = frozenset(DeploymentFacts.__annotations__)


class DeploymentRepository:
    """Every method is one transaction, and every deployment it returns is fresh."""

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
        scale_up: bool = False,
    ) -> Deployment:
        """Enter a version's deployment, or return the one there is, unchanged.

        ``scale_up``: start replicas of its own at once.
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
            demanded_at=now if scale_up else None,
        )
        with self._database.write() as session:
            session.execute(insert_into(session, DeploymentRow).on_conflict_do_nothing(), columns(blank))
            return _get(session, model_name, version)

    def want(
        self, model_name: str, version: str, *, now: datetime, config: DeploymentConfig | None = None, wanted: bool = True
    ) -> Deployment:
        """Ask for the version to run, as ``config`` says or as before, or to be taken down.

        Raises:
            DeploymentNotFound: It was never entered.
        """
        changes: dict[str, Any] = {"wanted": wanted, "generation": DeploymentRow.generation + 1, "updated_at": now}
        if config is not None:
            changes["config"] = config
        if wanted:
            # A new try: the message of the last one no longer holds.
            changes |= {"status": DeploymentStatus.PENDING, "message": None, "demanded_at": now}
        with self._database.write() as session:
            row = session.scalars(
                update(DeploymentRow)
                .where(DeploymentRow.model_name == model_name, DeploymentRow.version == version)
                .values(changes)
                .returning(DeploymentRow)
                .execution_options(synchronize_session=False)
            ).one_or_none()
            if row is None:
                raise _not_found(model_name, version)
            return deployment_of(row)

    def get(self, model_name: str, version: str) -> Deployment:
        """The version's deployment.

        Raises:
            DeploymentNotFound: It was never entered, or was deleted.
        """
        with self._database.read() as session:
            return _get(session, model_name, version)

    def list(self, model_name: str | None = None) -> list[Deployment]:
        """All deployments, or one model's, by name and by version number."""
        query = select(DeploymentRow)
        if model_name is not None:
            query = query.where(DeploymentRow.model_name == model_name)
        # Versions are numbers in text: a longer one is a larger one.
        query = query.order_by(DeploymentRow.model_name, func.length(DeploymentRow.version), DeploymentRow.version)
        with self._database.read() as session:
            return [deployment_of(row) for row in session.scalars(query)]

    def observe(
        self,
        lease: Lease,
        deployment: Deployment,
        *,
        now: datetime,
        status: DeploymentStatus,
        **changes: Unpack[DeploymentFacts],
    ) -> Deployment | None:
        """Report what the deployment is; None, and nothing written, when something else is wanted of it by now.

        Raises:
            StaleLease: Another supervisor has taken over.
        """
        unknown = sorted(changes.keys() - _FACTS)
        if unknown:
            raise TypeError(f"a supervisor cannot change {', '.join(unknown)} of a deployment")
        with self._database.write() as session:
            current_lease = guard(session, lease)
            row = session.scalars(
                update(DeploymentRow)
                .where(
                    DeploymentRow.model_name == deployment.model_name,
                    DeploymentRow.version == deployment.version,
                    DeploymentRow.generation == deployment.generation,
                    current_lease,
                )
                .values(status=status, updated_at=now, **changes)
                .returning(DeploymentRow)
                .execution_options(synchronize_session=False)
            ).one_or_none()
            return None if row is None else deployment_of(row)

    def request_scale_up(self, model_name: str, version: str, *, now: datetime) -> None:
        """Note that requests call for processes of the version's own; nothing happens if there is no such deployment."""
        with self._database.write() as session:
            session.execute(
                update(DeploymentRow)
                .where(DeploymentRow.model_name == model_name, DeploymentRow.version == version)
                .values(demanded_at=now)
                .execution_options(synchronize_session=False)
            )

    def delete(self, model_name: str, version: str) -> None:
        """Forget the deployment.

        Raises:
            DeploymentNotFound: There is none.
        """
        with self._database.write() as session:
            gone = session.scalar(
                delete(DeploymentRow)
                .where(DeploymentRow.model_name == model_name, DeploymentRow.version == version)
                .returning(DeploymentRow.version)
                .execution_options(synchronize_session=False)
            )
            if gone is None:
                raise _not_found(model_name, version)


def _get(session: Session, model_name: str, version: str) -> Deployment:
    row = session.get(DeploymentRow, (model_name, version))
    if row is None:
        raise _not_found(model_name, version)
    return deployment_of(row)


def _not_found(model_name: str, version: str) -> DeploymentNotFound:
    return DeploymentNotFound(f"Version {version} of {model_name} has no deployment.", model_name=model_name, version=version)
