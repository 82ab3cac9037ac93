"""Rollouts in the store: one a model; each move once, with its traffic, its event and its audit entry; killed supervisors."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from raylift.domain.audit import AuditFilter
from raylift.domain.errors import RolloutExists, RolloutNotFound, StaleLease, StaleRollout, TrafficChanged
from raylift.domain.identifiers import new_rollout_id
from raylift.domain.job import JobState
from raylift.domain.lease import SUPERVISOR, Lease
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.domain.models.quality import Quality
from raylift.domain.rollouts.gate import Gate, GateOutcome, Promotion
from raylift.domain.rollouts.moves import approve, enter_step, note, roll_back, supersede
from raylift.domain.rollouts.rollout import (
    Both,
    Rollout,
    RolloutPlan,
    RolloutStatus,
    Step,
    StepKind,
    Watch,
    table_of_step,
)
from raylift.domain.rollouts.sequential import Outcomes, SequentialTest
from raylift.domain.traffic import Route, Target, TrafficAction, TrafficTable
from raylift.domain.webhooks.webhook import EventFilter, Webhook, WebhookFormat, WebhookTarget
from raylift.services.traffic.tables import TrafficService
from raylift.store import Store
from raylift.supervisor.rollouts.execute import RolloutExecutor
from tests.contract.file_registry import FileRegistry
from tests.contract.rollout_supervisor import executor_of
from tests.contract.samples import NOW, add, after, start

BEFORE = TrafficTable((Route(Target(alias="champion"), 1.0),))
STEPS = (Step(StepKind.SHADOW), Step(StepKind.WEIGHT, 5), Step(StepKind.APPROVAL), Step(StepKind.WEIGHT, 100))


def rollout_of(name: str = "churn", *, revision: int = 0, steps: tuple[Step, ...] = STEPS, **fields: Any) -> Rollout:
    given: dict[str, Any] = {"restore": BEFORE, "had_table": True, "alias_before": "3"} | fields
    return Rollout(
        new_rollout_id(NOW.timestamp()), name, "default", "3", "4", RolloutPlan(steps, alias="champion"), RolloutStatus.RUNNING,
        NOW, "anna", NOW, traffic_revision=revision, message="From version 3 to version 4.", **given,
    )  # fmt: skip


def added(store: Store, **fields: Any) -> Rollout:
    revision = store.traffic.put("churn", BEFORE, who="anna", now=NOW).revision
    rollout = rollout_of(revision=revision, **fields)
    store.rollouts.add(rollout)
    return rollout


def receiver(store: Store) -> Webhook:
    webhook = Webhook(
        "webhook_1", "ci", "default", WebhookFormat.STANDARD, "https://example.com", EventFilter(("rollout.*",)), NOW, "anna",
        NOW, "anna",
    )  # fmt: skip
    store.webhooks.add(webhook, WebhookTarget("https://example.com", "whsec_x"))
    return webhook


def told(store: Store) -> list[str]:
    """Return the types of recorded events, oldest first."""
    page = store.webhooks.deliveries("webhook_1", limit=500)
    return [each.event_type for each in reversed(page.deliveries)]


def test_rollout_is_stored_as_it_is(store: Store) -> None:
    rollout = added(store)
    watch = Watch(Both({"finished": 1.5}, {}), Both(), SequentialTest(Outcomes(9, 1), Outcomes(3, 2), 1.25, 2.5))
    changed = store.rollouts.apply(note(replace(rollout), watch), now=after(1))
    assert changed == replace(rollout, watch=watch, revision=2)
    assert store.rollouts.get(rollout.rollout_id) == changed == store.rollouts.newest_of("churn")
    assert store.rollouts.active() == [changed]
    with pytest.raises(RolloutNotFound):
        store.rollouts.get("rollout_none")


def test_model_has_one_rollout_at_a_time(store: Store, lease: Lease) -> None:
    first = added(store)
    with pytest.raises(RolloutExists, match=first.rollout_id):
        store.rollouts.add(rollout_of())
    store.rollouts.add(rollout_of("other"))
    store.rollouts.apply(supersede(first, "by hand", after(1)), lease=lease, now=after(1))
    second = rollout_of()
    store.rollouts.add(second)
    assert store.rollouts.newest_of("churn") == second


def test_rollouts_are_listed_by_page(store: Store) -> None:
    made = [rollout_of(name) for name in ("a", "b", "c")]
    for each in made:
        store.rollouts.add(each)
    made.sort(key=lambda each: each.rollout_id, reverse=True)
    first = store.rollouts.list("default", limit=2)
    second = store.rollouts.list("default", limit=2, cursor=first.next_cursor)
    assert [*first.rollouts, *second.rollouts] == made
    assert second.next_cursor is None
    assert store.rollouts.list("other", limit=9).rollouts == []
    assert [each.model_name for each in store.rollouts.list(model_name="b", active=True, limit=9).rollouts] == ["b"]
    assert store.rollouts.list(active=False, limit=9).rollouts == []


def test_step_writes_traffic_event_and_audit_together(store: Store, lease: Lease) -> None:
    receiver(store)
    rollout = added(store)
    moved = store.rollouts.apply(enter_step(rollout, 1, Both(), after(1)), lease=lease, now=after(1))
    record = store.traffic.get("churn")
    assert record is not None
    assert (record.table, record.revision) == (table_of_step(rollout, 1), moved.traffic_revision)
    change = store.traffic.history("churn", limit=1)[0]
    assert (change.action, change.who, change.before) == (TrafficAction.ROLLOUT, "anna", BEFORE)
    assert told(store) == ["rollout.started", "rollout.advanced"]
    (entry,) = store.audit.list(AuditFilter(action="rollout.advanced"), limit=9).entries
    assert (entry.who, entry.target, entry.detail) == ("anna", rollout.rollout_id, moved.message)


def test_move_of_an_older_reading_changes_nothing(store: Store, lease: Lease) -> None:
    rollout = added(store)
    moved = store.rollouts.apply(enter_step(rollout, 0, Both(), after(1)), lease=lease, now=after(1))
    before = store.traffic.get("churn")
    with pytest.raises((StaleRollout, TrafficChanged)):
        store.rollouts.apply(enter_step(rollout, 1, Both(), after(2)), lease=lease, now=after(2))
    with pytest.raises(StaleRollout):
        store.rollouts.apply(approve(rollout, "eve", after(2)), now=after(2))
    with pytest.raises(StaleRollout):
        # The traffic is as it was read, and the rollout is not: both or none is written.
        store.rollouts.apply(replace(enter_step(moved, 1, Both(), after(2)), rollout=replace(moved, revision=1)), now=after(2))
    assert store.traffic.get("churn") == before
    assert store.rollouts.get(rollout.rollout_id) == moved


def test_traffic_changed_by_hand_is_not_overwritten(store: Store, lease: Lease) -> None:
    rollout = added(store)
    by_hand = TrafficTable((Route(Target(version="2"), 1.0),))
    store.traffic.put("churn", by_hand, who="bob", now=after(1))
    for move in (enter_step(rollout, 0, Both(), after(2)), roll_back(rollout, "worse", after(2))):
        with pytest.raises(TrafficChanged):
            store.rollouts.apply(move, lease=lease, now=after(2))
    ended = store.rollouts.apply(supersede(rollout, "bob was here", after(3)), lease=lease, now=after(3))
    record = store.traffic.get("churn")
    assert record is not None
    assert (record.table, ended.status, store.rollouts.active()) == (by_hand, RolloutStatus.SUPERSEDED, [])


def test_former_holder_of_the_lease_moves_nothing(store: Store, lease: Lease) -> None:
    rollout = added(store)
    newer = store.leases.acquire(SUPERVISOR, "second", now=after(9_999), seconds=60)
    assert newer is not None
    with pytest.raises(StaleLease):
        store.rollouts.apply(enter_step(rollout, 0, Both(), after(2)), lease=lease, now=after(2))
    assert store.rollouts.active() == [rollout]


def test_ended_rollouts_are_forgotten(store: Store, lease: Lease) -> None:
    rollout = added(store)
    assert store.rollouts.forget_before(after(999)) is False
    assert store.rollouts.active() == [rollout]
    store.rollouts.apply(roll_back(rollout, "worse", after(5)), lease=lease, now=after(5))
    store.rollouts.forget_before(after(5))
    assert store.rollouts.newest_of("churn") is not None
    store.rollouts.forget_before(after(6))
    assert store.rollouts.newest_of("churn") is None


class Killed(BaseException):
    """Ends a supervisor at a given moment, as a kill does."""


def deploy(store: Store, lease: Lease) -> None:
    for version in ("3", "4"):
        row = store.deployments.ensure(
            "churn", version, model_uri=f"models:/churn/{version}", config=DeploymentConfig(), now=NOW
        )
        assert store.deployments.observe(lease, row, now=NOW, status=DeploymentStatus.READY, applied_generation=1, ready_at=NOW)


def test_step_does_not_end_before_its_feedback_was_read(store: Store, lease: Lease, tmp_path: Path) -> None:
    """Feedback is read every 30 seconds, and steps may be shorter."""
    deploy(store, lease)
    FileRegistry(tmp_path / "aliases.json").set_alias("churn", "champion", "3")
    store.traffic.observe("churn", "champion", "3", now=NOW, known=None)
    steps = (Step(StepKind.WEIGHT, 50, pause_seconds=5), Step(StepKind.WEIGHT, 100))
    rollout = added(store, steps=steps)
    registry = cast("Any", FileRegistry(tmp_path / "aliases.json"))
    found = {"3": Quality(400, accuracy=0.9), "4": Quality(400, accuracy=0.1)}
    quality = SimpleNamespace(over_time=lambda _, version, **__: SimpleNamespace(overall=found[version]))
    moment = after(1)
    executor = RolloutExecutor(
        store, TrafficService(store, registry), cast("Any", quality), tmp_path / "counters", lambda: moment
    )
    executor.attend(lease)
    assert store.rollouts.get(rollout.rollout_id).step == 0
    moment = after(7)
    executor.attend(lease)
    ended = store.rollouts.get(rollout.rollout_id)
    assert (ended.status, "has 360 of 400 (90.00%) wrong" in ended.message) == (RolloutStatus.ROLLED_BACK, True)


@pytest.mark.parametrize("before", [True, False])
def test_supervisor_killed_at_each_step_does_each_once(store: Store, lease: Lease, tmp_path: Path, before: bool) -> None:
    receiver(store)
    deploy(store, lease)
    registry = FileRegistry(tmp_path / "aliases.json")
    registry.set_alias("churn", "champion", "3")
    store.traffic.observe("churn", "champion", "3", now=NOW, known=None)
    steps = (Step(StepKind.SHADOW), Step(StepKind.WEIGHT, 5), Step(StepKind.WEIGHT, 25), Step(StepKind.WEIGHT, 100))
    rollout = added(store, steps=steps)
    apply = store.rollouts.apply
    kills = 0

    def killed(move: Any, **how: Any) -> Rollout:
        nonlocal kills
        kills += 1
        if before and kills % 2:
            raise Killed  # What was planned is lost.
        apply(move, **how)
        raise Killed  # What was written is not known to the process.

    store.rollouts.apply = killed  # type: ignore[method-assign]
    for _ in range(40):
        with suppress(Killed):
            executor_of(store, tmp_path).attend(lease)
    ended = store.rollouts.get(rollout.rollout_id)
    assert (ended.status, kills >= 6) == (RolloutStatus.COMPLETED, True)
    assert [(entry.kind.value, entry.step) for entry in ended.history] == [
        *(("advanced", position) for position in range(4)), ("advanced", 3), ("completed", 3),
    ]  # fmt: skip
    assert registry.aliases() == {"champion": "4"}
    tables = [change.after for change in reversed(store.traffic.history("churn", limit=99)) if change.alias is None]
    assert tables == [BEFORE, *(table_of_step(rollout, position) for position in range(4)), BEFORE]
    assert told(store) == ["rollout.started", *["rollout.advanced"] * 5, "rollout.completed"]


def test_killed_processes_do_each_step_once(open_store: Callable[[], Store], database_url: str, tmp_path: Path) -> None:
    store = open_store()
    lease = store.leases.acquire(SUPERVISOR, "setup", now=NOW, seconds=1)
    assert lease is not None
    deploy(store, lease)
    receiver(store)
    FileRegistry(tmp_path / "aliases.json").set_alias("churn", "champion", "3")
    store.traffic.observe("churn", "champion", "3", now=NOW, known=None)
    steps = tuple(Step(StepKind.WEIGHT, 5 * number, pause_seconds=0.1) for number in range(1, 21))
    rollout = added(store, steps=steps)

    def begin() -> subprocess.Popen[bytes]:
        arguments = [database_url, str(tmp_path / "keys"), str(tmp_path)]
        return subprocess.Popen([sys.executable, "-m", "tests.contract.rollout_supervisor", *arguments])

    running = [begin(), begin()]
    deadline = time.monotonic() + 240
    seen = rollout
    try:
        for kill in range(1, 100):
            while (seen := store.rollouts.get(rollout.rollout_id)).is_active and (seen.step or 0) < kill * 5:
                assert time.monotonic() < deadline, seen.message
                time.sleep(0.01)
            if not seen.is_active:
                break
            running[0].kill()
            running[0].wait()
            running = [*running[1:], begin()]
    finally:
        for process in running:
            process.kill()
            process.wait()
    assert seen.status is RolloutStatus.COMPLETED
    assert [entry.step for entry in seen.history] == [*range(20), 19, 19]
    tables = [change.after for change in reversed(store.traffic.history("churn", limit=99)) if change.alias is None]
    assert tables == [BEFORE, *(table_of_step(rollout, position) for position in range(20)), BEFORE]
    assert told(store) == ["rollout.started", *["rollout.advanced"] * 21, "rollout.completed"]


class TestGates:
    def test_gate_is_pending_until_its_job_has_ended(self, store: Store, lease: Lease) -> None:
        add(store)
        job = add(store, promote=Gate("champion", "auc > 0.5"), model_name="churn")
        assert store.gates.get(job.job_id) == Promotion(job.job_id)
        assert store.gates.pending() == []
        job = start(store, lease, job)
        job = store.jobs.move(lease, job, JobState.FAILED, now=after(5))
        assert [each.job_id for each in store.gates.pending()] == [job.job_id]
        decided = Promotion(
            job.job_id, GateOutcome.KEPT, "worse", "3", "4", {"auc": 0.4}, decided_at=datetime.now(UTC) + timedelta(0)
        )  # fmt: skip
        assert store.gates.decide(lease, job, decided) is True
        assert store.gates.decide(lease, job, replace(decided, outcome=GateOutcome.PROMOTED)) is False
        assert (store.gates.pending(), store.gates.get(job.job_id)) == ([], decided)
        (entry,) = store.audit.list(AuditFilter(action="gate.kept"), limit=9).entries
        assert (entry.target, entry.detail) == ("churn/4", "worse")
        store.jobs.delete(job.job_id)
        assert store.gates.get(job.job_id) is None
