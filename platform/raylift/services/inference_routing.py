"""Which version answers a request, and waiting until it does."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from raylift.domain.deployment import ANSWERING, Deployment, DeploymentStatus
from raylift.domain.errors import (
    DeploymentNotReady,
    DeploymentStopped,
    DeploymentUnhealthy,
    EngineUnavailable,
    ModelNotFound,
    NotFound,
    Unavailable,
    VersionNotFound,
)
from raylift.domain.model_version import ModelVersion
from raylift.services.clock import Clock, utc_now
from raylift.services.freshness import Fresh
from raylift.services.models import version_number
from raylift.services.ports import Registry
from raylift.store import Store

HOLD_POLL_SECONDS: Final = 0.15
"""How often the store is looked at while requests are held: once for all that wait for one model."""
RETRY_AFTER_SECONDS: Final = 5

_ROWS_SECONDS: Final = 1.0
_REGISTRY_SECONDS: Final = 2.0
_DEPLOYED_WITHIN: Final = timedelta(seconds=60)
"""How long after its registration a version's deployment may still be about to appear."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request asks for: a version, an alias, or neither (then the newest that answers)."""

    model_name: str
    version: str | None = None
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Starting:
    """The version that will answer, but does not yet."""

    model_name: str
    version: str


class InferenceRouting:
    """Chooses from a picture of the store that is at most a second old."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
        poll_seconds: float = HOLD_POLL_SECONDS,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._poll_seconds = poll_seconds
        self._rows: Fresh[str, Mapping[str, Deployment]] = Fresh(
            lambda name: {row.version: row for row in store.deployments.list(name)}, seconds=_ROWS_SECONDS, monotonic=monotonic
        )
        self._versions: Fresh[str, Sequence[ModelVersion]] = Fresh(
            lambda name: _versions(registry, name), seconds=_REGISTRY_SECONDS, stale_seconds=0, monotonic=monotonic
        )
        self._aliases: Fresh[tuple[str, str], str] = Fresh(
            lambda key: registry.version_of_alias(*key), seconds=_REGISTRY_SECONDS, monotonic=monotonic
        )

    async def choose(self, wanted: Wanted, *, max_age: float | None = None) -> Deployment | Starting:
        """The deployment that answers, or the version that is about to.

        Raises:
            ModelNotFound, VersionNotFound: there is none such; ``versions`` are the ones there are.
            DeploymentUnhealthy, DeploymentStopped: it will not answer until somebody changes that.
            EngineUnavailable: the registry has to be asked, and does not answer.
        """
        try:
            return await self._choose(wanted, max_age)
        except (NotFound, Unavailable) as error:
            if max_age == 0 or isinstance(error, EngineUnavailable):
                raise
        # Refused by a picture that may be a second old: whoever has just deployed it must not be told that it is not.
        return await self._choose(wanted, 0)

    async def hold(self, wanted: Wanted, until: float) -> Deployment:
        """Wait until a version answers, at most to the moment ``until`` of the monotonic clock.

        Raises:
            DeploymentNotReady: it does not answer in time.
            PlatformError: as ``choose``; what changes while waiting counts.
        """
        choice = await self.choose(wanted)
        while isinstance(choice, Starting):
            left = until - self._monotonic()
            if left <= 0:
                raise not_ready(choice.model_name, choice.version)
            await asyncio.sleep(min(self._poll_seconds, left))
            choice = await self.choose(wanted, max_age=self._poll_seconds)
        return choice

    async def _choose(self, wanted: Wanted, max_age: float | None) -> Deployment | Starting:
        rows = await self._rows.get(wanted.model_name, max_age=max_age)
        version = wanted.version
        if wanted.alias is not None:
            version = await self._aliases.get((wanted.model_name, wanted.alias))
        if version is None:
            return await self._newest(wanted.model_name, rows)
        row = rows.get(version)
        return _judge(row) if row else await self._without_deployment(wanted.model_name, version, rows)

    async def _newest(self, model_name: str, rows: Mapping[str, Deployment]) -> Deployment | Starting:
        newest_first = [rows[version] for version in sorted(rows, key=version_number, reverse=True)]
        for row in newest_first:
            if _answers(row):
                return row
        for row in newest_first:
            if row.wanted and row.status is not DeploymentStatus.UNHEALTHY:
                return Starting(model_name, row.version)
        if newest_first:
            return _judge(next((row for row in newest_first if row.wanted), newest_first[0]))
        versions = await self._versions.get(model_name)
        if not versions:
            raise VersionNotFound(f"Model {model_name!r} has no versions yet.", model_name=model_name, versions=[])
        return self._about_to_be_deployed(versions[0])

    async def _without_deployment(self, model_name: str, version: str, rows: Mapping[str, Deployment]) -> Starting:
        try:
            versions = await self._versions.get(model_name)
        except (ModelNotFound, EngineUnavailable):
            if not rows:
                raise
            versions = ()
        for registered in versions:
            if registered.version == version:
                return self._about_to_be_deployed(registered)
        known = sorted({*rows, *(registered.version for registered in versions)}, key=version_number, reverse=True)
        raise VersionNotFound(
            f"Model {model_name!r} has no version {version}; it has {', '.join(known) or 'none yet'}.",
            model_name=model_name,
            versions=known,
        )

    def _about_to_be_deployed(self, registered: ModelVersion) -> Starting:
        if self._clock() - registered.created_at > _DEPLOYED_WITHIN:
            raise _not_deployed(registered.name, registered.version)
        return Starting(registered.name, registered.version)


def not_ready(model_name: str, version: str) -> DeploymentNotReady:
    return DeploymentNotReady(
        f"Version {version} of {model_name!r} is not ready yet. Try again, or let X-Scale-Up-Timeout be longer.",
        model_name=model_name,
        model_version=version,
        retry_after_seconds=RETRY_AFTER_SECONDS,
    )


def _versions(registry: Registry, model_name: str) -> Sequence[ModelVersion]:
    registry.model(model_name)
    return registry.versions(model_name)


def _answers(row: Deployment) -> bool:
    if not row.wanted:
        return False
    # While a change is being applied, the replicas that were there go on answering.
    changing = row.status is not DeploymentStatus.UNHEALTHY and row.ready_at is not None and row.replicas > 0
    return row.status in ANSWERING or changing


def _judge(row: Deployment) -> Deployment | Starting:
    if _answers(row):
        return row
    if not row.wanted:
        raise _not_deployed(row.model_name, row.version)
    if row.status is DeploymentStatus.UNHEALTHY:
        raise DeploymentUnhealthy(
            f"Version {row.version} of {row.model_name!r} does not load: {row.message or 'Ray Serve does not say why'}",
            model_name=row.model_name,
            model_version=row.version,
        )
    return Starting(row.model_name, row.version)


def _not_deployed(model_name: str, version: str) -> DeploymentStopped:
    return DeploymentStopped(
        f"Version {version} of {model_name!r} is registered but not deployed. "
        f"PUT /mlops/models/{model_name}/versions/{version}/deployment starts it.",
        model_name=model_name,
        model_version=version,
    )
