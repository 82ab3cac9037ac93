"""The outbox: which transactions write deliveries, for which webhooks, in which order they go out, and what follows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from raylift.domain.errors import (
    DeliveryNotFound,
    InvalidRequest,
    QuotaExceeded,
    StaleJob,
    StaleLease,
    StaleWebhook,
    WebhookExists,
    WebhookNotFound,
)
from raylift.domain.identifiers import new_job_id, new_schedule_id, new_webhook_id
from raylift.domain.job import JobState, Reason
from raylift.domain.lease import Lease
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.domain.schedules.schedule import RunOutcome, Schedule, ScheduleRun, TemplateKind, Timetable
from raylift.domain.traffic import Route, Target, TrafficTable
from raylift.domain.webhooks.delivery import AfterAttempt, Answer, Delivery, DeliveryStatus
from raylift.domain.webhooks.event import EventType, PlatformEvent
from raylift.domain.webhooks.webhook import MAX_WEBHOOKS, EventFilter, Webhook, WebhookFormat, WebhookTarget
from raylift.store import KeyRing, ScheduleStep, Store
from raylift.store.engine.key_ring import new_key, read_keys, write_keys
from tests.contract.samples import NOW, SCRIPT, add, after, finish, spec_of, start

TARGET = WebhookTarget("https://hooks.example.com/x?token=t0ken", "whsec_c2VjcmV0")
DONE = AfterAttempt(DeliveryStatus.DELIVERED, NOW)


def hook(store: Store, name: str = "all", *, workspace: str = "default", **conditions: tuple[str, ...]) -> Webhook:
    wanted = EventFilter(**conditions)
    form = WebhookFormat.STANDARD
    webhook = Webhook(new_webhook_id(), name, workspace, form, "https://hooks.example.com/x", wanted, NOW, "anna", NOW, "anna")
    store.webhooks.add(webhook, TARGET)
    return webhook


def sent(store: Store, webhook: Webhook) -> list[tuple[str, str]]:
    """Type and object of each delivery, oldest first."""
    return [(each.event_type, each.subject) for each in reversed(found(store, webhook))]


def found(store: Store, webhook: Webhook) -> list[Delivery]:
    return store.webhooks.deliveries(webhook.webhook_id, limit=500).deliveries


def next_due(store: Store, webhook: Webhook, seconds: float = 60, *except_for: str) -> Delivery | None:
    return store.webhooks.next_due(webhook.webhook_id, after(seconds), except_for=except_for)


def test_each_status_of_a_job_is_one_event(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    job = finish(store, lease, add(store, model_name="churn", owner="anna", tags={"team": "red"}))
    kinds = [EventType.JOB_QUEUED, EventType.JOB_RUNNING, EventType.JOB_COMPLETED]
    assert sent(store, webhook) == [(kind, job.job_id) for kind in kinds]
    newest = found(store, webhook)[0]
    assert newest.data["status"] == job.status
    assert newest.data["tags"] == {"team": "red"}
    assert (newest.status, newest.attempts, newest.workspace) == (DeliveryStatus.PENDING, 0, "default")
    assert newest.delivery_id.startswith("msg_")


def test_failed_retried_and_cancelled_jobs_are_events(store: Store, lease: Lease) -> None:
    webhook = hook(store, events=("job.failed", "job.cancelled", "job.queued"))
    job = start(store, lease, add(store))
    script = store.jobs.move(lease, job, JobState.SCRIPT, now=NOW, started_at=NOW)
    again = store.jobs.move(lease, script, JobState.QUEUED, now=after(1), reason=Reason.NODE_LOST, attempt=2)
    store.jobs.move(lease, again, JobState.FAILED, now=after(2), reason=Reason.SCRIPT_ERROR, message="No.\x00")
    other = add(store)
    store.jobs.move(lease, other, JobState.CANCELLED, now=after(3))
    kinds = ["job.queued", "job.queued", "job.failed", "job.queued", "job.cancelled"]
    assert [kind for kind, _ in sent(store, webhook)] == kinds


def test_metrics_that_json_has_not_are_text(store: Store, lease: Lease) -> None:
    webhook = hook(store, events=("job.completed",))
    job = start(store, lease, add(store))
    job = store.jobs.move(lease, job, JobState.SCRIPT, now=NOW, started_at=NOW)
    job = store.jobs.move(lease, job, JobState.REGISTRATION, now=NOW, metrics={"loss": float("nan"), "auc": 0.5})
    store.jobs.move(lease, job, JobState.COMPLETED, now=NOW)
    assert found(store, webhook)[0].data["metrics"] == {"loss": "nan", "auc": 0.5}


def test_move_that_is_rolled_back_is_no_event(store: Store, lease: Lease) -> None:
    webhook = hook(store, events=("job.running", "job.failed"))
    job = start(store, lease, add(store))
    store.jobs.move(lease, job, JobState.SCRIPT, now=NOW, started_at=NOW)
    with pytest.raises(StaleJob):
        store.jobs.move(lease, job, JobState.FAILED, now=NOW)
    with pytest.raises(StaleLease):
        store.jobs.move(replace(lease, token=lease.token + 1), job, JobState.FAILED, now=NOW)
    assert [kind for kind, _ in sent(store, webhook)] == ["job.running"]


def test_webhook_gets_what_its_filter_selects_in_its_workspace(store: Store, lease: Lease) -> None:
    everything, fraud = hook(store), hook(store, "fraud", events=("job.completed",), models=("fraud*",))
    anna, blue = hook(store, "anna", owners=("anna",), experiments=("ch*",)), hook(store, "all", workspace="blue")
    paused = hook(store, "paused")
    store.webhooks.update(replace(paused, paused_at=NOW))
    for model, owner in (("fraud-2", "ben"), ("churn", "anna")):
        finish(store, lease, add(store, model_name=model, owner=owner))
    store.jobs.move(lease, add(store, workspace="blue"), JobState.CANCELLED, now=NOW)
    assert len(sent(store, everything)) == 6
    assert [kind for kind, _ in sent(store, fraud)] == ["job.completed"]
    assert len(sent(store, anna)) == 3
    assert [kind for kind, _ in sent(store, blue)] == ["job.queued", "job.cancelled"]
    assert sent(store, paused) == []


def test_versions_are_registered_ready_and_unhealthy(store: Store, lease: Lease) -> None:
    webhook = hook(store, events=("model_version.*",))

    def ensure() -> None:
        store.deployments.ensure("churn", "3", model_uri="models:/churn/3", config=DeploymentConfig(), now=NOW)

    def observe(status: DeploymentStatus, seconds: float) -> None:
        row, now = store.deployments.get("churn", "3"), after(seconds)
        ready_at = row.ready_at or (now if status is DeploymentStatus.READY else None)
        store.deployments.observe(lease, row, now=now, status=status, message="Why.", ready_at=ready_at)

    ensure()
    ensure()
    statuses = DeploymentStatus.STARTING, DeploymentStatus.READY, DeploymentStatus.SCALED_TO_ZERO, DeploymentStatus.STARTING
    for number, status in enumerate((*statuses, DeploymentStatus.READY)):
        observe(status, number)
    for number, status in enumerate((DeploymentStatus.UNHEALTHY, DeploymentStatus.UNHEALTHY, DeploymentStatus.READY), 10):
        observe(status, number)
    kinds = ["registered", "ready", "unhealthy", "ready"]
    assert sent(store, webhook) == [(f"model_version.{kind}", "churn/3") for kind in kinds]
    assert found(store, webhook)[1].data["message"] == "Why."


def test_events_of_a_model_go_to_its_workspace(store: Store) -> None:
    default, blue = hook(store), hook(store, workspace="blue")
    store.workspaces.claim_model("churn", "blue")
    table = TrafficTable((Route(Target(version="3"), 1.0),), shadow=(Target(alias="next"),))
    store.traffic.put("churn", table, who="anna", now=NOW)
    store.traffic.put("churn", table, who="anna", now=NOW)
    store.traffic.observe("churn", "champion", "3", now=NOW, known=None)
    assert sent(store, default) == []
    assert sent(store, blue) == [("traffic.changed", "churn"), ("alias.moved", "churn")]
    moved, changed = found(store, blue)
    assert moved.data == {**moved.data} | {
        "alias": "champion",
        "before_version": None,
        "after_version": "3",
        "workspace": "blue",
    }
    assert changed.data["after"] == {"routes": [{"version": "3", "weight": 1.0}], "shadow": [{"alias": "next"}]}


def test_missed_moment_of_a_schedule_is_an_event(store: Store, lease: Lease) -> None:
    webhook = hook(store, events=("schedule.*",))
    schedule = Schedule(
        new_schedule_id(), "nightly", "default", "anna", TemplateKind.TRAIN, Timetable("0 3 * * *"), spec_of(), NOW, NOW,
        "anna", considered_until=NOW, wakes_at=NOW,
    )  # fmt: skip
    store.schedules.add(schedule, SCRIPT)
    outcomes = (RunOutcome.MISSED, RunOutcome.SKIPPED)
    runs = [ScheduleRun(schedule.schedule_id, after(n), NOW, outcome) for n, outcome in enumerate(outcomes)]
    store.schedules.apply(lease, schedule, ScheduleStep(after(2), after(9), None, runs), now=NOW)
    assert sent(store, webhook) == [("schedule.missed", schedule.schedule_id)]
    assert found(store, webhook)[0].data["schedule"] == "nightly"


def test_upload_that_fills_the_queue_is_an_event(store: Store) -> None:
    webhook = hook(store, events=("quota.reached",))

    def upload() -> None:
        store.jobs.add(spec_of(owner="anna"), SCRIPT, job_id=new_job_id(), now=NOW, max_queued=2)

    upload()
    store.jobs.check(spec_of(owner="anna"), max_queued=2)
    assert sent(store, webhook) == []
    upload()
    with pytest.raises(QuotaExceeded):
        upload()
    assert sent(store, webhook) == [("quota.reached", "default/anna")]
    assert found(store, webhook)[0].data["limit"] == 2


def test_deliveries_about_one_object_go_out_in_order(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    first, second = finish(store, lease, add(store)), add(store, now=after(5))
    one = next_due(store, webhook)
    assert one is not None
    assert (one.event_type, one.subject) == ("job.queued", first.job_id)
    # While it is under way, and while it waits for its next attempt, only another object has its turn.
    two = next_due(store, webhook, 60, first.job_id)
    assert two is not None
    assert two.subject == second.job_id
    retry = AfterAttempt(DeliveryStatus.PENDING, after(500))
    store.webhooks.record_attempt(lease, one, Answer(500, "No."), retry, now=NOW)
    store.webhooks.record_attempt(lease, two, Answer(200), DONE, now=NOW)
    assert next_due(store, webhook) is None
    again = next_due(store, webhook, 600)
    assert again is not None
    assert (again.delivery_id, again.attempts, again.last_error) == (one.delivery_id, 1, "No.")
    store.webhooks.record_attempt(lease, again, Answer(500, "No."), replace(DONE, status=DeliveryStatus.DEAD), now=NOW)
    following = next_due(store, webhook)
    assert following is not None
    assert following.event_type == "job.running"


def test_only_webhooks_with_due_deliveries_are_attended(store: Store, lease: Lease) -> None:
    webhook, paused = hook(store), hook(store, "paused")
    hook(store, "idle", events=("alias.*",))
    add(store)
    store.webhooks.update(replace(paused, paused_at=NOW))
    assert store.webhooks.with_due(after(-1)) == []
    assert store.webhooks.with_due(NOW) == [webhook.webhook_id]
    assert next_due(store, paused) is None
    one = next_due(store, webhook)
    assert one is not None
    store.webhooks.record_attempt(lease, one, Answer(200, None, "x" * 9000), DONE, now=NOW)
    assert store.webhooks.with_due(after(60)) == []
    assert len(store.webhooks.delivery(webhook.webhook_id, one.delivery_id).last_answer or "") == 2000


def test_former_supervisor_records_nothing(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    add(store)
    one = next_due(store, webhook)
    assert one is not None
    assert store.leases.acquire("supervisor", "second", now=after(60), seconds=15)
    with pytest.raises(StaleLease):
        store.webhooks.record_attempt(lease, one, Answer(200), DONE, now=NOW)
    assert next_due(store, webhook) == one


def test_dead_deliveries_are_delivered_again_with_their_ids(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    finish(store, lease, add(store))
    ids = []
    while (one := next_due(store, webhook)) is not None:
        ids.append(one.delivery_id)
        store.webhooks.record_attempt(lease, one, Answer(500, "No."), replace(DONE, status=DeliveryStatus.DEAD), now=NOW)
    assert store.webhooks.counts([webhook.webhook_id], DeliveryStatus.DEAD) == {webhook.webhook_id: 3}
    again = store.webhooks.redeliver(webhook.webhook_id, ids[1], now=after(100))
    assert (again.status, again.attempts, again.retried_since) == (DeliveryStatus.PENDING, 0, after(100))
    assert store.webhooks.redeliver_dead(webhook.webhook_id, now=after(100)) == 2
    assert store.webhooks.counts([webhook.webhook_id], DeliveryStatus.PENDING) == {webhook.webhook_id: 3}
    due = next_due(store, webhook, 100)
    assert due is not None
    assert due.delivery_id == ids[0]
    with pytest.raises(DeliveryNotFound):
        store.webhooks.redeliver(webhook.webhook_id, "msg_x", now=NOW)


def test_attempt_under_way_does_not_undo_a_redelivery(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    add(store)
    one = next_due(store, webhook)
    assert one is not None
    store.webhooks.redeliver(webhook.webhook_id, one.delivery_id, now=after(5))
    assert store.webhooks.record_attempt(lease, one, Answer(200), DONE, now=after(6)) is None
    assert next_due(store, webhook) is not None


def test_receiver_that_is_gone_pauses_its_webhook(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    add(store)
    one = next_due(store, webhook)
    assert one is not None
    gone = AfterAttempt(DeliveryStatus.DEAD, NOW, "It is gone.")
    store.webhooks.record_attempt(lease, one, Answer(410, "Gone."), gone, now=after(1))
    paused = store.webhooks.get(webhook.webhook_id)
    assert (paused.paused_at, paused.message, paused.revision) == (after(1), "It is gone.", 2)
    add(store)
    assert len(sent(store, webhook)) == 1


def test_webhooks_are_stored_and_changed(store: Store) -> None:
    webhook = hook(store, events=("job.*",))
    assert store.webhooks.get(webhook.webhook_id) == store.webhooks.find("default", "all") == webhook
    assert store.webhooks.target(webhook.webhook_id) == TARGET
    with pytest.raises(WebhookExists):
        hook(store)
    blue = hook(store, workspace="blue")
    assert store.webhooks.list("blue") == [blue]
    assert store.webhooks.list() == [blue, webhook]
    changed = store.webhooks.update(replace(webhook, filter=EventFilter(("alias.*",))), replace(TARGET, url="https://y"))
    assert (changed.revision, changed.filter.events) == (2, ("alias.*",))
    assert store.webhooks.target(webhook.webhook_id).url == "https://y"
    with pytest.raises(StaleWebhook):
        store.webhooks.update(webhook)
    store.webhooks.enqueue(changed, PlatformEvent(EventType.WEBHOOK_TEST, "x", NOW, {}))
    store.webhooks.delete(changed)
    assert found(store, webhook) == []
    for read in (store.webhooks.get, store.webhooks.target):
        with pytest.raises(WebhookNotFound):
            read(webhook.webhook_id)


def test_workspace_has_a_limited_number_of_webhooks(store: Store) -> None:
    for number in range(MAX_WEBHOOKS):
        hook(store, f"hook-{number}")
    with pytest.raises(InvalidRequest):
        hook(store, "one-more")
    hook(store, workspace="blue")


def test_address_and_secret_are_encrypted_and_sealed_anew(store: Store, open_store: Callable[[], Store], keys: KeyRing) -> None:
    webhook = hook(store)
    with store._database.bare_connection() as connection:  # pyright: ignore[reportPrivateUsage]
        (stored,) = connection.execute("SELECT variables FROM webhooks").fetchone()
    assert "t0ken" not in str(stored)
    assert "whsec" not in str(stored)
    file = keys._file  # pyright: ignore[reportPrivateUsage]
    assert file is not None
    write_keys(file, [new_key(), *read_keys(file)])
    assert store.secrets.reseal() == 1
    write_keys(file, read_keys(file)[:1])
    assert open_store().webhooks.target(webhook.webhook_id) == TARGET


def test_pages_of_deliveries_go_on_where_they_ended(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    finish(store, lease, add(store))
    page = store.webhooks.deliveries(webhook.webhook_id, limit=2)
    rest = store.webhooks.deliveries(webhook.webhook_id, limit=2, cursor=page.next_cursor)
    assert [each.event_type for each in (*page.deliveries, *rest.deliveries)] == ["job.completed", "job.running", "job.queued"]
    assert rest.next_cursor is None
    dead = store.webhooks.deliveries(webhook.webhook_id, status=DeliveryStatus.DEAD, limit=2)
    assert dead.deliveries == []
    with pytest.raises(InvalidRequest):
        store.webhooks.deliveries(webhook.webhook_id, limit=2, cursor="x")


def test_old_deliveries_are_deleted_unless_they_are_pending(store: Store, lease: Lease) -> None:
    webhook = hook(store)
    finish(store, lease, add(store))
    one = next_due(store, webhook)
    assert one is not None
    store.webhooks.record_attempt(lease, one, Answer(200), DONE, now=NOW)
    assert store.webhooks.forget_before(NOW) is False
    assert len(found(store, webhook)) == 3
    store.webhooks.forget_before(NOW + timedelta(days=1))
    assert [kind for kind, _ in sent(store, webhook)] == ["job.running", "job.completed"]
