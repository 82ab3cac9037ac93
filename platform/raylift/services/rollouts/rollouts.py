"""Starts rollouts, shows them, and carries out what users ask of one. The supervisor does the steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime

from raylift.api.paths import deployment as deployment_path
from raylift.domain.errors import (
    Conflict,
    FieldError,
    InvalidRequest,
    ModelNotFound,
    RolloutNotFound,
    VersionNotFound,
)
from raylift.domain.identifiers import new_rollout_id, version_number
from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.domain.rollouts.moves import RolloutMove, approve, begin_promotion, pause, resume, roll_back
from raylift.domain.rollouts.rollout import (
    ROLLOUT_ID,
    Rollout,
    RolloutEntry,
    RolloutEventKind,
    RolloutPlan,
    RolloutStatus,
    problems_of,
)
from raylift.domain.traffic import Route, Target, TrafficTable, target_of
from raylift.services.ports import Clock, Registry, utc_now
from raylift.services.traffic.routing import newest_answering
from raylift.services.traffic.tables import TrafficService, TrafficState
from raylift.store import RolloutPage, Store, acting


class RolloutService:
    def __init__(self, store: Store, registry: Registry, traffic: TrafficService, *, clock: Clock = utc_now) -> None:
        self._store = store
        self._registry = registry
        self._traffic = traffic
        self._clock = clock

    def start(
        self,
        model_name: str,
        version: str,
        plan: RolloutPlan,
        *,
        who: str,
        rollout_id: str | None = None,
        job_id: str | None = None,
    ) -> Rollout:
        """Begin a rollout. The supervisor does its first step within a second, once the candidate is ready.

        Args:
            model_name: the model.
            version: the candidate: its number, or an alias of it.
            plan: steps, guards, and the alias to move at the end. None: the alias that the traffic table names, if any.
            who: author of the rollout and of its changes of the traffic.
            rollout_id: its id. None: a new one.
            job_id: job whose gate begins it.

        Raises:
            ModelNotFound: no model is registered under the name.
            InvalidRequest: the plan is wrong, the candidate cannot answer, or several versions answer now, or none.
            RolloutExists: the model has a rollout that has not ended.
        """
        errors = problems_of(plan)
        if errors:
            raise InvalidRequest.of(*errors)
        state = self._traffic.get(model_name)
        candidate = self._candidate(model_name, version, state)
        champion, alias = self._champion(model_name, state)
        if champion == candidate.version:
            raise InvalidRequest.of(FieldError("version", _is_champion(model_name, champion, state)))
        plan = RolloutPlan(plan.steps, plan.guards, plan.alias or alias)
        with acting(None):  # The audit's entry belongs to the transaction that stores the rollout.
            aliases: Mapping[str, str] = self._traffic.read_aliases(model_name, {plan.alias}) if plan.alias else {}
        now, table = self._clock(), state.record.table
        who_started = RolloutEntry(now, RolloutEventKind.STARTED, None, _started(champion, candidate), who)
        rollout = Rollout(
            rollout_id or new_rollout_id(now.timestamp()),
            model_name,
            self._store.workspaces.of_model(model_name),
            champion,
            candidate.version,
            plan,
            RolloutStatus.RUNNING,
            created_at=now,
            created_by=who,
            updated_at=now,
            restore=table or _pin(champion, candidate),
            had_table=table is not None,
            traffic_revision=state.record.revision,
            alias_before=aliases.get(plan.alias or ""),
            message=who_started.message,
            history=(who_started,),
            job_id=job_id,
        )
        self._store.rollouts.add(rollout)
        return rollout

    def champion_of(self, model_name: str) -> str | None:
        """Return the version that answers for a model's name; None where none does. Raises InvalidRequest for several."""
        state = self._traffic.get(model_name)
        if state.record.table is None and newest_answering(state.deployments) is None:
            return None
        return self._champion(model_name, state)[0]

    def find(self, name: str, *, visible_workspace: str | None) -> Rollout:
        """Return a rollout by its id, or a model's active or else last one. Raises RolloutNotFound."""
        store = self._store.rollouts
        is_id = ROLLOUT_ID.fullmatch(name) is not None
        found = store.get(name) if is_id else store.newest_of(name)
        if found is None or visible_workspace not in (None, found.workspace):
            if is_id:  # In the store's words for one that there is not.
                raise RolloutNotFound(f"There is no rollout {name}.", rollout_id=name)
            detail = f"There is no rollout {name!r}: give the id of a rollout, or the name of a model that has had one."
            raise RolloutNotFound(detail, rollout_id=name)
        return found

    def list(
        self, workspace: str | None, *, model_name: str | None, active: bool | None, limit: int, cursor: str | None
    ) -> RolloutPage:
        return self._store.rollouts.list(workspace, model_name=model_name, active=active, limit=limit, cursor=cursor)

    def approve(self, rollout: Rollout, *, who: str) -> Rollout:
        """Let a rollout go on that waits for approval. Raises Conflict, or StaleRollout."""
        self._require(rollout, "approved", RolloutStatus.AWAITING_APPROVAL)
        return self._apply(lambda now: approve(rollout, who, now))

    def reject(self, rollout: Rollout, reason: str | None, *, who: str) -> Rollout:
        """Roll back a rollout that waits for approval. Raises Conflict, StaleRollout or TrafficChanged."""
        self._require(rollout, "rejected", RolloutStatus.AWAITING_APPROVAL)
        return self._apply(lambda now: roll_back(rollout, _by("Rejected", who, reason), now, who=who))

    def pause(self, rollout: Rollout, *, who: str) -> Rollout:
        """Hold a rollout at its step. Raises Conflict, or StaleRollout."""
        self._require(rollout, "paused", RolloutStatus.RUNNING)
        return self._apply(lambda now: pause(rollout, who, now))

    def resume(self, rollout: Rollout, *, who: str) -> Rollout:
        """Let a paused rollout go on. Raises Conflict, or StaleRollout."""
        self._require(rollout, "resumed", RolloutStatus.PAUSED)
        return self._apply(lambda now: resume(rollout, who, now))

    def abort(self, rollout: Rollout, reason: str | None, *, who: str) -> Rollout:
        """Roll back. Raises Conflict where it has ended, StaleRollout or TrafficChanged."""
        self._require(rollout, "aborted", RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.AWAITING_APPROVAL)
        return self._apply(lambda now: roll_back(rollout, _by("Aborted", who, reason), now, who=who))

    def promote(self, rollout: Rollout, *, who: str) -> Rollout:
        """Skip the steps that are left. Raises Conflict, StaleRollout or TrafficChanged."""
        self._require(rollout, "promoted", RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.AWAITING_APPROVAL)
        return self._apply(lambda now: begin_promotion(rollout, now, who=who))

    def _apply(self, move: Callable[[datetime], RolloutMove]) -> Rollout:
        now = self._clock()
        return self._store.rollouts.apply(move(now), now=now)

    def _require(self, rollout: Rollout, done: str, *allowed: RolloutStatus) -> None:
        if rollout.status not in allowed:
            these = ", ".join(allowed)
            raise Conflict(
                f"The rollout {rollout.rollout_id} is {rollout.status}: only one that is {these} can be {done}.",
                rollout_id=rollout.rollout_id,
                status=rollout.status,
            )

    def _candidate(self, model_name: str, text: str, state: TrafficState) -> Deployment:
        target = target_of(text)
        version = target.version
        try:
            if target.alias is not None:
                version = self._registry.version_of_alias(model_name, target.alias)
            found = self._registry.version(model_name, version or "")
        except (ModelNotFound, VersionNotFound) as error:
            raise InvalidRequest.of(FieldError("version", f"names what there is not: {error.detail}")) from error
        row = state.deployments.get(found.version)
        problems = list(_problems_of_candidate(model_name, found.version, row))
        if problems or row is None:
            raise InvalidRequest.of(*problems)
        return row

    def _champion(self, model_name: str, state: TrafficState) -> tuple[str, str | None]:
        """Return the one version that answers for the model's name, and the alias that its route names."""
        table = state.record.table
        if table is None:
            newest = newest_answering(state.deployments)
            if newest is None:
                detail = f"has no version that answers yet: the first one needs no rollout, {_deploy(model_name)}"
                raise InvalidRequest.of(FieldError("model_name", detail))
            return newest.version, None
        targets = [route.target for route in table.routes if route.weight > 0]
        versions = {target.version or state.aliases.get(target.alias or "") for target in targets}
        champion = next(iter(versions))
        if len(versions) != 1 or champion is None:
            shown = ", ".join(str(target) for target in targets)
            detail = (
                f"divides its requests between {shown}: a rollout starts from one version. "
                f"`raylift traffic set {model_name} VERSION=1` chooses it"
            )
            raise InvalidRequest.of(FieldError("model_name", detail))
        return champion, next((target.alias for target in targets if target.alias is not None), None)


