"""The planner of rollouts: steps, guards, and hands that take over."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from raylift.domain.models import counters
from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.domain.models.quality import Quality
from raylift.domain.models.series import ERRORS
from raylift.domain.rollouts import moves
from raylift.domain.rollouts.moves import RolloutMove
from raylift.domain.rollouts.rollout import (
    Both,
    Guards,
    Rollout,
    RolloutEventKind,
    RolloutPlan,
    RolloutStatus,
    Step,
    StepKind,
    final_table,
    problems_of,
)
from raylift.domain.traffic import Route, Sticky, Target, TrafficTable
from raylift.supervisor.rollouts.plan import RolloutFacts, plan_rollout

NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
CHAMPION, CANDIDATE = Target(version="3"), Target(version="4")
SHADOW, FIVE, WHOLE = Step(StepKind.SHADOW, 0.0, 60), Step(StepKind.WEIGHT, 5, 60, 10), Step(StepKind.WEIGHT, 100)
APPROVAL = Step(StepKind.APPROVAL)
BEFORE = TrafficTable((Route(CHAMPION, 1.0),), sticky=Sticky(header="X-User"))
FAST, SLOW = counters.SECONDS[4], counters.SECONDS[10]
"""Buckets of up to 2.5 ms and 250 ms."""


def later(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


def rollout_of(*steps: Step, **fields: Any) -> Rollout:
    plan = RolloutPlan(steps or (SHADOW, FIVE, WHOLE), fields.pop("guards", Guards()), fields.pop("alias", None))
    given: dict[str, Any] = {"restore": BEFORE, "had_table": True, "traffic_revision": 7} | fields
    return Rollout("r", "churn", "default", "3", "4", plan, RolloutStatus.RUNNING, NOW, "anna", NOW, **given)


def deployed(version: str, status: DeploymentStatus = DeploymentStatus.READY, *, wanted: bool = True) -> Deployment:
    row = Deployment("churn", version, "models:/churn", DeploymentConfig(), status, NOW, NOW, message="no torch")
    return replace(row, wanted=wanted, ready_at=NOW if status is DeploymentStatus.READY else None)


def counts(requests: int, errors: int = 0, bucket: str = FAST) -> dict[str, float]:
    return {counters.FINISHED: requests, ERRORS: errors, bucket: requests}


def facts(champion: dict[str, float] | None = None, candidate: dict[str, float] | None = None, **fields: Any) -> RolloutFacts:
    given: dict[str, Any] = {
        "traffic_revision": 7, "traffic_by": "bob", "alias_version": None, "champion": deployed("3"),
        "candidate": deployed("4"), "counts": Both(champion or {}, candidate or {}),
    }  # fmt: skip
    return RolloutFacts(**given | fields)


def planned(rollout: Rollout, seen: RolloutFacts, now: datetime = NOW) -> RolloutMove:
    move = plan_rollout(rollout, seen, now)
    assert move is not None
    return move


def in_step(position: int, *steps: Step, **fields: Any) -> Rollout:
    return replace(rollout_of(*steps, **fields), step=position, step_at=NOW)


def test_first_step_sends_copies_and_keeps_sticky_keys() -> None:
    move = planned(rollout_of(), facts(counts(500), counts(3)))
    assert (move.rollout.step, move.event, move.writes_traffic) == (0, RolloutEventKind.ADVANCED, True)
    assert move.table == TrafficTable((Route(CHAMPION, 100.0),), (CANDIDATE,), Sticky(header="X-User"))
    assert move.rollout.watch.last == Both(counts(500), counts(3))


def test_first_step_waits_for_a_candidate_that_starts() -> None:
    starting = deployed("4", DeploymentStatus.STARTING)
    assert plan_rollout(rollout_of(), replace(facts(), candidate=starting), NOW) is None


def test_step_lasts_until_pause_and_requests_are_over() -> None:
    rollout = in_step(1)
    few, many = facts(counts(50), counts(9)), facts(counts(50), counts(10))
    assert planned(rollout, many, later(59)).event is None
    assert planned(rollout, few, later(61)).event is None
    move = planned(rollout, many, later(61))
    assert (move.rollout.step, move.table) == (2, TrafficTable((Route(CANDIDATE, 100.0),), (), Sticky(header="X-User")))


def test_share_of_a_step() -> None:
    move = planned(in_step(0), facts(), later(61))
    assert move.table is not None
    assert move.table.routes == (Route(CHAMPION, 95.0), Route(CANDIDATE, 5.0))
    assert "5 % of requests go to version 4" in move.rollout.message


def test_last_step_ends_in_the_promotion() -> None:
    move = planned(in_step(2), facts(), later(1))
    assert (move.rollout.status, move.event) == (RolloutStatus.COMPLETING, RolloutEventKind.ADVANCED)
    assert plan_rollout(move.rollout, facts(), later(2)) is None
    done = moves.complete(move.rollout, later(2))
    assert (done.rollout.status, done.table) == (RolloutStatus.COMPLETED, replace(BEFORE, routes=(Route(CANDIDATE, 1.0),)))


def test_failing_candidate_is_rolled_back_with_the_numbers() -> None:
    move = planned(in_step(1), facts(counts(950, 2), counts(50, 40)), later(5))
    assert (move.event, move.writes_traffic, move.table) == (RolloutEventKind.ROLLED_BACK, True, BEFORE)
    assert move.rollout.finished_at == later(5)
    assert "Version 4 failed 40 of 50 (80.00%) of its requests, version 3 2 of 950 (0.21%): p = " in move.rollout.message


def test_errors_below_the_increase_are_no_reason() -> None:
    loose = Guards(error_increase=0.9)
    assert planned(in_step(1, guards=loose), facts(counts(950, 2), counts(50, 40)), later(5)).event is None
    assert planned(in_step(1, guards=Guards(error_increase=None)), facts(counts(9), counts(50, 50)), later(5)).event is None


def test_slow_candidate_is_rolled_back_after_enough_requests() -> None:
    few = facts(counts(100), counts(99, bucket=SLOW))
    assert planned(in_step(1), few, later(5)).event is None
    move = planned(in_step(1), facts(counts(100), counts(100, bucket=SLOW)), later(5))
    assert move.event is RolloutEventKind.ROLLED_BACK
    assert "The p95 latency of version 4 is 242.5 ms, that of version 3 2.4 ms" in move.rollout.message


def test_wrong_answers_by_feedback_roll_back() -> None:
    quality = (Quality(500, accuracy=0.95), Quality(200, accuracy=0.5))
    move = planned(in_step(1), facts(counts(10), counts(10), quality=quality), later(5))
    assert move.event is RolloutEventKind.ROLLED_BACK
    assert "version 4 has 100 of 200 (50.00%) wrong, version 3 25 of 500 (5.00%)" in move.rollout.message
    # The same rows again are no further evidence.
    held = in_step(1, guards=Guards(quality_drop=None))
    once = planned(held, facts(counts(10), counts(10), quality=quality), later(5)).rollout
    again = plan_rollout(once, facts(counts(10), counts(10), quality=quality), later(6))
    assert again is None


def test_larger_errors_by_feedback_roll_back() -> None:
    quality = (Quality(500, rmse=1.0, mae=1.0), Quality(200, rmse=1.3, mae=1.0))
    move = planned(in_step(1), facts(counts(10), counts(10), quality=quality), later(5))
    assert "The RMSE of version 4 is 1.3, that of version 3 1: 1.3 times as much" in move.rollout.message


def test_candidate_that_cannot_answer_is_rolled_back() -> None:
    unhealthy = replace(facts(), candidate=deployed("4", DeploymentStatus.UNHEALTHY))
    assert planned(in_step(1), unhealthy).rollout.message == "Version 4 does not load: no torch."
    gone = replace(facts(), candidate=deployed("4", wanted=False))
    assert planned(in_step(1), gone).event is RolloutEventKind.ROLLED_BACK


@pytest.mark.parametrize("status", [RolloutStatus.RUNNING, RolloutStatus.PAUSED, RolloutStatus.COMPLETING])
def test_traffic_changed_by_hand_supersedes_and_touches_nothing(status: RolloutStatus) -> None:
    move = planned(replace(in_step(1), status=status), facts(traffic_revision=8))
    assert (move.event, move.writes_traffic) == (RolloutEventKind.SUPERSEDED, False)
    assert "bob changed the traffic by hand (revision 8)" in move.rollout.message


def test_alias_moved_by_hand_supersedes() -> None:
    rollout = in_step(1, alias="champion", alias_before="3")
    assert planned(rollout, facts(counts(1), counts(1), alias_version="3")).event is None
    assert planned(rollout, facts(alias_version="2")).event is RolloutEventKind.SUPERSEDED
    # Between the move of the alias and the end of the rollout a supervisor may be killed.
    completing = replace(rollout, status=RolloutStatus.COMPLETING)
    assert plan_rollout(completing, facts(alias_version="4"), NOW) is None


def test_champion_taken_down_supersedes() -> None:
    move = planned(in_step(1), replace(facts(), champion=deployed("3", wanted=False)))
    assert move.event is RolloutEventKind.SUPERSEDED


def test_approval_waits_and_keeps_the_traffic() -> None:
    steps = (FIVE, APPROVAL, WHOLE)
    move = planned(in_step(0, *steps), facts(counts(50), counts(50)), later(61))
    assert (move.rollout.status, move.event) == (RolloutStatus.AWAITING_APPROVAL, RolloutEventKind.AWAITING_APPROVAL)
    assert move.table is not None
    assert move.table.routes == (Route(CHAMPION, 95.0), Route(CANDIDATE, 5.0))
    waiting = move.rollout
    assert plan_rollout(waiting, facts(counts(50), counts(50)), later(9999)) is None
    following = planned(moves.approve(waiting, "eve", later(70)).rollout, facts(counts(50), counts(50)), later(71))
    assert (following.rollout.step, following.rollout.approved_by, following.rollout.status) == (2, None, RolloutStatus.RUNNING)


def test_guards_go_on_while_it_waits_or_is_paused() -> None:
    for status in (RolloutStatus.AWAITING_APPROVAL, RolloutStatus.PAUSED):
        waiting = replace(in_step(0, APPROVAL, WHOLE), status=status)
        assert planned(waiting, facts(counts(950), counts(50, 50))).event is RolloutEventKind.ROLLED_BACK


def test_pause_does_not_count_for_the_step() -> None:
    held = moves.pause(in_step(0), "eve", later(10)).rollout
    assert plan_rollout(held, facts(), later(999)) is None
    going = moves.resume(held, "eve", later(1000)).rollout
    assert plan_rollout(going, facts(), later(1049)) is None
    assert planned(going, facts(), later(1051)).rollout.step == 1


def test_restarted_counters_are_counted_from_zero() -> None:
    rollout = replace(in_step(1), watch=replace(in_step(1).watch, step=Both(counts(900), counts(900))))
    assert planned(rollout, facts(counts(5), counts(5))).rollout.watch.step_requests == 5


def test_bad_candidate_at_all_requests_is_rolled_back() -> None:
    rollout = in_step(0, Step(StepKind.WEIGHT, 100, 600))
    move = planned(rollout, facts(counts(0), counts(200, 100)), later(5))
    assert move.event is RolloutEventKind.ROLLED_BACK


def test_final_table_keeps_an_alias_that_moved() -> None:
    by_alias = TrafficTable((Route(Target(alias="champion"), 1.0),))
    assert final_table(rollout_of(alias="champion", restore=by_alias)) == by_alias
    assert final_table(rollout_of(restore=None, had_table=False)).routes == (Route(CANDIDATE, 1.0),)
    follows = final_table(rollout_of(alias="champion", restore=None, had_table=False))
    assert follows.routes == (Route(Target(alias="champion"), 1.0),)


@pytest.mark.parametrize(
    ("steps", "field"),
    [
        ((), "steps"),
        ((FIVE,), "steps[0]"),
        ((FIVE, FIVE, WHOLE), "steps[1].weight"),
        ((Step(StepKind.WEIGHT, 25), FIVE, WHOLE), "steps[1].weight"),
        ((Step(StepKind.WEIGHT, 0), WHOLE), "steps[0].weight"),
        ((FIVE, SHADOW, WHOLE), "steps[1]"),
        ((WHOLE, APPROVAL), "steps[1]"),
        ((Step(StepKind.WEIGHT, 100, -1),), "steps[0].pause_seconds"),
        ((WHOLE,) * 21, "steps"),
    ],
)
def test_wrong_steps_are_named(steps: tuple[Step, ...], field: str) -> None:
    assert field in [error.field for error in problems_of(RolloutPlan(steps))]


@pytest.mark.parametrize(
    ("guards", "field"),
    [
        (Guards(false_alarm=0), "false_alarm"),
        (Guards(error_increase=1), "error_increase"),
        (Guards(p95_ratio=0.5), "p95_ratio"),
    ],
)
def test_wrong_guards_are_named(guards: Guards, field: str) -> None:
    assert [error.field for error in problems_of(RolloutPlan((WHOLE,), guards))] == [f"guards.{field}"]
