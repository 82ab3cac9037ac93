"""Behaviour of every route: errors, ids, headers and health."""

from __future__ import annotations

import asyncio
import json
import re
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from raylift.domain.errors import InvalidRequest, PlatformError
from raylift.domain.models.deployment import DeploymentStatus
from raylift.ingress.problems import problem_of
from raylift.services.cluster.health import HealthService
from serve_apps.gateway.http import errors
from serve_apps.model_server import errors as replica_errors
from tests.unit.gateway.conftest import Platform

ERRORS_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "errors.md"


def kinds(kind: type[PlatformError]) -> set[type[PlatformError]]:
    return {kind}.union(*(kinds(child) for child in kind.__subclasses__()))


class TestErrors:
    def test_every_code_has_a_status_and_is_documented(self) -> None:
        page = ERRORS_PAGE.read_text(encoding="utf-8")
        rows = dict(re.findall(r"^\| `(\w+)` \| (\d{3}) \|", page, re.MULTILINE))
        theirs = [kind for kind in kinds(PlatformError) if kind.__module__ == replica_errors.__name__]
        replicas = {kind.code: replica_errors.status_of(kind("")) for kind in theirs}
        assert rows == {code: str(status) for code, status in {**replicas, **errors.HTTP_STATUS}.items()}

    @pytest.mark.parametrize("page", ["errors.md", "protocols.md"])
    def test_documented_examples_equal_the_errors(self, page: str) -> None:
        text = ERRORS_PAGE.with_name(page).read_text(encoding="utf-8")
        example = next(json.loads(block) for block in re.findall(r"```json\n(.*?)```", text, re.DOTALL) if '"urn:' in block)
        told = problem_of(InvalidRequest(""), example["status"], "")
        # Python 3.13 took over the newer names of some statuses.
        assert example["title"] in {told["title"], "Unprocessable Entity"}
        assert example["type"] == f"urn:raylift:error:{example['code']}"

    async def test_v2_lists_the_available_extensions(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/v2")).json()["extensions"] == ["binary_tensor_data", "model_repository"]

    def test_every_error_of_the_domain_has_a_status(self) -> None:
        ours = {kind for kind in kinds(PlatformError) if kind.__module__.startswith(("raylift.", "serve_apps.gateway"))}
        assert {kind.code for kind in ours} <= set(errors.HTTP_STATUS)

    async def test_unknown_route_is_404(self, client: httpx.AsyncClient) -> None:
        answer = await client.get("/mlops/nothing")
        assert (answer.status_code, answer.headers["content-type"]) == (404, "application/problem+json")
        assert answer.json() | {"detail": ""} == {
            "type": "urn:raylift:error:not_found", "title": "Not Found", "status": 404, "detail": "", "code": "not_found",
            "instance": "/mlops/nothing",
        }  # fmt: skip

    async def test_other_method_is_405(self, client: httpx.AsyncClient) -> None:
        answer = await client.put("/mlops/training/upload")
        assert (answer.status_code, answer.json()["code"], answer.headers["allow"]) == (405, "method_not_allowed", "POST")

    async def test_defect_shows_an_id_and_no_traceback(
        self, client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(_: str) -> None:
            raise ZeroDivisionError("secret detail")

        monkeypatch.setattr(platform.store.jobs, "get", broken)
        answer = await client.get("/mlops/training/jobs/x", headers={"x-request-id": "r-1"})
        assert (answer.status_code, answer.json()["code"], answer.json()["request_id"]) == (500, "internal_error", "r-1")
        assert "secret" not in answer.text


class TestEveryRequest:
    async def test_every_answer_has_a_request_id(self, client: httpx.AsyncClient) -> None:
        given = await client.get("/healthz", headers={"x-request-id": "mine"})
        assert given.headers["x-request-id"] == "mine"
        made = await client.get("/healthz")
        assert re.fullmatch("[0-9a-f]{32}", made.headers["x-request-id"])
        refused = await client.get("/healthz", headers={"x-request-id": "a b" * 100})
        assert re.fullmatch("[0-9a-f]{32}", refused.headers["x-request-id"])
        assert made.headers["x-content-type-options"] == "nosniff"

    @pytest.mark.parametrize("path", ["/mlops/training/jobs/a%00b", "/mlops/training/jobs?model_name=%00"])
    async def test_null_bytes_are_refused(self, client: httpx.AsyncClient, path: str) -> None:
        assert (await client.get(path)).status_code == 422

    @pytest.mark.parametrize(
        ("headers", "status"),
        [
            ({"origin": "http://evil.example"}, 403),
            ({"origin": "null"}, 403),
            ({"sec-fetch-site": "cross-site"}, 403),
            ({"origin": "http://localhost"}, 202),
            ({"origin": "http://evil.example", "x-forwarded-host": "evil.example"}, 403),
            ({"sec-fetch-site": "same-origin"}, 202),
            ({}, 202),
        ],
    )
    async def test_pages_of_other_sites_cannot_run_code(
        self, client: httpx.AsyncClient, headers: dict[str, str], status: int
    ) -> None:
        form = [("experiment_name", (None, "e")), ("script", ("x.py", b"print(1)"))]
        answer = await client.post("/mlops/training/upload", files=form, headers=headers)  # pyright: ignore[reportArgumentType]
        assert answer.status_code == status
        assert (await client.get("/healthz", headers=headers)).status_code == 200


class TestHealth:
    async def test_healthy_platform_is_ready(self, client: httpx.AsyncClient) -> None:
        assert (await client.get("/healthz")).json() == {"live": True}
        answer = await client.get("/readyz")
        assert answer.status_code == 200
        assert {name: part["state"] for name, part in answer.json()["parts"].items()} == {
            "store": "up",
            "ray": "up",
            "mlflow": "up",
            "supervisor": "up",
        }

    async def test_silent_supervisor_is_reported(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.store.leases.renew(platform.lease, now=datetime.now(UTC) - timedelta(minutes=1), seconds=15)
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"]["supervisor"]["state"] == "down"

    async def test_unreachable_part_is_reported(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.registry.down = True
        answer = await client.get("/readyz")
        assert answer.status_code == 503
        assert answer.json()["parts"]["mlflow"] == {"state": "down", "detail": "MLflow is away"}
        assert answer.json()["parts"]["store"]["state"] == "up"

    async def test_hanging_part_delays_no_other_answer(self) -> None:
        release = threading.Event()
        asked: list[int] = []

        def hangs() -> None:
            asked.append(1)
            release.wait(30)

        health = HealthService({"good": lambda: None, "hangs": hangs}, bound_seconds=0.05)
        for _ in range(3):
            parts = await health.parts()
            assert (parts["good"].ok, parts["hangs"].ok) == (True, False)
        assert asked == [1]
        release.set()
        await asyncio.wait_for(health._running["hangs"], 10)
        health._bound_seconds = 10
        assert (await health.parts())["hangs"].ok
        health.close()


async def test_metrics_are_in_prometheus_format(client: httpx.AsyncClient, platform: Platform) -> None:
    await client.post("/mlops/training/upload", json={"script_content": "print(1)", "experiment_name": "e"})
    await client.get("/mlops/training/jobs/job_1")
    await client.get("/no/such/path")
    platform.deploy("m", "1", DeploymentStatus.READY)
    answer = await client.get("/metrics")
    assert answer.headers["content-type"].startswith("text/plain")
    lines = answer.text.splitlines()
    assert 'raylift_jobs{status="queued"} 1.0' in lines
    assert 'raylift_jobs{status="failed"} 0.0' in lines
    assert 'raylift_deployments{status="ready"} 1.0' in lines
    assert 'raylift_http_requests_total{method="POST",route="/mlops/training/upload",status="202"} 1.0' in lines
    assert 'raylift_http_requests_total{method="GET",route="/mlops/training/jobs/{job_id}",status="404"} 1.0' in lines
    assert 'raylift_http_requests_total{method="*",route="(none)",status="404"} 1.0' in lines
    assert any(line.startswith('raylift_http_request_seconds_bucket{le="0.05",method="POST"') for line in lines)
