"""A rollout: requests for a model go from its champion to a candidate version, step by step."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum
from typing import Final

from raylift.domain.errors import FieldError
from raylift.domain.rollouts.sequential import SequentialTest
from raylift.domain.traffic import Route, Target, TrafficTable, is_alias

ROLLOUT_ID: Final = re.compile(r"rollout_[0-9A-Z]{26}")
MAX_STEPS: Final = 20
MAX_PAUSE_SECONDS: Final = 30 * 86_400
MAX_MIN_REQUESTS: Final = 1_000_000_000
WHOLE: Final = 100.0
LEAST_PERCENT: Final = 0.01


class RolloutStatus(StrEnum):
    RUNNING = "running"
    PAUSED = "paused"
    """A user holds it at its step. Its guards go on."""
    AWAITING_APPROVAL = "awaiting_approval"
    COMPLETING = "completing"
    """The candidate has all requests; the alias is about to be moved."""
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    """The traffic is what it was before the rollout: a guard failed, or a user aborted or rejected it."""
    SUPERSEDED = "superseded"
    """Somebody changed the traffic or the alias by hand. The rollout has touched nothing since."""


ACTIVE: Final = frozenset(
    {RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.AWAITING_APPROVAL, RolloutStatus.COMPLETING}
)


class StepKind(StrEnum):
    SHADOW = "shadow"
    """The candidate gets copies of requests; its answers are discarded."""
    WEIGHT = "weight"
    """The candidate answers a share of the requests."""
    APPROVAL = "approval"
    """The traffic stays as it is until a user approves or rejects."""


class RolloutEventKind(StrEnum):
    """Kinds of entries in a rollout's history."""

    STARTED = "started"
    ADVANCED = "advanced"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    PAUSED = "paused"
    RESUMED = "resumed"
    PROMOTED = "promoted"
    """A user skipped the steps that were left."""
    COMPLETED = "completed"
    ROLLED_BACK = "rolled_back"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Step:
    kind: StepKind
    percent: float = 0.0
    """Share of the candidate, in percent; of a step of the kind ``weight``."""
    pause_seconds: float = 0.0
    """The step lasts at least so long."""
    min_requests: int = 0
    """The step lasts until the candidate has ended at least so many requests in it."""

    def __str__(self) -> str:
        return f"{self.percent:g} %" if self.kind is StepKind.WEIGHT else str(self.kind.value)


@dataclass(frozen=True, slots=True)
class Guards:
    """Limits of the candidate against the champion. None: not watched."""

    false_alarm: float = 0.01
    """Probability, over the whole rollout, that a candidate that is as good is rolled back by a sequential test."""
    error_increase: float | None = 0.001
    """Increase of the share of failed requests that is never a reason."""
    p95_ratio: float | None = 2.0
    """The candidate's p95 latency may be so many times that of the champion."""
    quality_drop: float | None = 0.0
    """Drop of the accuracy, from feedback, that is never a reason."""
    rmse_ratio: float | None = 1.2
    """The candidate's RMSE, from feedback, may be so many times that of the champion."""


@dataclass(frozen=True, slots=True)
class RolloutPlan:
    """Steps and guards of a rollout, and the alias that moves at its end."""

    steps: tuple[Step, ...]
    guards: Guards = Guards()
    alias: str | None = None


@dataclass(frozen=True, slots=True)
class Both:
    """Counters of the two versions."""

    champion: Mapping[str, float] = field(default_factory=dict[str, float])
    candidate: Mapping[str, float] = field(default_factory=dict[str, float])


@dataclass(frozen=True, slots=True)
class Watch:
    """Observations of a rollout. Stored with it, so that a restart goes on where they were."""

    step: Both = field(default_factory=Both)
    """Counters at the start of the step."""
    last: Both = field(default_factory=Both)
    """Counters that the test has seen."""
    errors: SequentialTest = field(default_factory=SequentialTest)
    quality: SequentialTest = field(default_factory=SequentialTest)
    """Test of wrong answers, from feedback."""
    step_requests: int = 0
    """Requests that the candidate has ended in the step."""
    champion_p95_seconds: float | None = None
    candidate_p95_seconds: float | None = None
    champion_rmse: float | None = None
    candidate_rmse: float | None = None


@dataclass(frozen=True, slots=True)
class RolloutEntry:
    """One line of the history. ``step`` counts from 0; None before the first."""

    at: datetime
    kind: RolloutEventKind
    step: int | None
    message: str
    who: str | None = None
    """None: the platform."""


@dataclass(frozen=True, slots=True)
class Rollout:
    """A rollout as stored. Times are UTC and timezone-aware."""

    rollout_id: str
    model_name: str
    workspace: str
    champion: str
    candidate: str
    plan: RolloutPlan
    status: RolloutStatus
    created_at: datetime
    created_by: str
    updated_at: datetime
    restore: TrafficTable | None
    """The traffic that a rollback writes. None: no table."""
    had_table: bool
    """False: the model had no table before. ``restore`` may pin the champion then."""
    traffic_revision: int
    """Revision of the traffic as the rollout left it. Another one was made by hand."""
    alias_before: str | None = None
    """Version of the plan's alias at the start."""
    step: int | None = None
    """Position of the present step. None: the first has not begun."""
    step_at: datetime | None = None
    """Start of the step, without pauses."""
    paused_at: datetime | None = None
    approved_by: str | None = None
    """User who approved the present step."""
    finished_at: datetime | None = None
    message: str = ""
    """State in words; of an ended rollout its reason."""
    watch: Watch = Watch()
    history: tuple[RolloutEntry, ...] = ()
    job_id: str | None = None
    """Job whose gate began it."""
    revision: int = 1
    """Grows with each change. A change by somebody who read an older one is dropped."""

    @property
    def present_step(self) -> Step | None:
        return None if self.step is None else self.plan.steps[self.step]

    @property
    def is_active(self) -> bool:
        return self.status in ACTIVE

    @property
    def is_whole(self) -> bool:
        """True while the candidate answers every request: the champion gives no comparison then."""
        step = self.present_step
        return self.status is RolloutStatus.COMPLETING or (step is not None and step.percent >= WHOLE)


