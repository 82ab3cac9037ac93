"""A real receiver, and two supervisors in processes of their own, one of which is killed again and again amid deliveries."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from standardwebhooks.webhooks import Webhook as Verifier

from raylift.domain.identifiers import new_webhook_id
from raylift.domain.job import JobState
from raylift.domain.lease import SUPERVISOR
from raylift.domain.webhooks.delivery import DeliveryStatus
from raylift.domain.webhooks.webhook import EventFilter, Webhook, WebhookFormat, WebhookTarget, new_secret
from raylift.store import Store
from tests.contract.samples import add

KILLS = 2
JOBS = 40
REFUSES_EACH = 7
KINDS = ["job.queued", "job.running", "job.completed"]
SECRET = new_secret()
UNDER_WAY = 4
"""Deliveries of one webhook that a supervisor has under way at a time."""


def hook(store: Store, port: int) -> Webhook:
    now = datetime.now(UTC)
    form = WebhookFormat.STANDARD
    webhook = Webhook(new_webhook_id(), "all", "default", form, "http://…", EventFilter(), now, "anna", now, "anna")
    store.webhooks.add(webhook, WebhookTarget(f"http://127.0.0.1:{port}/", SECRET))
    return webhook


def make_events(store: Store) -> list[str]:
    """Let jobs run to their end under another lease than the supervisors', and return their ids."""
    lease = store.leases.acquire("test", "test", now=datetime.now(UTC), seconds=3600)
    assert lease is not None
    jobs = [add(store, now=datetime.now(UTC)) for _ in range(JOBS)]
    for state in (JobState.STARTING, JobState.SCRIPT, JobState.REGISTRATION, JobState.COMPLETED):
        jobs = [store.jobs.move(lease, job, state, now=datetime.now(UTC)) for job in jobs]
    return [job.job_id for job in jobs]


@contextmanager
def receiving(file: Path) -> Generator[int]:
    arguments = [sys.executable, "-m", "tests.webhook_receiver", str(file), str(REFUSES_EACH)]
    with subprocess.Popen(arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def requests(file: Path) -> list[dict[str, Any]]:
    # The last line may be half written.
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    return [json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n")]


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "nothing is delivered"
        time.sleep(0.02)


def test_killed_supervisors_lose_nothing_and_keep_the_order(
    open_store: Callable[[], Store], database_url: str, tmp_path: Path
) -> None:
    store, file = open_store(), tmp_path / "requests.jsonl"
    with receiving(file) as port:
        webhook = hook(store, port)
        jobs = make_events(store)
        arguments = [database_url, str(tmp_path / "keys")]

        def begin() -> subprocess.Popen[bytes]:
            return subprocess.Popen([sys.executable, "-m", "tests.contract.webhook_supervisor", *arguments])

        def left() -> int:
            return store.webhooks.counts([webhook.webhook_id], DeliveryStatus.PENDING).get(webhook.webhook_id, 0)

        running = [begin(), begin()]
        try:
            for kill in range(KILLS):
                goal = len(jobs) * len(KINDS) * (KILLS - kill) // (KILLS + 1)
                until(lambda goal=goal: left() <= goal)
                # The first is the older one: mostly it holds the lease.
                running[0].kill()
                running[0].wait()
                running = [*running[1:], begin()]
            until(lambda: left() == 0)
        finally:
            for process in running:
                process.kill()
                process.wait()

    got = requests(file)
    accepted: dict[str, list[str]] = defaultdict(list)
    ids: dict[tuple[str, str], set[str]] = defaultdict(set)
    for each in got:
        body = Verifier(SECRET).verify(each["body"], each["headers"])
        job_id, kind = body["data"]["job_id"], body["type"]
        ids[job_id, kind].add(each["headers"]["webhook-id"])
        # A repeated event may come late: what a former supervisor had under way when another took over.
        if each["accepted"] and kind not in accepted[job_id]:
            accepted[job_id].append(kind)
    # Each event of each job arrived, in order, each under one id.
    assert dict(accepted) == dict.fromkeys(jobs, KINDS)
    assert {len(found) for found in ids.values()} == {1}
    # Repeated are the refused ones, and at most those that were under way when another supervisor took over.
    last = store.leases.acquire(SUPERVISOR, "test", now=datetime.now(UTC) + timedelta(hours=1), seconds=1)
    assert last is not None
    again = Counter(each["headers"]["webhook-id"] for each in got if each["accepted"])
    assert sum(count - 1 for count in again.values()) <= UNDER_WAY * last.token
    assert any(not each["accepted"] for each in got)
    statuses = {each.status for each in store.webhooks.deliveries(webhook.webhook_id, limit=500).deliveries}
    assert statuses == {DeliveryStatus.DELIVERED}
