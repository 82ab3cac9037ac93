"""Changes traffic tables and aliases, and rolls changes back."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from raylift.api.paths import deployment as deployment_path
from raylift.domain.errors import Conflict, FieldError, InvalidRequest, ModelNotFound, VersionNotFound
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.domain.traffic import (
    Target,
    TrafficAction,
    TrafficChange,
    TrafficRecord,
    TrafficTable,
    is_alias,
    named_targets,
    problems_of,
)
from raylift.services.ports import Clock, Registry, utc_now
from raylift.store import Store


@dataclass(frozen=True, slots=True)
class TrafficState:
    """Traffic of a model, with the present aliases and deployments."""

    record: TrafficRecord
    aliases: Mapping[str, str]
    """Versions of the aliases in the table. An alias that MLflow no longer has is missing."""
    deployments: Mapping[str, Deployment]


@dataclass(frozen=True, slots=True)
class AliasMove:
    model_name: str
    alias: str
    version: str | None
    previous_version: str | None


class TrafficService:
    """Reads and changes traffic. Every change has an author and a row in the audit."""

    def __init__(self, store: Store, registry: Registry, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._registry = registry
        self._clock = clock

    def get(self, model_name: str) -> TrafficState:
        """Return the traffic. Raises ModelNotFound, or EngineUnavailable where MLflow is needed and does not answer."""
        deployments = self._deployments(model_name)
        record = self._record(model_name)
        if not deployments and not record.revision:
            self._registry.model(model_name)
        return self._state(record, deployments)

    def put(self, model_name: str, table: TrafficTable, *, who: str, expected_revision: int | None = None) -> TrafficState:
        """Give the model a table.

        Raises:
            ModelNotFound: no model is registered under the name.
            InvalidRequest: the table is invalid, or names versions that cannot answer; ``errors`` has advice for each route.
            TrafficChanged: ``expected_revision`` is not the present revision.
        """
        errors = problems_of(table)
        if errors:
            raise InvalidRequest.of(*errors)
        return self._put(model_name, table, who=who, action=TrafficAction.PUT, expected_revision=expected_revision)

    def delete(self, model_name: str, *, who: str, expected_revision: int | None = None) -> TrafficState:
        """Delete the table: the newest ready version gets all requests. Idempotent."""
        state = self.get(model_name)
        if state.record.table is None and expected_revision is None:
            return state
        record = self._store.traffic.put(
            model_name, None, who=who, now=self._clock(), action=TrafficAction.DELETE, expected_revision=expected_revision
        )
        return self._state(record, state.deployments)

    def history(self, model_name: str, *, limit: int, before: int | None = None) -> list[TrafficChange]:
        """Return changes, newest first."""
        found = self._store.traffic.history(model_name, limit=limit, before=before)
        if not found:
            self._registry.model(model_name)
        return found

    def rollback(self, model_name: str, *, who: str, revision: int | None = None, alias: str | None = None) -> TrafficState:
        """Undo the last change of the model's table, or of an alias in it.

        Args:
            model_name: the model.
            who: author of the rollback.
            revision: restore this revision of the table instead.
            alias: undo the last move of this alias instead, also where the table does not name it.

        Raises:
            Conflict: there is no earlier state.
            InvalidRequest: a version of the earlier state cannot answer any more.
        """
        record = self._record(model_name)
        if alias is not None:
            change = self._store.traffic.last_change(model_name, aliases=[alias], table=False)
        elif revision is not None:
            return self._restore(record, self._table_at(model_name, revision), who)
        else:
            aliases = record.table.aliases if record.table else frozenset[str]()
            change = self._store.traffic.last_change(model_name, aliases=aliases)
        if change is None:
            self._registry.model(model_name)  # Raises the better error for a name that is not registered.
            raise Conflict(f"The traffic of {model_name!r} was never changed: there is nothing to go back to.")
        if change.alias is None:
            return self._restore(record, change.before, who)
        self._move(model_name, change.alias, change.before_version, who=who, action=TrafficAction.ROLLBACK)
        return self._state(record, self._deployments(model_name))

    def set_alias(self, model_name: str, alias: str, version: str, *, who: str) -> AliasMove:
        """Move an alias of MLflow's registry to ``version``.

        Raises:
            ModelNotFound, VersionNotFound: it does not exist.
            InvalidRequest: MLflow does not take the name, or the model's table uses the alias and the version cannot answer.
        """
        if not is_alias(alias):
            detail = "can have letters, digits, dashes and underscores, and be neither latest nor like v1: so MLflow wants it"
            raise InvalidRequest(f"An alias {detail}.", [FieldError("alias", detail)])
        return self._move(model_name, alias, version, who=who, action=TrafficAction.ALIAS)

    def delete_alias(self, model_name: str, alias: str, *, who: str) -> AliasMove:
        """Delete an alias.

        Raises:
            VersionNotFound: the alias does not exist.
            Conflict: the model's traffic table names it.
        """
        self._registry.version_of_alias(model_name, alias)
        return self._move(model_name, alias, None, who=who, action=TrafficAction.ALIAS)

    def _move(self, model_name: str, alias: str, version: str | None, *, who: str, action: TrafficAction) -> AliasMove:
        table = self._record(model_name).table
        is_routed = table is not None and alias in table.aliases
        if version is None and is_routed:
            raise Conflict(f"The traffic table of {model_name!r} names the alias {alias!r}: change the table first.")
        if version is not None:
            registered = self._registry.version(model_name, version)
            row = self._deployments(model_name).get(registered.version)
            problem = _problem_of(row) if row else _deploy_first(model_name, registered.version)
            if is_routed and problem:
                raise InvalidRequest(f"Requests go to the alias {alias!r}; version {problem}", [FieldError("version", problem)])
        before = self.read_aliases(model_name, {alias}).get(alias)
        if before != version:
            known = self._store.traffic.announce(model_name, alias, version, who=who, action=action, now=self._clock())
            if version is None:
                self._registry.delete_alias(model_name, alias)
            else:
                self._registry.set_alias(model_name, alias, version)
            # If the supervisor was faster, it has written the same under this author.
            self._store.traffic.observe(model_name, alias, version, now=self._clock(), known=known)
        return AliasMove(model_name, alias, version, before)

    def read_aliases(self, model_name: str, aliases: Collection[str]) -> Mapping[str, str]:
        """Return the versions of all aliases in MLflow. Unrecorded moves of ``aliases`` are added to the audit first."""
        known = {record.alias: record for record in self._store.traffic.aliases(model_name)}
        found = self._registry.model(model_name).aliases
        for alias in sorted(aliases):
            self._store.traffic.observe(model_name, alias, found.get(alias), now=self._clock(), known=known.get(alias))
        return found

    def _restore(self, record: TrafficRecord, table: TrafficTable | None, who: str) -> TrafficState:
        name, action = record.model_name, TrafficAction.ROLLBACK
        if table is not None:
            return self._put(name, table, who=who, action=action, expected_revision=record.revision)
        restored = self._store.traffic.put(
            name, None, who=who, now=self._clock(), action=action, expected_revision=record.revision
        )
        return self._state(restored, self._deployments(name))

    def _put(
        self, model_name: str, table: TrafficTable, *, who: str, action: TrafficAction, expected_revision: int | None
    ) -> TrafficState:
        deployments = self._deployments(model_name)
        if not deployments:
            self._registry.model(model_name)  # Raises the better error for a name that is not registered.
        # The present versions of the aliases are recorded, so that a rollback of the first move restores them.
        aliases: Mapping[str, str] = self.read_aliases(model_name, table.aliases) if table.aliases else {}
        errors = list(self._unanswerable(model_name, table, deployments, aliases))
        if errors:
            raise InvalidRequest.of(*errors)
        record = self._store.traffic.put(
            model_name, table, who=who, now=self._clock(), action=action, expected_revision=expected_revision
        )
        return TrafficState(record, aliases, deployments)

    def _unanswerable(
        self, model_name: str, table: TrafficTable, deployments: Mapping[str, Deployment], aliases: Mapping[str, str]
    ) -> Iterator[FieldError]:
        needless = {route.target for route in table.routes if not route.weight}
        for field, target in named_targets(table):
            version = target.version or aliases.get(target.alias or "")
            if version is None:
                detail = f"names an alias that {model_name!r} does not have; {_alias_path(model_name, target)} sets it"
                yield FieldError(f"{field}.alias", detail)
            elif version not in deployments:
                yield FieldError(f"{field}.version", self._not_deployed(model_name, version))
            elif target not in needless and (problem := _problem_of(deployments[version])):
                # Weight 0 gets no requests: a broken version can stay in the table that way.
                yield FieldError(f"{field}.version", problem)

    def _not_deployed(self, model_name: str, version: str) -> str:
        try:
            self._registry.version(model_name, version)
        except (ModelNotFound, VersionNotFound) as error:
            return f"names what there is not: {error.detail}"
        return _deploy_first(model_name, version)

    def _table_at(self, model_name: str, revision: int) -> TrafficTable | None:
        change = self._store.traffic.at_revision(model_name, revision)
        if change is None and revision != 0:
            detail = f"is none that the traffic of {model_name!r} had"
            raise InvalidRequest.of(FieldError("revision", detail))
        return change.after if change else None

    def _record(self, model_name: str) -> TrafficRecord:
        return self._store.traffic.get(model_name) or TrafficRecord(model_name, 0, None, self._clock(), "")

    def _deployments(self, model_name: str) -> dict[str, Deployment]:
        return {row.version: row for row in self._store.deployments.list(model_name)}

    def _state(self, record: TrafficRecord, deployments: Mapping[str, Deployment]) -> TrafficState:
        named = record.table.aliases if record.table else frozenset[str]()
        found: Mapping[str, str] = self._registry.model(record.model_name).aliases if named else {}
        return TrafficState(record, {alias: found[alias] for alias in named if alias in found}, deployments)


def _problem_of(row: Deployment) -> str | None:
    if not row.wanted:
        return _deploy_first(row.model_name, row.version)
    if row.status is DeploymentStatus.UNHEALTHY:
        return (
            f"names version {row.version}, which does not load: {row.message or 'Ray Serve does not say why'}. "
            f"PUT {deployment_path(row.model_name, row.version)} tries it again; weight 0 keeps requests away from it"
        )
    return None


def _deploy_first(model_name: str, version: str) -> str:
    return f"names version {version}, which is not deployed: PUT {deployment_path(model_name, version)} starts it"


def _alias_path(model_name: str, target: Target) -> str:
    return f"PUT /mlops/models/{model_name}/aliases/{target.alias}"
