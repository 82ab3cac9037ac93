"""Moves of a rollout: the next state, the traffic that is written with it, and the event that tells it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

from raylift.domain.rollouts.rollout import (
    Both,
    Rollout,
    RolloutEntry,
    RolloutEventKind,
    RolloutStatus,
    StepKind,
    Watch,
    final_table,
    table_of_step,
)
from raylift.domain.traffic import TrafficTable

MAX_HISTORY: Final = 200


@dataclass(frozen=True, slots=True)
class RolloutMove:
    """A change of a rollout, carried out in one transaction."""

    rollout: Rollout
    """The new state, with the revision that was read."""
    writes_traffic: bool = False
    table: TrafficTable | None = None
    event: RolloutEventKind | None = None
    """None: only observations changed."""
    who: str | None = None
    """None: the platform."""


def enter_step(rollout: Rollout, position: int, counts: Both, now: datetime) -> RolloutMove:
    """Begin a step: write its traffic, and count its requests from now on."""
    step = rollout.plan.steps[position]
    is_first = rollout.step is None
    number = f"Step {position + 1} of {len(rollout.plan.steps)}"
    if step.kind is StepKind.APPROVAL:
        status, event = RolloutStatus.AWAITING_APPROVAL, RolloutEventKind.AWAITING_APPROVAL
        message = f"{number} waits for approval."
    else:
        status, event = RolloutStatus.RUNNING, RolloutEventKind.ADVANCED
        what = "copies of requests go to" if step.kind is StepKind.SHADOW else f"{step.percent:g} % of requests go to"
        message = f"{number}: {what} version {rollout.candidate}."
    watch = replace(
        rollout.watch,
        step=counts,
        last=counts if is_first else rollout.watch.last,
        step_requests=0,
        candidate_p95_seconds=None,
    )
    moved = replace(rollout, step=position, step_at=now, status=status, approved_by=None, watch=watch)
    return _move(moved, event, message, now, table=table_of_step(rollout, position), writes=True)


def note(rollout: Rollout, watch: Watch) -> RolloutMove:
    """Keep new observations."""
    return RolloutMove(replace(rollout, watch=watch))


def begin_promotion(rollout: Rollout, now: datetime, *, who: str | None = None) -> RolloutMove:
    """Give the candidate every request; the alias moves next."""
    last = len(rollout.plan.steps) - 1
    moved = replace(rollout, step=last, status=RolloutStatus.COMPLETING, paused_at=None, step_at=now)
    message = "The remaining steps were skipped." if who else "Every step has passed."
    kind = RolloutEventKind.PROMOTED if who else RolloutEventKind.ADVANCED
    return _move(moved, kind, message, now, table=table_of_step(rollout, last), writes=True, who=who)


def complete(rollout: Rollout, now: datetime) -> RolloutMove:
    """End the rollout, after its alias has moved."""
    alias = rollout.plan.alias
    moved = f"; the alias {alias!r} names it now" if alias is not None else ""
    message = f"Version {rollout.candidate} answers every request in place of version {rollout.champion}{moved}."
    ended = replace(rollout, status=RolloutStatus.COMPLETED, finished_at=now)
    return _move(ended, RolloutEventKind.COMPLETED, message, now, table=final_table(rollout), writes=True)


def roll_back(rollout: Rollout, reason: str, now: datetime, *, who: str | None = None) -> RolloutMove:
    """End the rollout with the traffic that there was before it."""
    ended = replace(rollout, status=RolloutStatus.ROLLED_BACK, finished_at=now, paused_at=None)
    return _move(ended, RolloutEventKind.ROLLED_BACK, reason, now, table=rollout.restore, writes=True, who=who)


def supersede(rollout: Rollout, reason: str, now: datetime) -> RolloutMove:
    """End the rollout, and leave the traffic as it is."""
    ended = replace(rollout, status=RolloutStatus.SUPERSEDED, finished_at=now, paused_at=None)
    return _move(ended, RolloutEventKind.SUPERSEDED, reason, now)


def pause(rollout: Rollout, who: str, now: datetime) -> RolloutMove:
    """Hold the rollout at its step."""
    held = replace(rollout, status=RolloutStatus.PAUSED, paused_at=now)
    return _move(held, RolloutEventKind.PAUSED, "Paused: the traffic stays as it is, and the guards go on.", now, who=who)


def resume(rollout: Rollout, who: str, now: datetime) -> RolloutMove:
    """Go on. The pause does not count for the step's time."""
    step_at = rollout.step_at
    if step_at is not None and rollout.paused_at is not None:
        step_at += now - rollout.paused_at
    going = replace(rollout, status=RolloutStatus.RUNNING, paused_at=None, step_at=step_at)
    return _move(going, RolloutEventKind.RESUMED, "Resumed.", now, who=who)


def approve(rollout: Rollout, who: str, now: datetime) -> RolloutMove:
    """Let the rollout go on to the next step."""
    approved = replace(rollout, approved_by=who)
    return _move(approved, RolloutEventKind.APPROVED, f"Approved by {who}.", now, who=who)


def _move(
    rollout: Rollout,
    kind: RolloutEventKind,
    message: str,
    now: datetime,
    *,
    table: TrafficTable | None = None,
    writes: bool = False,
    who: str | None = None,
) -> RolloutMove:
    entry = RolloutEntry(now, kind, rollout.step, message, who)
    told = replace(rollout, message=message, updated_at=now, history=(*rollout.history, entry)[-MAX_HISTORY:])
    return RolloutMove(told, writes, table, kind, who)
