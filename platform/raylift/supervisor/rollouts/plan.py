"""Planner of rollouts: a pure function of a rollout, what is observed, and the time."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from raylift.domain.models.deployment import Deployment, DeploymentStatus
from raylift.domain.rollouts.guards import Qualities, failure, observe
from raylift.domain.rollouts.moves import RolloutMove, begin_promotion, enter_step, note, roll_back, supersede
from raylift.domain.rollouts.rollout import Both, Rollout, RolloutStatus


@dataclass(frozen=True, slots=True)
class RolloutFacts:
    """Observations of the traffic, the deployments and the counters of a rollout's versions."""

    traffic_revision: int
    traffic_by: str
    alias_version: str | None
    champion: Deployment | None
    candidate: Deployment | None
    counts: Both
    quality: Qualities | None = None


def plan_rollout(rollout: Rollout, facts: RolloutFacts, now: datetime) -> RolloutMove | None:
    """Return the next move; None: nothing has changed."""
    if (reason := _superseded(rollout, facts)) is not None:
        return supersede(rollout, reason, now)
    if rollout.status is RolloutStatus.COMPLETING:
        return None  # The executor moves the alias.
    if (reason := _unable(rollout, facts.candidate)) is not None:
        return roll_back(rollout, reason, now)
    if rollout.step is None:
        ready = facts.candidate is not None and facts.candidate.answers
        going = rollout.status is RolloutStatus.RUNNING
        return enter_step(rollout, 0, facts.counts, now) if ready and going else None
    watch = observe(rollout, facts.counts, facts.quality)
    seen = replace(rollout, watch=watch)
    if (reason := failure(seen, watch)) is not None:
        return roll_back(seen, reason, now)
    if _is_over(seen, now):
        following = rollout.step + 1
        if following == len(rollout.plan.steps):
            return begin_promotion(seen, now)
        return enter_step(seen, following, facts.counts, now)
    return note(rollout, watch) if watch != rollout.watch else None


def _superseded(rollout: Rollout, facts: RolloutFacts) -> str | None:
    if facts.traffic_revision != rollout.traffic_revision:
        return (
            f"{facts.traffic_by or 'Somebody'} changed the traffic by hand (revision {facts.traffic_revision}): "
            "the rollout leaves it as it is."
        )
    alias = rollout.plan.alias
    moved = {rollout.candidate} if rollout.status is RolloutStatus.COMPLETING else set[str]()
    if alias is not None and facts.alias_version not in {rollout.alias_before, *moved}:
        now = f"version {facts.alias_version}" if facts.alias_version is not None else "no version"
        return f"The alias {alias!r} was moved by hand and names {now}: the rollout leaves the traffic as it is."
    if not rollout.is_whole and (facts.champion is None or not facts.champion.wanted):
        return f"Version {rollout.champion} was taken down by hand: there is nothing to compare with, or to go back to."
    return None


def _unable(rollout: Rollout, candidate: Deployment | None) -> str | None:
    if candidate is None or not candidate.wanted:
        return f"Version {rollout.candidate} is no longer deployed."
    if candidate.status is DeploymentStatus.UNHEALTHY:
        return f"Version {rollout.candidate} does not load: {candidate.message or 'Ray Serve does not say why'}."
    return None


def _is_over(rollout: Rollout, now: datetime) -> bool:
    step = rollout.present_step
    if step is None or rollout.step_at is None or rollout.status is RolloutStatus.PAUSED:
        return False
    if rollout.status is RolloutStatus.AWAITING_APPROVAL:
        return rollout.approved_by is not None
    lasted = now - rollout.step_at >= timedelta(seconds=step.pause_seconds)
    return lasted and rollout.watch.step_requests >= step.min_requests
