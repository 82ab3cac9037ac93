"""Executes planned moves of rollouts. A killed supervisor leaves a move done or not begun: a move is one transaction."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

from raylift.domain.errors import (
    EngineUnavailable,
    PlatformError,
    StaleLease,
    StaleRollout,
    TrafficChanged,
)
from raylift.domain.lease import Lease
from raylift.domain.rollouts.guards import Qualities, figures
from raylift.domain.rollouts.moves import RolloutMove, complete, roll_back
from raylift.domain.rollouts.rollout import Both, Rollout, RolloutEventKind, RolloutStatus
from raylift.engines.metrics.counter_files import read_counts
from raylift.services.models.quality import QualityService
from raylift.services.traffic.tables import TrafficService
from raylift.store import Store
from raylift.supervisor.rollouts.plan import RolloutFacts, plan_rollout

log = logging.getLogger(__name__)

_GOES_ON: Final = frozenset({RolloutEventKind.ADVANCED, RolloutEventKind.AWAITING_APPROVAL})
"""Events of moves that end a step."""
_QUALITY_PAUSE: Final = timedelta(seconds=30)
"""Joining feedback with the payload log reads files."""


class RolloutExecutor:
    def __init__(
        self,
        store: Store,
        traffic: TrafficService,
        quality: QualityService,
        counters_dir: Path,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._traffic = traffic
        self._quality = quality
        self._counters_dir = counters_dir
        self._clock = clock
        self._asked: dict[str, datetime] = {}
        """Time at which the quality of a rollout was last read."""

    def attend(self, lease: Lease) -> None:
        """Plan and execute the next move of every active rollout. One that fails does not keep the others.

        Raises:
            EngineUnavailable: the database or MLflow does not answer.
            StaleLease: another supervisor has taken over.
        """
        active, failure = self._store.rollouts.active(), None
        self._asked = {rollout.rollout_id: at for rollout in active if (at := self._asked.get(rollout.rollout_id))}
        for rollout in active:
            try:
                self._advance(lease, rollout)
            except (StaleRollout, TrafficChanged) as error:
                log.debug("%s", error)  # A user was first: the next look plans from there.
            except StaleLease:
                raise
            except Exception as error:
                log.exception("rollout %s", rollout.rollout_id)
                failure = error
        if failure is not None:
            raise failure

    def _advance(self, lease: Lease, rollout: Rollout) -> None:
        now = self._clock()
        facts = self._facts(rollout, now)
        move = plan_rollout(rollout, facts, now)
        if move is not None and move.event in _GOES_ON and facts.quality is None:
            # A step may be shorter than the pause between two looks at the feedback.
            move = plan_rollout(rollout, replace(facts, quality=self._qualities(rollout, now)), now)
        if move is None and rollout.status is RolloutStatus.COMPLETING:
            move = self._promote(rollout, now)
        if move is not None:
            self._store.rollouts.apply(move, lease=lease, now=now)

    def _promote(self, rollout: Rollout, now: datetime) -> RolloutMove:
        alias = rollout.plan.alias
        if alias is not None:
            try:
                # Repeated after a kill: an alias that is there already is left alone.
                self._traffic.set_alias(rollout.model_name, alias, rollout.candidate, who=rollout.created_by)
            except EngineUnavailable:
                raise
            except PlatformError as error:
                return roll_back(rollout, f"The alias {alias!r} could not be moved: {error.detail}", now)
        return complete(rollout, now)

    def _facts(self, rollout: Rollout, now: datetime) -> RolloutFacts:
        name = rollout.model_name
        record = self._store.traffic.get(name)
        aliases = {known.alias: known.version for known in self._store.traffic.aliases(name)} if rollout.plan.alias else {}
        rows = {row.version: row for row in self._store.deployments.list(name)}
        return RolloutFacts(
            traffic_revision=record.revision if record else 0,
            traffic_by=record.updated_by if record else "",
            alias_version=aliases.get(rollout.plan.alias or ""),
            champion=rows.get(rollout.champion),
            candidate=rows.get(rollout.candidate),
            counts=Both(self._figures(name, rollout.champion), self._figures(name, rollout.candidate)),
            quality=self._qualities(rollout, now) if self._is_quality_due(rollout, now) else None,
        )

    def _figures(self, model_name: str, version: str) -> dict[str, float]:
        return figures(read_counts(self._counters_dir, (model_name, version)), version)

    def _is_quality_due(self, rollout: Rollout, now: datetime) -> bool:
        return now - self._asked.get(rollout.rollout_id, rollout.created_at) >= _QUALITY_PAUSE

    def _qualities(self, rollout: Rollout, now: datetime) -> Qualities | None:
        guards = rollout.plan.guards
        if guards.quality_drop is None and guards.rmse_ratio is None:
            return None
        self._asked[rollout.rollout_id] = now
        champion, candidate = (
            self._quality.over_time(rollout.model_name, version, since=rollout.created_at, step_seconds=None).overall
            for version in (rollout.champion, rollout.candidate)
        )
        return champion, candidate
