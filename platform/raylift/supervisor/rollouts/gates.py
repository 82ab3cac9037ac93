"""Decides the gates of jobs whose versions are registered: moves the alias, begins a rollout, or keeps the champion."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from datetime import datetime

from raylift.domain.errors import (
    EngineUnavailable,
    PlatformError,
    RolloutNotFound,
    StaleLease,
    TrafficChanged,
    VersionNotFound,
)
from raylift.domain.job import Job, JobStatus
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.rollouts.gate import Gate, GateOutcome, Promotion, Verdict, judge
from raylift.domain.traffic import Route, Target, TrafficTable
from raylift.services.ports import Registry
from raylift.services.rollouts.rollouts import RolloutService
from raylift.services.traffic.tables import TrafficService
from raylift.store import Store

log = logging.getLogger(__name__)


class GateExecutor:
    def __init__(
        self,
        store: Store,
        registry: Registry,
        traffic: TrafficService,
        rollouts: RolloutService,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._registry = registry
        self._traffic = traffic
        self._rollouts = rollouts
        self._clock = clock

    def attend(self, lease: Lease) -> None:
        """Decide every gate that can be decided. One that fails does not keep the others.

        Raises:
            EngineUnavailable: the database or MLflow does not answer.
            StaleLease: another supervisor has taken over.
        """
        failure = None
        for job in self._store.gates.pending():
            try:
                promotion = self._promotion(job)
                if promotion is not None and self._store.gates.decide(lease, job, promotion):
                    log.info("gate of %s: %s: %s", job.job_id, promotion.outcome, promotion.message)
            except StaleLease:
                raise
            except Exception as error:
                log.exception("gate of %s", job.job_id)
                failure = error
        if failure is not None:
            raise failure

    def _promotion(self, job: Job) -> Promotion | None:
        """Return what becomes of a gate; None while its version starts. Repeated after a kill, it finds what was done."""
        gate, name, version = job.spec.promote, job.spec.model_name, job.model_version
        if gate is None or name is None or version is None or job.status is not JobStatus.COMPLETED:
            return self._kept(job, "The job registered no version.")
        row = {row.version: row for row in self._store.deployments.list(name)}.get(version)
        if row is not None and row.wanted and not row.answers:
            if row.status is not DeploymentStatus.UNHEALTHY:
                return None
            return self._kept(job, f"Version {version} does not load: {row.message or 'Ray Serve does not say why'}.")
        try:
            return self._decided(job, gate, name, version)
        except EngineUnavailable:
            raise
        except PlatformError as error:
            return self._kept(job, f"The condition holds, but version {version} could not be promoted: {error.detail}")

    def _decided(self, job: Job, gate: Gate, name: str, version: str) -> Promotion:
        champion = self._registry.model(name).aliases.get(gate.alias)
        if champion == version:
            promoted = f"The alias {gate.alias!r} names version {version}."
            return Promotion(job.job_id, GateOutcome.PROMOTED, promoted, None, version, decided_at=self._clock())
        candidate = {**self._registry.version(name, version).metrics, **job.metrics}
        verdict = judge(gate, candidate, None if champion is None else self._metrics(name, champion))
        if not verdict.passes:
            return self._kept(job, verdict.message, champion, verdict.values)
        before = self._rollouts.champion_of(name) if gate.rollout is not None else None
        if gate.rollout is None or before in (None, version):
            return self._promoted(job, gate, name, version, champion, verdict)
        return self._begun(job, gate, name, version, champion, verdict)

    def _promoted(self, job: Job, gate: Gate, name: str, version: str, champion: str | None, verdict: Verdict) -> Promotion:
        who = job.spec.owner
        self._store.deployments.request_scale_up(name, version, now=self._clock())  # Before requests come.
        self._traffic.set_alias(name, gate.alias, version, who=who)
        record = self._store.traffic.get(name)
        wanted = {row.version for row in self._store.deployments.list(name) if row.wanted}
        if (record is None or record.table is None) and version in wanted:
            # Without a table the newest version would answer, promoted or not.
            table = TrafficTable((Route(Target(alias=gate.alias), 1.0),))
            with suppress(TrafficChanged):  # A user has made one in the meantime: that one holds.
                self._traffic.put(name, table, who=who, expected_revision=record.revision if record else 0)
        message = f"{verdict.message} The alias {gate.alias!r} names version {version} now."
        return Promotion(job.job_id, GateOutcome.PROMOTED, message, champion, version, verdict.values, decided_at=self._clock())

    def _begun(self, job: Job, gate: Gate, name: str, version: str, champion: str | None, verdict: Verdict) -> Promotion:
        rollout_id = f"rollout_{job.job_id.removeprefix('job_')}"
        plan = gate.rollout
        assert plan is not None  # noqa: S101 - the caller's condition
        try:
            self._store.rollouts.get(rollout_id)  # Begun before a kill. It may even have ended.
        except RolloutNotFound:
            self._rollouts.start(name, version, plan, who=job.spec.owner, rollout_id=rollout_id, job_id=job.job_id)
        message = f"{verdict.message} The rollout {rollout_id} began."
        return Promotion(
            job.job_id, GateOutcome.PROMOTED, message, champion, version, verdict.values, rollout_id, self._clock()
        )

    def _metrics(self, name: str, version: str) -> Mapping[str, float]:
        try:
            return self._registry.version(name, version).metrics
        except VersionNotFound:
            return {}

    def _kept(
        self, job: Job, message: str, champion: str | None = None, values: Mapping[str, float] | None = None
    ) -> Promotion:
        now = self._clock()
        return Promotion(job.job_id, GateOutcome.KEPT, message, champion, job.model_version, values or {}, decided_at=now)
