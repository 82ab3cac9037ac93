"""Schedules over HTTP. A supervisor's look is called by the test."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.domain.access import Role
from raylift.domain.job import JobState
from raylift.domain.schedules.schedule import Overlap
from raylift.services.batches.specs import BatchSpecs
from raylift.services.schedules.jobs import ScheduledJobs
from raylift.services.secrets import SecretService
from raylift.settings import PlatformSettings
from raylift.supervisor.schedules.execute import ScheduleExecutor
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

PATH = "/mlops/schedules"
JOBS = "/mlops/training/jobs"
TRAIN = {"script_content": "print(1)", "experiment_name": "e", "environment": {"TOKEN": "s3cret"}}
NIGHTLY = {"name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Berlin", "train": TRAIN}


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


async def make(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=NIGHTLY | changes)
    assert answer.status_code == 201, answer.text
    return answer.json()


def look(platform: Platform, **later: float) -> None:
    """Let a supervisor look, so much later."""
    now = datetime.now(UTC) + timedelta(**later)
    renewed = BatchSpecs(platform.store, platform.registry, platform.settings).renewed
    jobs = ScheduledJobs(platform.store, platform.settings, SecretService(platform.store), renewed)
    ScheduleExecutor(platform.store, jobs, lambda: now).attend(platform.lease)


async def history(client: httpx.AsyncClient, name: str = "nightly") -> list[dict[str, Any]]:
    return (await client.get(f"{PATH}/{name}/runs")).json()["runs"]


async def test_schedule_is_created_and_shown(client: httpx.AsyncClient) -> None:
    made = await make(client, jitter_seconds=60)
    assert made == made | {"name": "nightly", "owner": "local", "overlap": "skip", "kind": "train", "paused": False}
    assert made["environment"] == {"TOKEN": "***"}
    first, second = (datetime.fromisoformat(text) for text in made["next_runs"][:2])
    assert (first.hour, first.minute, (second - first).days) == (3, 0, 1)
    assert first.utcoffset() in {timedelta(hours=1), timedelta(hours=2)}
    assert (await client.get(f"{PATH}/nightly")).json() == made
    assert (await client.get(f"{PATH}/{made['schedule_id']}")).json() == made
    (listed,) = (await client.get(PATH)).json()["schedules"]
    assert (listed["name"], len(listed["next_runs"]), listed["last_run"]) == ("nightly", 3, None)
    assert "s3cret" not in json.dumps([made, listed])


async def test_dry_run_tells_the_next_moments_and_stores_nothing(client: httpx.AsyncClient) -> None:
    answer = await client.post(PATH, json=NIGHTLY, params={"dry_run": "true"})
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (len(seen["next_runs"]), seen["next_runs"][0][11:16], seen["script_name"]) == (10, "03:00", "train.py")
    assert (await client.get(PATH)).json()["schedules"] == []
    times = {name: value for name, value in NIGHTLY.items() if name != "train"}
    assert (await client.post(PATH, json=times, params={"dry_run": "true"})).json()["script_name"] is None


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"name": "nightly"}, "name"),
        ({"cron": "x"}, "cron"),
        ({"train": TRAIN | {"resources": {"cpus": 64}}}, "resources.cpus"),
    ],
)
async def test_dry_run_refuses_what_creation_would(client: httpx.AsyncClient, wrong: dict[str, Any], field: str) -> None:
    await make(client)
    answer = await client.post(PATH, json=NIGHTLY | {"name": "other"} | wrong, params={"dry_run": "true"})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


@pytest.mark.parametrize(
    ("wrong", "field"),
    [
        ({"cron": "99 3 * * *"}, "cron"),
        ({"cron": "* * * * * *"}, "cron"),
        ({"timezone": "Europe/Berln"}, "timezone"),
        ({"name": "a b"}, "name"),
        ({"overlap": "allow"}, "overlap"),
        ({"catch_up_seconds": 5}, "catch_up_seconds"),
        ({"jitter_seconds": 4000}, "jitter_seconds"),
        ({"train": None}, "train"),
        ({"rerun": "job_A"}, "rerun"),
        ({"train": TRAIN | {"script_content": "print("}}, "script_content"),
        ({"train": TRAIN | {"sweep": {"parameters": {"lr": [1]}}}}, "train.sweep"),
    ],
)
async def test_wrong_field_is_refused(client: httpx.AsyncClient, wrong: dict[str, Any], field: str) -> None:
    answer = await client.post(PATH, json=NIGHTLY | wrong)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["field"] == field


async def test_name_is_taken_once(client: httpx.AsyncClient) -> None:
    await make(client)
    answer = await client.post(PATH, json=NIGHTLY)
    assert (answer.status_code, answer.json()["code"]) == (409, "schedule_exists")


async def test_due_moment_makes_a_job(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client)
    look(platform)
    assert await history(client) == []
    look(platform, days=1)
    look(platform, days=1)
    (run,) = await history(client)
    assert (run["outcome"], run["job_status"], run["manual"]) == ("submitted", "queued", False)
    assert run["due_at"] == made["next_runs"][0]
    (job,) = (await client.get(JOBS, params={"schedule": "nightly"})).json()["jobs"]
    assert (job["job_id"], job["schedule"]) == (run["job_id"], "nightly")
    assert job["links"]["schedule"] == f"{PATH}/{made['schedule_id']}"
    assert platform.store.jobs.get(job["job_id"]).spec.environment == {"TOKEN": "s3cret"}
    assert (await client.get(f"{PATH}/nightly")).json()["last_run"] == run


async def test_run_now_ignores_pause_and_overlap(client: httpx.AsyncClient) -> None:
    await make(client, paused=True)
    for _ in range(2):
        answer = await client.post(f"{PATH}/nightly/run")
        assert answer.status_code == 202
        assert answer.headers["location"] == answer.json()["links"]["self"]
    runs = await history(client)
    assert [(run["outcome"], run["manual"]) for run in runs] == [("submitted", True)] * 2


async def test_overlap(client: httpx.AsyncClient, platform: Platform) -> None:
    await make(client)
    look(platform, days=1)
    look(platform, days=2)
    assert [run["outcome"] for run in await history(client)] == ["skipped", "submitted"]
    await client.patch(f"{PATH}/nightly", json={"overlap": "cancel_previous"})
    look(platform, days=3)
    newest, _, first = await history(client)
    assert newest["outcome"] == "submitted"
    assert platform.store.jobs.get(first["job_id"]).cancel_requested_at
    await client.patch(f"{PATH}/nightly", json={"overlap": "queue"})
    look(platform, days=4)
    assert (await history(client))[0]["outcome"] == "waiting"
    for job_id in (first["job_id"], newest["job_id"]):
        platform.move(platform.store.jobs.get(job_id), JobState.CANCELLED)
    look(platform, days=4)
    assert (await history(client))[0]["outcome"] == "submitted"


async def test_pause_and_resume(client: httpx.AsyncClient, platform: Platform) -> None:
    await make(client, cron="* * * * *")
    paused = (await client.patch(f"{PATH}/nightly", json={"paused": True})).json()
    assert (paused["paused"], paused["next_runs"]) == (True, [])
    look(platform, hours=5)
    assert await history(client) == []
    resumed = (await client.patch(f"{PATH}/nightly", json={"paused": False})).json()
    assert datetime.fromisoformat(resumed["next_runs"][0]) > datetime.now(UTC)


async def test_change_of_times_goes_on_from_now(client: httpx.AsyncClient, platform: Platform) -> None:
    await make(client)
    changed = (await client.patch(f"{PATH}/nightly", json={"cron": "*/5 * * * *", "timezone": "UTC"})).json()
    assert (changed["cron"], changed["timezone"], changed["owner"]) == ("*/5 * * * *", "UTC", "local")
    look(platform, minutes=6)
    assert [run["outcome"] for run in await history(client)] in (["submitted"], ["submitted", "missed"])


async def test_schedule_of_a_project(client: httpx.AsyncClient, platform: Platform) -> None:
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("train.py", "import helper")
        file.writestr("helper.py", "")
    schedule = {"name": "weekly", "cron": "@weekly", "catch_up_seconds": 7 * 86_400}
    form = {"schedule": json.dumps(schedule), "experiment_name": "e", "entrypoint": "train.py"}
    answer = await client.post(PATH, data=form, files={"project": ("p.zip", archive.getvalue())})
    assert answer.status_code == 201, answer.text
    look(platform, days=7)
    (run,) = await history(client, "weekly")
    assert platform.store.jobs.get(run["job_id"]).spec.project_sha256
    wrong = await client.post(PATH, data=form | {"schedule": "[]"}, files={"script": ("a.py", b"1")})
    assert wrong.json()["errors"][0]["field"] == "schedule"


async def test_schedule_of_a_job_keeps_its_lock(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = (await client.post("/mlops/training/upload", json=TRAIN)).json()["job_id"]
    job = platform.start(job_id)
    platform.move(job, JobState.FAILED, environment_lock=("a==1",))
    made = await make(client, train=None, rerun=job_id)
    assert made["kind"] == "rerun"
    assert (await client.delete(f"{JOBS}/{job_id}")).status_code == 204
    look(platform, days=1)
    (run,) = await history(client)
    assert platform.store.jobs.get(run["job_id"]).spec.environment_lock == ("a==1",)


async def test_missing_secret_refuses_the_run(client: httpx.AsyncClient, platform: Platform) -> None:
    await client.put("/mlops/secrets/AWS", json={"value": "x"})
    await make(client, train=TRAIN | {"secrets": ["AWS"]})
    await client.delete("/mlops/secrets/AWS")
    look(platform, days=1)
    (run,) = await history(client)
    assert (run["outcome"], run["job_id"]) == ("refused", None)
    assert "AWS" in run["message"]


async def test_new_template_and_deletion(client: httpx.AsyncClient, platform: Platform) -> None:
    await make(client)
    changed = await client.patch(f"{PATH}/nightly", json={"train": TRAIN | {"experiment_name": "other"}})
    assert changed.json()["experiment_name"] == "other"
    assert (await client.delete(f"{PATH}/nightly")).status_code == 204
    answer = await client.get(f"{PATH}/nightly")
    assert (answer.status_code, answer.json()["code"]) == (404, "schedule_not_found")
    look(platform, days=1)
    assert (await client.get(JOBS)).json()["jobs"] == []


async def revoke(keyed: KeyedPlatform, who: str) -> None:
    key_id = keyed.tokens[who].split("_")[1]
    assert (await keyed.send("admin", "DELETE", f"/mlops/keys/{key_id}")).status_code in {200, 204}


async def admin_elsewhere(keyed: KeyedPlatform) -> str:
    request = {"name": "root", "role": Role.ADMIN.value, "workspace": "blue"}
    answer = await keyed.send("admin", "POST", "/mlops/keys", json=request)
    assert answer.status_code == 201, answer.text
    return answer.json()["key"]


async def test_owner_without_a_valid_key_is_refused(keyed: KeyedPlatform) -> None:
    body = NIGHTLY | {"overlap": "cancel_previous"}
    assert (await keyed.send("submitter", "POST", PATH, json=body)).status_code == 201
    look(keyed.platform, days=1)
    await revoke(keyed, "submitter")
    look(keyed.platform, days=2)
    refused, first = (await keyed.send("viewer", "GET", f"{PATH}/nightly/runs")).json()["runs"]
    assert (first["outcome"], refused["outcome"]) == ("submitted", "refused")
    assert "no valid key in the workspace 'red'" in refused["message"]
    run = await keyed.send("deployer", "POST", f"{PATH}/nightly/run")
    assert (run.status_code, run.json()["code"]) == (403, "forbidden")
    made = (await keyed.send("deployer", "GET", f"{PATH}/nightly")).json()
    # An admin of another workspace sees it, and has no key in its workspace.
    stranger = await keyed.send(
        await admin_elsewhere(keyed), "PATCH", f"{PATH}/{made['schedule_id']}", json={"take_over": True}
    )
    assert (stranger.status_code, stranger.json()["errors"][0]["field"]) == (422, "take_over")
    taken = await keyed.send("deployer", "PATCH", f"{PATH}/nightly", json={"take_over": True})
    assert taken.json()["owner"] == "deployer"
    job_id = (await keyed.send("deployer", "POST", f"{PATH}/nightly/run")).json()["job_id"]
    assert keyed.platform.store.jobs.get(job_id).spec.owner == "deployer"


async def test_other_workspaces_do_not_see_it(keyed: KeyedPlatform) -> None:
    made = (await keyed.send("submitter", "POST", PATH, json=NIGHTLY)).json()
    for name in ("nightly", made["schedule_id"]):
        for method, path in (("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/run"), ("GET", "/runs")):
            answer = await keyed.send("other", method, f"{PATH}/{name}{path}", json={} if method == "PATCH" else None)
            assert answer.status_code == 404, (method, path)
    assert (await keyed.send("other", "GET", PATH)).json()["schedules"] == []
    assert (await keyed.send("other", "POST", PATH, json=NIGHTLY)).status_code == 201


async def test_owner_with_a_lower_role_may_not_use_the_cluster(keyed: KeyedPlatform) -> None:
    body = NIGHTLY | {"train": TRAIN | {"isolation": "cluster"}}
    assert (await keyed.send("submitter", "POST", PATH, json=body)).status_code == 403
    assert (await keyed.send("deployer", "POST", PATH, json=body)).status_code == 201
    assert (await keyed.send("submitter", "POST", f"{PATH}/nightly/run")).status_code == 403
    assert (await keyed.send("submitter", "PATCH", f"{PATH}/nightly", json={"take_over": True})).status_code == 403
    request = {"name": "deployer", "role": Role.SUBMITTER.value, "workspace": "red"}
    assert (await keyed.send("admin", "POST", "/mlops/keys", json=request)).status_code == 201
    await revoke(keyed, "deployer")
    look(keyed.platform, days=1)
    (run,) = (await keyed.send("viewer", "GET", f"{PATH}/nightly/runs")).json()["runs"]
    assert run["outcome"] == "refused"
    assert "need the role deployer" in run["message"]


async def test_owner_with_a_lower_role_may_not_promote(keyed: KeyedPlatform) -> None:
    gate = {"alias": "champion", "when": "auc > 0.8"}
    body = NIGHTLY | {"train": TRAIN | {"model_name": "churn", "promote": gate}}
    refused = await keyed.send("submitter", "POST", PATH, json=body)
    assert (refused.status_code, refused.json()["role"]) == (403, "deployer")
    assert (await keyed.send("deployer", "POST", PATH, json=body)).status_code == 201
    assert (await keyed.send("submitter", "POST", f"{PATH}/nightly/run")).status_code == 403
    assert (await keyed.send("submitter", "PATCH", f"{PATH}/nightly", json={"take_over": True})).status_code == 403
    assert (await keyed.send("deployer", "POST", f"{PATH}/nightly/run")).status_code == 202


def test_overlap_words_are_those_of_the_domain() -> None:
    assert {each.value for each in Overlap} == {"skip", "queue", "cancel_previous"}
