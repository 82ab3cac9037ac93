"""Chooses the version that answers a request."""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final

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
from raylift.domain.identifiers import version_number
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.domain.models.version import ModelVersion
from raylift.domain.traffic import Sticky, Target, TrafficTable, choose_sticky, choose_weighted, weights_of
from raylift.services.ports import Clock, Registry, utc_now
from raylift.services.ttl_cache import TtlCache
from raylift.store import Store

HOLD_POLL_SECONDS: Final = 0.15
"""Pause between two reads of the store while requests are held; all that wait for one model share them."""
RETRY_AFTER_SECONDS: Final = 5

_ROWS_SECONDS: Final = 1.0
_REGISTRY_SECONDS: Final = 2.0
_DEPLOYED_WITHIN: Final = timedelta(seconds=60)
"""Time after a registration in which the deployment may still be missing."""


StickyKey = Callable[[Sticky], Awaitable[str | None]]
"""Returns the value of a request that a traffic table is sticky by; None where it has none."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Target of a request: a version, an alias, or only a model. Then the traffic table or the newest version decides."""

    model_name: str
    version: str | None = None
    alias: str | None = None
    sticky_key: StickyKey | None = None
    chance: float = field(default_factory=random.random)
    """Random number in [0, 1), drawn once: a held request keeps waiting for the same version."""

    @property
    def by_traffic(self) -> bool:
        return self.version is None and self.alias is None


@dataclass(frozen=True, slots=True)
class Starting:
    """A version that is about to answer."""

    model_name: str
    version: str
    deployment: Deployment | None = None
    """None before the supervisor has added it."""


@dataclass(frozen=True, slots=True)
class _ModelState:
    """Deployments of a model by version, and its traffic table."""

    rows: Mapping[str, Deployment]
    table: TrafficTable | None
    aliases: Mapping[str, str | None]
    """Last known versions of the aliases in the table; they count while MLflow does not answer."""


