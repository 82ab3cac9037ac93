"""Routes for attempts on nodes that do not see the state directory."""

from __future__ import annotations

import io
import json
import tarfile
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from job_entrypoints.contract import ATTEMPT_TOKEN_HEADER, ATTEMPTS_PATH, attempt_token
from raylift.api.paths import UPLOAD
from raylift.domain.job import Job, JobState
from raylift.settings import PlatformSettings
from tests.unit.gateway.conftest import Platform

STARTED = {"state": "started", "script_started_at": 1000.0, "wrapper_pid": 7, "host": "worker-2"}


@pytest.fixture
def settings(tmp_path: Path) -> PlatformSettings:
    (tmp_path / "ray-token").write_text("token-of-ray\n")
    return PlatformSettings(
        state_dir=tmp_path,
        database_url=f"sqlite:///{tmp_path}/store.db",
        mlflow_url="http://mlflow.invalid",
        ray_dashboard_url="http://ray.invalid",
        ray_token_file=tmp_path / "ray-token",
        gateway_url="http://127.0.0.1:9",
    )


@pytest.fixture
async def job(client: httpx.AsyncClient, platform: Platform) -> Job:
    """A job whose attempt was submitted to Ray."""
    upload = {"script_content": "print(1)", "experiment_name": "demo"}
    job_id = (await client.post(UPLOAD, json=upload)).json()["job_id"]
    job = platform.move(platform.store.jobs.get(job_id), JobState.STARTING, submission_id=f"{job_id}-a1")
    directory = platform.settings.attempts_dir / f"{job_id}-a1"
    (directory / "source").mkdir(parents=True)
    (directory / "source" / "train.py").write_text("print(1)")
    (directory / "attempt.json").write_text(json.dumps({"environment": {"KEY": "secret"}, "contact_seconds": 45}))
    return job


async def fetch(client: httpx.AsyncClient, attempt: str, *, token: str | None = None) -> httpx.Response:
    headers = {ATTEMPT_TOKEN_HEADER: token or attempt_token("token-of-ray", attempt), "X-Raylift-Node": "worker-2"}
    return await client.get(f"{ATTEMPTS_PATH}/{attempt}/bundle", headers=headers)


async def report(client: httpx.AsyncClient, attempt: str, log: bytes = b"", **message: Any) -> httpx.Response:
    headers = {ATTEMPT_TOKEN_HEADER: attempt_token("token-of-ray", attempt)}
    head = json.dumps({"sent_at": time.time(), "offset": 0, **message}).encode()
    return await client.post(f"{ATTEMPTS_PATH}/{attempt}/report", content=head + b"\n" + log, headers=headers)


async def test_bundle_is_closed_once_the_script_has_started(client: httpx.AsyncClient, platform: Platform, job: Job) -> None:
    attempt = job.submission_id or ""
    answer = await fetch(client, attempt)
    with tarfile.open(fileobj=io.BytesIO(answer.content)) as bundle:
        assert [name for name in bundle.getnames() if "." in name] == ["source/train.py", "attempt.json"]
    told = await report(client, attempt, b"hello", progress=STARTED)
    assert told.json() == {"have": 5, "stop": None}
    platform.move(job, JobState.SCRIPT)
    again = await fetch(client, attempt)
    assert (again.status_code, again.json()["code"]) == (409, "attempt_over")
    assert "secret" not in (platform.settings.attempts_dir / attempt / "attempt.json").read_text()
    logs = await client.get(f"/mlops/training/jobs/{job.job_id}/logs")
    assert logs.text == "hello"


@pytest.mark.parametrize("token", ["none", attempt_token("token-of-ray", "job_other-a1")])
async def test_token_of_another_attempt_is_refused(client: httpx.AsyncClient, job: Job, token: str) -> None:
    for wrong in (token, attempt_token("another platform's", f"{job.job_id}-a1")):
        answer = await fetch(client, f"{job.job_id}-a1", token=wrong)
        assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("attempt", ["{job_id}-a2", "{job_id}", "job_none-a1", "..%2f..-a1"])
async def test_attempt_that_does_not_count_is_over(client: httpx.AsyncClient, job: Job, attempt: str) -> None:
    answer = await report(client, attempt.format(job_id=job.job_id))
    assert answer.status_code in {401, 404, 409}, answer.text


async def test_report_before_the_bundle_is_refused(client: httpx.AsyncClient, job: Job) -> None:
    assert (await report(client, f"{job.job_id}-a1")).status_code == 409


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (b"", "body"),
        (b"[]\n", "body"),
        (b'{"sent_at": 1}\n', "body"),
        (b'{"sent_at": 1, "offset": -1}\n', "offset"),
        (b'{"sent_at": 1, "offset": true}\n', "offset"),
        (b'{"sent_at": "now", "offset": 0}\n', "sent_at"),
        (b'{"sent_at": 1, "offset": 0, "progress": []}\n', "progress"),
    ],
)
async def test_wrong_messages_name_their_field(client: httpx.AsyncClient, job: Job, body: bytes, field: str) -> None:
    attempt = f"{job.job_id}-a1"
    await fetch(client, attempt)
    headers = {ATTEMPT_TOKEN_HEADER: attempt_token("token-of-ray", attempt)}
    answer = await client.post(f"{ATTEMPTS_PATH}/{attempt}/report", content=body, headers=headers)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, field)


async def test_times_of_a_wrong_clock_are_put_right(client: httpx.AsyncClient, platform: Platform, job: Job) -> None:
    attempt, hour = f"{job.job_id}-a1", 3600.0
    await fetch(client, attempt)
    late = time.time() - hour
    await report(client, attempt, sent_at=late, progress={**STARTED, "script_started_at": late - 3})
    found = json.loads((platform.settings.attempts_dir / attempt / "progress.json").read_text())
    assert found["script_started_at"] == pytest.approx(time.time() - 3, abs=60)


async def test_stop_is_in_the_answer(client: httpx.AsyncClient, platform: Platform, job: Job) -> None:
    attempt = f"{job.job_id}-a1"
    await fetch(client, attempt)
    (platform.settings.attempts_dir / attempt / "stop").write_text("the job was cancelled")
    assert (await report(client, attempt)).json()["stop"] == "the job was cancelled"