def problems_of(plan: RolloutPlan, *, prefix: str = "") -> list[FieldError]:
    """Validate a plan by itself. The existence of its alias is not checked."""
    errors = [*_problems_of_steps(plan.steps), *_problems_of_guards(plan.guards)]
    if plan.alias is not None and not is_alias(plan.alias):
        errors.append(FieldError("alias", f"{plan.alias[:50]!r} is not the name of an alias"))
    return [replace(error, field=prefix + error.field) for error in errors]


def table_of_step(rollout: Rollout, position: int) -> TrafficTable | None:
    """Return the traffic of a step. An approval keeps that of the step before."""
    while position >= 0 and rollout.plan.steps[position].kind is StepKind.APPROVAL:
        position -= 1
    if position < 0:
        return rollout.restore
    step, base = rollout.plan.steps[position], rollout.restore
    champion, candidate = Target(version=rollout.champion), Target(version=rollout.candidate)
    others = tuple(target for target in (base.shadow if base else ()) if target not in (champion, candidate))
    sticky = base.sticky if base else None
    if step.kind is StepKind.SHADOW:
        return TrafficTable((Route(champion, WHOLE),), (candidate, *others), sticky)
    routes = (Route(champion, WHOLE - step.percent), Route(candidate, step.percent))
    return TrafficTable(tuple(route for route in routes if route.weight > 0), others, sticky)


def final_table(rollout: Rollout) -> TrafficTable:
    """Return the traffic after the last step: the former table with the candidate in the champion's place.

    Routes of the plan's alias stay, because the alias has moved. A model without a table gets one, of the alias if there is
    one: otherwise the next version that is trained would take over by itself.
    """
    alias, base = rollout.plan.alias, rollout.restore
    candidate = Target(version=rollout.candidate) if alias is None else Target(alias=alias)
    if not rollout.had_table or base is None:
        return TrafficTable((Route(candidate, 1.0),))
    old = next(route.target for route in base.routes if route.weight > 0)
    kept = Target(alias=alias) if alias is not None and old.alias == alias else Target(version=rollout.candidate)
    routes = [replace(route, target=kept) if route.target == old else route for route in base.routes]
    idle = [route for route in routes if route.weight == 0 and route.target != kept]
    shadow = tuple(target for target in base.shadow if target not in (kept, Target(version=rollout.candidate)))
    return replace(base, routes=(*(route for route in routes if route.weight > 0), *idle), shadow=shadow)


def _problems_of_steps(steps: Sequence[Step]) -> list[FieldError]:
    if not steps:
        return [FieldError("steps", "must have at least one; the last one is 100")]
    if len(steps) > MAX_STEPS:
        return [FieldError("steps", f"must not have more than {MAX_STEPS}")]
    errors: list[FieldError] = []
    before = 0.0
    for position, step in enumerate(steps):
        name = f"steps[{position}]"
        errors += _problems_of_waits(name, step)
        if step.kind is StepKind.SHADOW and before:
            errors.append(FieldError(name, "is shadow, which can only come before the first weight"))
        if step.kind is not StepKind.WEIGHT:
            continue
        if not LEAST_PERCENT <= step.percent <= WHOLE:
            errors.append(FieldError(f"{name}.weight", f"must be between {LEAST_PERCENT:g} and 100, in percent"))
        elif step.percent <= before:
            errors.append(FieldError(f"{name}.weight", f"is {step.percent:g} after {before:g}: weights must rise"))
        before = max(before, step.percent)
    last = steps[-1]
    if last.kind is not StepKind.WEIGHT or last.percent < WHOLE:
        errors.append(FieldError(f"steps[{len(steps) - 1}]", "must be the weight 100: the candidate takes over at the end"))
    return errors


def _problems_of_waits(name: str, step: Step) -> list[FieldError]:
    found = (
        ("pause_seconds", step.pause_seconds, MAX_PAUSE_SECONDS),
        ("min_requests", step.min_requests, MAX_MIN_REQUESTS),
    )
    return [
        FieldError(f"{name}.{field}", f"must be between 0 and {most}") for field, value, most in found if not 0 <= value <= most
    ]


def _problems_of_guards(guards: Guards) -> list[FieldError]:
    errors: list[FieldError] = []
    if not 1e-6 <= guards.false_alarm <= 0.5:
        errors.append(FieldError("guards.false_alarm", "must be between 0.000001 and 0.5"))
    errors += [
        FieldError(f"guards.{name}", "must be between 0 and 1, or null")
        for name, value in (("error_increase", guards.error_increase), ("quality_drop", guards.quality_drop))
        if value is not None and not 0 <= value < 1
    ]
    errors += [
        FieldError(f"guards.{name}", "must be between 1 and 1000, or null")
        for name, value in (("p95_ratio", guards.p95_ratio), ("rmse_ratio", guards.rmse_ratio))
        if value is not None and not 1 <= value <= 1000
    ]
    return errors


DEFAULT_STEPS: Final = (
    Step(StepKind.SHADOW, pause_seconds=300),
    Step(StepKind.WEIGHT, 5, 600, 100),
    Step(StepKind.WEIGHT, 25, 600, 100),
    Step(StepKind.WEIGHT, WHOLE),
)
