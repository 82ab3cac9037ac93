"""MLflow's application behind a credential."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from raylift.engines.mlflow_engine.guarded_app import only_with_credential
from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint

SECRET = "0" * 64


async def echo(scope: Any, _receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": scope["path"].encode()})


@pytest.fixture
async def mlflow() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(only_with_credential(echo, SECRET))  # pyright: ignore[reportArgumentType]
    async with httpx.AsyncClient(transport=transport, base_url="http://mlflow") as client:
        yield client


def bearer(kind: Bearer, *, seconds: float = 60.0) -> dict[str, str]:
    return {"Authorization": f"Bearer {mint(SECRET, kind, 'x', expires=time.time() + seconds)}"}


async def test_jobs_and_the_platform_may_do_everything(mlflow: httpx.AsyncClient) -> None:
    for kind in (Bearer.JOB, Bearer.PLATFORM):
        for method in ("GET", "POST", "PUT", "DELETE"):
            assert (await mlflow.request(method, "/api/x", headers=bearer(kind))).status_code == 200


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