class InferenceRouting:
    """Chooses from a copy of the store that is at most one second old."""

    def __init__(
        self,
        store: Store,
        registry: Registry,
        *,
        clock: Clock = utc_now,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._clock = clock
        self._monotonic = monotonic
        self._states: TtlCache[str, _ModelState] = TtlCache(
            lambda name: _read_state(store, name), seconds=_ROWS_SECONDS, monotonic=monotonic
        )
        self._versions: TtlCache[str, Sequence[ModelVersion]] = TtlCache(
            lambda name: _versions(registry, name), seconds=_REGISTRY_SECONDS, stale_seconds=0, monotonic=monotonic
        )
        self._aliases: TtlCache[tuple[str, str], str] = TtlCache(
            lambda key: registry.version_of_alias(*key), seconds=_REGISTRY_SECONDS, monotonic=monotonic
        )

    async def choose(self, wanted: Wanted, *, max_age: float | None = None) -> Deployment | Starting:
        """Return the deployment that answers, or the version that is about to.

        Raises:
            ModelNotFound, VersionNotFound: it does not exist; ``versions`` lists the existing ones.
            DeploymentUnhealthy, DeploymentStopped: it does not answer until a user changes its deployment.
            EngineUnavailable: the registry is needed and does not answer.
        """
        try:
            return await self._choose(wanted, max_age)
        except (NotFound, Unavailable) as error:
            if max_age == 0 or isinstance(error, EngineUnavailable):
                raise
        # The copy may be a second old: a version that was just deployed must be found.
        return await self._choose(wanted, 0)

    def shadows(self, model_name: str) -> tuple[Target, ...]:
        """Return the shadow targets of the model's traffic table, as of the last request."""
        state = self._states.last(model_name)
        return state.table.shadow if state is not None and state.table is not None else ()

    def forget(self, model_name: str, *aliases: str) -> None:
        """Drop the copies after a change of the traffic or of aliases. Called in the event loop's thread."""
        self._states.forget(model_name)
        for alias in aliases:
            self._aliases.forget((model_name, alias))

    async def _choose(self, wanted: Wanted, max_age: float | None) -> Deployment | Starting:
        state = await self._states.get(wanted.model_name, max_age=max_age)
        rows = state.rows
        version = wanted.version
        if wanted.alias is not None:
            version = await self._aliases.get((wanted.model_name, wanted.alias))
        elif version is None and state.table is not None:
            version = await self._by_table(wanted, state.table, state)
        if version is None:
            return await self._newest(wanted.model_name, rows)
        row = rows.get(version)
        return _judge(row) if row else await self._without_deployment(wanted.model_name, version, rows)

    async def _by_table(self, wanted: Wanted, table: TrafficTable, state: _ModelState) -> str:
        """Return a version by weight. The share of versions that cannot answer goes to the others, if there are any."""
        name = wanted.model_name
        versions: list[tuple[str, float]] = []
        gone: list[str] = []
        for route in table.routes:
            try:
                versions.append((await self._version_of(name, route.target, state), route.weight))
            except VersionNotFound:  # The alias was deleted in MLflow.
                gone.append(str(route.target))
        weights = weights_of(versions)
        if not weights:
            raise VersionNotFound(
                f"The traffic table of {name!r} sends requests to {' and '.join(gone)}, which MLflow does not have any more. "
                f"Set it again, PUT another table, or POST /mlops/models/{name}/rollback.",
                model_name=name,
                versions=sorted(state.rows, key=version_number, reverse=True),
            )
        able = {version: weight for version, weight in weights.items() if takes_requests(state.rows.get(version))} or weights
        if len(able) == 1:
            return next(iter(able))
        key = await wanted.sticky_key(table.sticky) if table.sticky and wanted.sticky_key else None
        return choose_weighted(able, wanted.chance) if key is None else choose_sticky(able, key, salt=name)

    async def _version_of(self, model_name: str, target: Target, state: _ModelState) -> str:
        if target.version is not None:
            return target.version
        alias = str(target.alias)
        try:
            return await self._aliases.get((model_name, alias))
        except EngineUnavailable:
            last_known = state.aliases.get(alias)
            if last_known is None:
                raise
            return last_known

    async def _newest(self, model_name: str, rows: Mapping[str, Deployment]) -> Deployment | Starting:
        newest_first = _newest_first(rows)
        answering = newest_answering(rows)
        if answering is not None:
            return answering
        held = [row.version for row in newest_first if row.wanted and not row.config.take_traffic]
        newest_first = [row for row in newest_first if row.version not in held]
        if held and not any(row.wanted for row in newest_first):
            raise _held(model_name, held[0])
        for row in newest_first:
            if row.wanted and row.status is not DeploymentStatus.UNHEALTHY:
                return Starting(model_name, row.version, row)
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


def newest_answering(rows: Mapping[str, Deployment]) -> Deployment | None:
    """Return the version that answers for a model without a traffic table."""
    return next((row for row in _newest_first(rows) if row.answers and row.config.take_traffic), None)


def takes_requests(row: Deployment | None) -> bool:
    """Return True where a traffic table may choose the version. A version that starts holds requests."""
    return row is not None and row.wanted and row.status is not DeploymentStatus.UNHEALTHY


def _newest_first(rows: Mapping[str, Deployment]) -> list[Deployment]:
    return [rows[version] for version in sorted(rows, key=version_number, reverse=True)]


def _read_state(store: Store, model_name: str) -> _ModelState:
    record = store.traffic.get(model_name)
    table = record.table if record else None
    aliases = {known.alias: known.version for known in store.traffic.aliases(model_name)} if table and table.aliases else {}
    return _ModelState({row.version: row for row in store.deployments.list(model_name)}, table, aliases)


def _versions(registry: Registry, model_name: str) -> Sequence[ModelVersion]:
    registry.model(model_name)
    return registry.versions(model_name)


def _judge(row: Deployment) -> Deployment | Starting:
    if row.answers:
        return row
    if not row.wanted:
        raise _not_deployed(row.model_name, row.version)
    if row.status is DeploymentStatus.UNHEALTHY:
        raise DeploymentUnhealthy(
            f"Version {row.version} of {row.model_name!r} cannot answer: {row.message or 'Ray Serve does not say why'}",
            model_name=row.model_name,
            model_version=row.version,
        )
    return Starting(row.model_name, row.version, row)


def _held(model_name: str, version: str) -> DeploymentStopped:
    return DeploymentStopped(
        f"No version of {model_name!r} takes requests that name only the model. Version {version} is deployed and answers "
        f'those that name it; PUT /mlops/models/{model_name}/versions/{version}/deployment with {{"take_traffic": true}} gives '
        "it the others, too.",
        model_name=model_name,
        model_version=version,
    )


def _not_deployed(model_name: str, version: str) -> DeploymentStopped:
    return DeploymentStopped(
        f"Version {version} of {model_name!r} is registered but not deployed. "
        f"PUT /mlops/models/{model_name}/versions/{version}/deployment starts it.",
        model_name=model_name,
        model_version=version,
    )
