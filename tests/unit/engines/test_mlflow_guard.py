"""MLflow's application behind a credential."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.domain.models.workspaces import PREFIX, mlflow_workspace
from raylift.engines.mlflow_engine.guarded_app import only_with_credential
from raylift.engines.mlflow_engine.live_jobs import LiveJobs
from raylift.engines.mlflow_engine.scoped_app import ScopedApp
from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint

SECRET = "0" * 64


async def echo(scope: Any, _receive: Any, send: Any) -> None:
    """Answer with the path and the headers of workspaces, in any form."""
    headers = [value.decode() for name, value in scope["headers"] if b"workspace" in name]
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": " ".join([scope["path"], *headers]).encode()})


@pytest.fixture
def jobs(tmp_path: Path) -> LiveJobs:
    """The supervisor's side of the file."""
    return LiveJobs(tmp_path / "live")


@pytest.fixture
def made() -> list[tuple[str, str]]:
    """Workspaces that were made in MLflow: name there, name here."""
    return []


@pytest.fixture
async def mlflow(tmp_path: Path, made: list[tuple[str, str]]) -> AsyncIterator[httpx.AsyncClient]:
    app = only_with_credential(
        ScopedApp(echo, lambda name, title: made.append((name, title))), SECRET, LiveJobs(tmp_path / "live")
    )
    transport = httpx.ASGITransport(app)  # pyright: ignore[reportArgumentType]
    async with httpx.AsyncClient(transport=transport, base_url="http://mlflow") as client:
        yield client


def bearer(kind: Bearer, *, seconds: float = 60.0) -> dict[str, str]:
    workspace = None if kind is Bearer.PLATFORM else "Red"
    return {"Authorization": f"Bearer {mint(SECRET, kind, 'x', workspace=workspace, expires=time.time() + seconds)}"}


async def test_jobs_and_the_platform_may_do_everything(mlflow: httpx.AsyncClient) -> None:
    for kind in (Bearer.JOB, Bearer.PLATFORM):
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert (await mlflow.request(method, "/api/x", headers=bearer(kind))).status_code == 200


async def test_credential_of_a_job_ends_with_the_job(mlflow: httpx.AsyncClient, jobs: LiveJobs) -> None:
    now = time.time()
    headers = {"Authorization": f"Bearer {mint(SECRET, Bearer.JOB, 'job_1', workspace='red', issued=now, expires=now + 600)}"}
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
    headers = {"Authorization": f"Bearer {mint(SECRET, Bearer.JOB, 'job_1', workspace='red', issued=now, expires=now + 600)}"}
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


RED = mlflow_workspace("Red")
HEADER = "X-MLFLOW-WORKSPACE"
IN_RED = [(Bearer.JOB, ""), (Bearer.REPLICA, ""), (Bearer.PLATFORM, f"{PREFIX}/Red")]
"""Requests in one workspace: of its credentials, and of the platform and of people, by its prefix."""


@pytest.mark.parametrize(("kind", "prefix"), IN_RED)
async def test_request_is_in_its_workspace_which_is_made_once(
    mlflow: httpx.AsyncClient, made: list[tuple[str, str]], kind: Bearer, prefix: str
) -> None:
    for named in ({}, {HEADER: RED}, {HEADER: "Red"}, {HEADER: " "}):
        answer = await mlflow.get(f"{prefix}/api/x", headers=bearer(kind) | named)
        assert answer.text == f"/api/x {RED}"
    assert made == [(RED, "Red")]


@pytest.mark.parametrize("forged", [{HEADER: "blue"}, {"x_mlflow_workspace": "blue"}, {HEADER: "default"}])
@pytest.mark.parametrize(("kind", "prefix"), IN_RED)
async def test_another_workspace_does_not_exist(
    mlflow: httpx.AsyncClient, kind: Bearer, prefix: str, forged: dict[str, str]
) -> None:
    answer = await mlflow.get(f"{prefix}/api/x", headers=bearer(kind) | forged)
    assert (answer.status_code, answer.json()["error_code"]) == (404, "RESOURCE_DOES_NOT_EXIST")


async def test_prefix_of_another_workspace_leads_nowhere(mlflow: httpx.AsyncClient) -> None:
    for prefix, kind in ((f"{PREFIX}/blue", Bearer.JOB), (f"{PREFIX}/Red{PREFIX}/blue", Bearer.PLATFORM)):
        answer = await mlflow.get(f"{prefix}/api/x", headers=bearer(kind))
        assert answer.text == f"{PREFIX}/blue/api/x {RED}"  # No path of MLflow.


@pytest.mark.parametrize(("kind", "prefix"), IN_RED)
@pytest.mark.parametrize("api", ["/api", "/ajax-api", "/api/"])
async def test_only_the_own_workspace_is_listed_and_none_is_changed(
    mlflow: httpx.AsyncClient, kind: Bearer, prefix: str, api: str
) -> None:
    workspaces = f"{prefix}{api}/3.0/mlflow/workspaces"
    headers = bearer(kind)
    for path in (workspaces, f"{workspaces}/"):
        assert (await mlflow.get(path, headers=headers)).json() == {"workspaces": [{"name": RED}]}
    assert (await mlflow.get(f"{workspaces}/{RED}", headers=headers)).text.endswith(RED)
    assert (await mlflow.get(f"{workspaces}/blue", headers=headers)).status_code == 404
    for method, path in (("POST", workspaces), ("PATCH", f"{workspaces}/{RED}"), ("DELETE", f"{workspaces}/{RED}")):
        assert (await mlflow.request(method, path, headers=headers)).status_code == (401 if kind is Bearer.REPLICA else 403)


@pytest.mark.parametrize("path", ["/ajax-api/3.0/mlflow/assistant/message", "/ajax-api/2.0/mlflow/gateway-proxy", "/gateway/x"])
async def test_parts_that_act_for_the_whole_server_are_for_admins(mlflow: httpx.AsyncClient, path: str) -> None:
    assert (await mlflow.post(path, headers=bearer(Bearer.JOB))).status_code == 403
    assert (await mlflow.post(path, headers=bearer(Bearer.PLATFORM))).status_code == 200


async def test_admins_choose_a_workspace(mlflow: httpx.AsyncClient, made: list[tuple[str, str]]) -> None:
    for headers, told in (({}, "/api/x"), ({HEADER: "blue"}, "/api/x blue"), ({HEADER: "Red"}, f"/api/x {RED}")):
        assert (await mlflow.get("/api/x", headers=bearer(Bearer.PLATFORM) | headers)).text == told
    assert made == []


@pytest.mark.parametrize("name", ["", "..", "a b", "%0a"])
async def test_prefix_without_a_name_of_a_workspace_is_refused(mlflow: httpx.AsyncClient, name: str) -> None:
    answer = await mlflow.get(f"{PREFIX}/{name}/api/x", headers=bearer(Bearer.PLATFORM))
    assert answer.status_code == 404 or PREFIX not in answer.text


async def test_open_answers_tell_of_no_workspace(mlflow: httpx.AsyncClient, made: list[tuple[str, str]]) -> None:
    assert (await mlflow.get("/health", headers={HEADER: RED})).status_code == 404
    assert made == []