def _problems_of_candidate(model_name: str, version: str, row: Deployment | None) -> Iterator[FieldError]:
    path = deployment_path(model_name, version)
    if row is None or not row.wanted:
        yield FieldError("version", f"is {version}, which is not deployed: PUT {path} starts it")
    elif row.status is DeploymentStatus.UNHEALTHY:
        why = row.message or "Ray Serve does not say why"
        yield FieldError("version", f"is {version}, which does not load: {why}. PUT {path} tries it again")


def _is_champion(model_name: str, version: str, state: TrafficState) -> str:
    others = sorted((row for row in state.deployments if row != version), key=version_number)
    advice = f"; `raylift traffic set {model_name} {others[-1]}=1` sends them to another one first" if others else ""
    return f"is {version}, which answers every request for {model_name} already{advice}"


def _deploy(model_name: str) -> str:
    return f"it answers every request for {model_name} once it is ready"


def _pin(champion: str, candidate: Deployment) -> TrafficTable | None:
    """Return the table of a rollback of a model without one: a newer candidate would take over by itself."""
    if not candidate.config.take_traffic or version_number(candidate.version) < version_number(champion):
        return None
    return TrafficTable((Route(Target(version=champion), 1.0),))


def _started(champion: str, candidate: Deployment) -> str:
    wait = "" if candidate.answers else " It begins once that version is ready."
    return f"From version {champion} to version {candidate.version}.{wait}"


def _by(done: str, who: str, reason: str | None) -> str:
    return f"{done} by {who}" + (f": {reason}" if reason else ".")
