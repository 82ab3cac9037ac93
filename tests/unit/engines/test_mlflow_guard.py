"""MLflow's application behind a credential."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.engines.mlflow_engine.guarded_app import only_with_credential
from raylift.engines.mlflow_engine.live_jobs import LiveJobs
from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint

SECRET = "0" * 64


async def echo(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
def jobs(tmp_path: Path) -> LiveJobs:
    """The supervisor's side of the file."""
    return LiveJobs(tmp_path / "live")


@pytest.fixture
async def mlflow(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    app = only_with_credential(echo, SECRET, LiveJobs(tmp_path / "live"))
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType]
    async with httpx.AsyncClient(transport=transport, base_url="http://mlflow") as client:
        yield client


def bearer(kind: Bearer, *, seconds: float = 60.0) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint(SECRET, kind, 'x', expires=time.time() + seconds)}"}


async def test_jobs_and_the_platform_may_do_everything(mlflow: httpx.AsyncClient) -> None:
    for kind in (Bearer.JOB, Bearer.PLATFORM):
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert (await mlflow.request(method, "/api/x", headers=bearer(kind))).status_code == 200


async def test_credential_of_a_job_ends_with_the_job(mlflow: httpx.AsyncClient, jobs: LiveJobs) -> None:
    now = time.time()
    headers = {"Authorization": f"Bearer {mint(SECRET, Bearer.JOB, 'job_1', issued=now, expires=now + 600)}"}
    steps: list[tuple[list[str], float, int]] = [
        (["job_0"], now - 5, 200),  # A look before the job began says nothing of it.
        (["job_0", "job_1"], now + 5, 200),
        (["job_0"], now + 10, 401),
        (["job_0", "job_1"], now + 15, 200),  # Its next attempt.
        ([], now + 20, 401),
    ]
    for live, looked_at, status in steps:
        jobs.publish(live, looked_at=looked_at)
        assert (await mlflow.post("/api/x", headers=headers)).status_code == status, looked_at


async def test_job_between_two_looks_is_over_a_minute_later(mlflow: httpx.AsyncClient, jobs: LiveJobs) -> None:
    now = time.time()
    headers = {"Authorization": f"Bearer {mint(SECRET, Bearer.JOB, 'job_1', issued=now, expires=now + 600)}"}
    for looked_at, status in ((now - 1, 200), (now + 30, 200), (now + 61, 401)):
        jobs.publish([], looked_at=looked_at)
        assert (await mlflow.get("/api/x", headers=headers)).status_code == status, looked_at


async def test_replicas_only_read(mlflow: httpx.AsyncClient) -> None:
    assert (await mlflow.get("/api/x", headers=bearer(Bearer.REPLICA))).status_code == 200
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert (await mlflow.request(method, "/api/x", headers=bearer(Bearer.REPLICA))).status_code == 401


@pytest.mark.parametrize(
    "headers", [{}, {"Authorization": "Bearer x"}, {"Authorization": "Basic eDp5"}, bearer(Bearer.JOB, seconds=-9)]
)
async def test_others_are_refused(mlflow: httpx.AsyncClient, headers: dict[str, str]) -> None:
    answer = await mlflow.get("/api/x", headers=headers)
    assert (answer.status_code, answer.json()["error_code"]) == (401, "PERMISSION_DENIED")


async def test_health_needs_no_credential(mlflow: httpx.AsyncClient) -> None:
    assert (await mlflow.get("/health")).status_code == 200
