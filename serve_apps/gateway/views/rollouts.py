"""Rollouts in the REST API."""

from __future__ import annotations

from typing import Literal

from raylift.api import paths
from raylift.api.rollouts.rollouts import (
    GuardsBody,
    RolloutEntryView,
    RolloutSettings,
    RolloutView,
    StepBody,
    StepView,
    VersionFigures,
)
from raylift.domain.rollouts.rollout import (
    DEFAULT_STEPS,
    Guards,
    Rollout,
    RolloutPlan,
    RolloutStatus,
    Step,
    StepKind,
)

ACTIONS = ("approve", "reject", "pause", "resume", "abort", "promote")


def plan_of(settings: RolloutSettings, alias: str | None) -> RolloutPlan:
    """Translate a body into a plan. The domain validates it."""
    steps = DEFAULT_STEPS if settings.steps is None else tuple(map(_step, settings.steps))
    return RolloutPlan(steps, Guards(**settings.guards.model_dump()), alias)


def rollout_view(rollout: Rollout) -> RolloutView:
    watch, guards = rollout.watch, rollout.plan.guards
    below = {name: paths.rollout(rollout.rollout_id, name) for name in ACTIONS}
    return RolloutView(
        rollout_id=rollout.rollout_id,
        model_name=rollout.model_name,
        workspace=rollout.workspace,
        champion=rollout.champion,
        candidate=rollout.candidate,
        alias=rollout.plan.alias,
        status=rollout.status.value,
        active=rollout.is_active,
        step=_number(rollout.step),
        steps=[_step_view(rollout, position, step) for position, step in enumerate(rollout.plan.steps)],
        step_started_at=rollout.step_at,
        step_requests=watch.step_requests,
        message=rollout.message,
        guards=GuardsBody(
            false_alarm=guards.false_alarm,
            error_increase=guards.error_increase,
            p95_ratio=guards.p95_ratio,
            quality_drop=guards.quality_drop,
            rmse_ratio=guards.rmse_ratio,
        ),
        versions=[
            VersionFigures(
                version=rollout.champion,
                requests=watch.errors.champion.requests,
                failures=watch.errors.champion.failures,
                p95_seconds=watch.champion_p95_seconds,
                rows_with_feedback=watch.quality.champion.requests,
                wrong_rows=watch.quality.champion.failures,
                rmse=watch.champion_rmse,
            ),
            VersionFigures(
                version=rollout.candidate,
                requests=watch.errors.candidate.requests,
                failures=watch.errors.candidate.failures,
                p95_seconds=watch.candidate_p95_seconds,
                rows_with_feedback=watch.quality.candidate.requests,
                wrong_rows=watch.quality.candidate.failures,
                rmse=watch.candidate_rmse,
            ),
        ],
        error_p_value=watch.errors.p_value,
        quality_p_value=watch.quality.p_value,
        history=[
            RolloutEntryView(at=entry.at, kind=entry.kind.value, step=_number(entry.step), message=entry.message, who=entry.who)
            for entry in rollout.history
        ],
        paused_at=rollout.paused_at,
        created_at=rollout.created_at,
        created_by=rollout.created_by,
        updated_at=rollout.updated_at,
        finished_at=rollout.finished_at,
        job_id=rollout.job_id,
        links={"self": paths.rollout(rollout.rollout_id), **(below if rollout.is_active else {})},
    )


def _step(body: StepBody) -> Step:
    kind = StepKind.SHADOW if body.shadow else StepKind.APPROVAL if body.approval else StepKind.WEIGHT
    return Step(kind, body.weight or 0.0, body.pause_seconds, body.min_requests)


def _step_view(rollout: Rollout, position: int, step: Step) -> StepView:
    return StepView(
        kind=step.kind.value,
        weight=step.percent,
        pause_seconds=step.pause_seconds,
        min_requests=step.min_requests,
        state=_state(rollout, position),
    )


def _state(rollout: Rollout, position: int) -> Literal["done", "active", "pending"]:
    if rollout.step is None or position > rollout.step:
        return "pending"
    if position < rollout.step or rollout.status is RolloutStatus.COMPLETED:
        return "done"
    return "active" if rollout.is_active else "pending"


def _number(position: int | None) -> int | None:
    return None if position is None else position + 1
