"""The gate after training: whether a new version gets an alias, by the metrics of its run and of the champion's."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import StrEnum

from raylift.domain.errors import FieldError
from raylift.domain.rollouts.expression import CHAMPION, expression_error, holds, names_in
from raylift.domain.rollouts.rollout import RolloutPlan, problems_of
from raylift.domain.traffic import is_alias


class First(StrEnum):
    """Treatment of a version while the alias names none, and the condition compares with it."""

    PROMOTE = "promote"
    KEEP = "keep"


class GateOutcome(StrEnum):
    PENDING = "pending"
    """The job has not ended, or its version is not ready yet."""
    PROMOTED = "promoted"
    """The alias was moved, or a rollout was begun that will move it."""
    KEPT = "kept"
    """The alias stays where it was; the message says why."""


@dataclass(frozen=True, slots=True)
class Gate:
    """Part of a training submission. Schedules and reruns have it, too."""

    alias: str
    when: str | None = None
    """Condition over metrics. None: every version passes."""
    first: First = First.PROMOTE
    rollout: RolloutPlan | None = None
    """Steps of the new version. None: the alias moves at once."""


@dataclass(frozen=True, slots=True)
class Promotion:
    """Outcome of a job's gate."""

    job_id: str
    outcome: GateOutcome = GateOutcome.PENDING
    message: str = ""
    champion: str | None = None
    """Version that the alias named. None: none, or not decided yet."""
    version: str | None = None
    values: Mapping[str, float] = field(default_factory=dict[str, float])
    """Compared metrics; those of the champion begin with ``champion.``."""
    rollout_id: str | None = None
    decided_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Verdict:
    passes: bool
    message: str
    values: Mapping[str, float]


def gate_problems(gate: Gate, *, has_model: bool, deploys: bool, is_sweep: bool) -> list[FieldError]:
    """Validate the gate of an upload."""
    errors: list[FieldError] = []
    if not has_model:
        errors.append(FieldError("promote", "needs model_name: without it no version is registered"))
    if is_sweep:
        errors.append(FieldError("promote", "cannot be given with a sweep, which chooses its best job by itself"))
    if not is_alias(gate.alias):
        errors.append(FieldError("promote.alias", f"{gate.alias[:50]!r} is not the name of an alias"))
    if gate.when is not None and (detail := expression_error(gate.when)) is not None:
        errors.append(FieldError("promote.when", detail))
    if gate.rollout is not None:
        plan = replace(gate.rollout, alias=None)  # Named above.
        errors += problems_of(plan, prefix="promote.rollout.")
        if not deploys:
            errors.append(FieldError("promote.rollout", "needs deploy: a version that is not deployed gets no requests"))
    return errors


def judge(gate: Gate, candidate: Mapping[str, float], champion: Mapping[str, float] | None) -> Verdict:
    """Compare. ``champion`` is None where the alias names no version. A missing metric is no promotion."""
    if gate.when is None:
        return Verdict(True, "The gate has no condition.", {})
    names = names_in(gate.when)
    if champion is None and any(name.startswith(CHAMPION) for name in names):
        passes = gate.first is First.PROMOTE
        done = "it is promoted as the first" if passes else "it is kept, as first: keep says"
        return Verdict(passes, f"The alias {gate.alias!r} names no version to compare with: {done}.", {})
    found = dict(candidate) | {CHAMPION + name: value for name, value in (champion or {}).items()}
    values = {name: found[name] for name in names if name in found}
    missing = [name for name in names if not math.isfinite(values.get(name, math.nan))]
    if missing:
        return Verdict(False, f"No figure for {_listed(missing)}, which `{gate.when}` needs.", values)
    try:
        passes = holds(gate.when, values)
    except ValueError as error:
        return Verdict(False, f"`{gate.when}` cannot be computed: {error}.", values)
    shown = ", ".join(f"{name} = {value:.6g}" for name, value in values.items())
    return Verdict(passes, f"`{gate.when}` {'holds' if passes else 'does not hold'}: {shown}.", values)


def _listed(names: list[str]) -> str:
    of_run = [name for name in names if not name.startswith(CHAMPION)]
    of_champion = [name.removeprefix(CHAMPION) for name in names if name.startswith(CHAMPION)]
    parts = [f"{', '.join(of_run)} in the run"] if of_run else []
    return " and ".join([*parts, *([f"{', '.join(of_champion)} in the champion's run"] if of_champion else [])])
