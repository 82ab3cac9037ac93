"""Inference through the gateway: requests are forwarded unchanged, held while a version starts, and retried if it is safe."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from serve_apps.gateway.rest_api import create_app
from tests.integration.gateway.conftest import World, answers, dies, listening, served
from tests.unit.gateway.conftest import Platform

INFERENCE = "/mlops/inference"


async def infer(
    world: World, *, patience: float | None = None, headers: dict[str, str] | None = None, **body: Any
) -> httpx.Response:
    sent = dict(headers or {}) | ({} if patience is None else {"X-Scale-Up-Timeout": str(patience)})
    return await world.client.post(INFERENCE, json={"model_name": "m", "inputs": [[1.0]]} | body, headers=sent)


class TestSendingOn:
    async def test_body_is_forwarded_unchanged(self, world: World) -> None:
        world.platform.deploy("m", "3")
        raw = b'{ "model_name":"m" , "model_version": 3,\n "inputs": [[1.0, 2.50]]}'
        headers = {
            "content-type": "application/x-www-form-urlencoded",
            "x-request-id": "abc-1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "x-request-timeout-seconds": "0.001",
        }
        answer = await world.client.post(INFERENCE, content=raw, headers=headers)
        assert (answer.status_code, answer.content, answer.headers["x-replica"]) == (200, raw, "1")
        ((method, path, sent, body),) = world.replica.seen
        assert (method, path, body) == ("POST", "/v2/models/m/versions/3/predict", raw)
        assert sent["x-raylift-forwarded"] == "1"
        assert sent["x-request-id"] == "abc-1" == answer.headers["x-request-id"]
        assert sent["traceparent"] == headers["traceparent"]
        assert sent["content-type"] == "application/json"
        assert "x-request-timeout-seconds" not in sent

    async def test_python_style_nan_is_forwarded(self, world: World) -> None:
        world.platform.deploy("m", "3")
        raw = b'{"model_name": "m", "inputs": [[NaN, -Infinity]]}'
        answer = await world.client.post(INFERENCE, content=raw)
        assert (answer.status_code, answer.content) == (200, raw)

    async def test_answer_is_returned_unchanged(self, world: World) -> None:
        world.platform.deploy("m", "3")
        problem = '{"status": 422, "detail": "needs 20 features"}'
        world.replica.behaviours.append(answers(422, problem, "application/problem+json", **{"x-y": "z"}))
        answer = await infer(world)
        assert (answer.status_code, answer.text, answer.headers["x-y"]) == (422, problem, "z")
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_large_bodies_and_answers_pass(self, world: World) -> None:
        world.platform.deploy("m", "3")
        rows = [[float(n)] * 20 for n in range(20_000)]
        answer = await infer(world, inputs=rows)
        assert answer.json()["inputs"] == rows

    async def test_answers_of_unknown_length_are_streamed(self, world: World) -> None:
        world.platform.deploy("m", "3")

        async def stream(_: Request, __: bytes) -> Response:
            return StreamingResponse(iter([b"a" * 1000, b"b" * 1000]), media_type="application/json")

        world.replica.behaviours.append(stream)
        assert (await infer(world)).content == b"a" * 1000 + b"b" * 1000

    async def test_model_names_are_quoted_in_paths(self, world: World) -> None:
        world.platform.deploy("my model", "1")
        await infer(world, model_name="my model")
        assert world.replica.paths == ["/v2/models/my%20model/versions/1/predict"]


class TestCsv:
    async def test_query_selects_the_model_and_is_forwarded_with_the_body(self, world: World) -> None:
        world.platform.deploy("m", "2")
        world.platform.deploy("m", "3")
        address = f"{INFERENCE}?model_name=m&model_version=2&return_probabilities=true"
        answer = await world.client.post(address, content=b"a\n01\n", headers={"content-type": "text/csv; charset=utf-8"})
        assert (answer.status_code, answer.content) == (200, b"a\n01\n")
        ((_, path, sent, _),) = world.replica.seen
        assert path == "/v2/models/m/versions/2/predict?model_name=m&model_version=2&return_probabilities=true"
        assert sent["content-type"] == "text/csv"

    @pytest.mark.parametrize(
        ("query", "field"),
        [
            ("", "model_name"),
            ("?model_name=", "model_name"),
            ("?model_name=m&model_name=n", "model_name"),
            ("?model_name=m&model_version=1&alias=a", "alias"),
        ],
    )
    async def test_query_without_a_valid_model_is_refused(self, world: World, query: str, field: str) -> None:
        answer = await world.client.post(INFERENCE + query, content=b"a\n1\n", headers={"content-type": "text/csv"})
        assert answer.status_code == 422
        assert [error["field"] for error in answer.json()["errors"]] == [field]


class TestChoosing:
    async def test_newest_ready_version_is_chosen(self, world: World) -> None:
        for version, status in [
            ("2", "ready"),
            ("9", "scaled_to_zero"),
            ("10", "ready"),
            ("11", "starting"),
            ("12", "unhealthy"),
        ]:
            world.platform.deploy("m", version, DeploymentStatus(status), replicas=int(status == "ready"))
        await infer(world)
        assert world.replica.paths == ["/v2/models/m/versions/10/predict"]

    @pytest.mark.parametrize("version", ["2", 2])
    async def test_named_version_is_chosen(self, world: World, version: Any) -> None:
        world.platform.deploy("m", "2")
        world.platform.deploy("m", "3")
        await infer(world, model_version=version)
        assert world.replica.paths == ["/v2/models/m/versions/2/predict"]

    async def test_version_of_a_named_alias_is_chosen(self, world: World) -> None:
        world.platform.deploy("m", "2")
        world.platform.deploy("m", "3")
        world.platform.registry.register("m", "2")
        world.platform.registry.aliases["m", "champion"] = "2"
        await infer(world, alias="champion")
        assert world.replica.paths == ["/v2/models/m/versions/2/predict"]
        assert (await infer(world, alias="nobody")).status_code == 404

    async def test_deployed_version_needs_no_registry_lookup(self, world: World) -> None:
        world.platform.deploy("m", "2")
        world.platform.registry.down = True
        assert (await infer(world)).status_code == 200
        assert (await infer(world, model_version="2")).status_code == 200
        assert world.platform.registry.asked == 0

    async def test_unknown_model_version_or_alias_is_404(self, world: World) -> None:
        world.platform.deploy("m", "2")
        world.platform.registry.register("m", "2")
        unknown = await infer(world, model_name="nope")
        assert (unknown.status_code, unknown.json()["code"]) == (404, "model_not_found")
        version = await infer(world, model_version="99")
        assert (version.status_code, version.json()["code"], version.json()["versions"]) == (404, "version_not_found", ["2"])
        world.platform.registry.down = True
        away = await infer(world, model_name="other")
        assert (away.status_code, away.json()["code"]) == (503, "engine_unavailable")

    async def test_version_that_cannot_answer_is_refused_at_once(self, world: World) -> None:
        world.platform.deploy("sick", "1", DeploymentStatus.UNHEALTHY, message="no module named torch")
        world.platform.deploy("gone", "1")
        world.platform.store.deployments.want("gone", "1", now=world.platform.lease.expires_at, wanted=False)
        world.platform.registry.register("old", "1")
        sick, gone, old = [await infer(world, model_name=name) for name in ("sick", "gone", "old")]
        assert (sick.status_code, sick.json()["code"]) == (503, "deployment_unhealthy")
        assert "no module named torch" in sick.json()["detail"]
        assert "retry-after" not in sick.headers
        assert (gone.status_code, gone.json()["code"]) == (503, "deployment_stopped")
        assert (old.status_code, old.json()["code"]) == (503, "deployment_stopped")
        assert "PUT /mlops/models/old/versions/1/deployment" in old.json()["detail"]

    @pytest.mark.parametrize(
        ("body", "field"),
        [
            ({"model_name": None}, "model_name"),
            ({"model_name": ""}, "model_name"),
            ({"model_name": 3}, "model_name"),
            ({"model_version": True}, "model_version"),
            ({"model_version": 1.5}, "model_version"),
            ({"model_version": ""}, "model_version"),
            ({"alias": 1}, "alias"),
            ({"alias": "a", "model_version": "1"}, "alias"),
        ],
    )
    async def test_malformed_model_or_version_is_refused(self, world: World, body: dict[str, Any], field: str) -> None:
        answer = await infer(world, **body)
        assert (answer.status_code, answer.headers["content-type"]) == (422, "application/problem+json")
        assert [error["field"] for error in answer.json()["errors"]] == [field]

    @pytest.mark.parametrize(
        ("raw", "status"), [(b"{", 400), (b"", 400), (b"[1]", 422), (b'{"inputs": NaN', 400), (b"NaN", 422)]
    )
    async def test_malformed_body_is_refused(self, world: World, raw: bytes, status: int) -> None:
        assert (await world.client.post(INFERENCE, content=raw)).status_code == status

    async def test_new_deployment_is_found_despite_a_stale_cache(self, world: World) -> None:
        world.platform.registry.register("m", "1")
        world.platform.deploy("m", "1")
        now = world.platform.lease.expires_at
        world.platform.store.deployments.want("m", "1", now=now, wanted=False)
        assert (await infer(world)).json()["code"] == "deployment_stopped"
        world.platform.store.deployments.want("m", "1", now=now)
        assert (await infer(world, patience=0)).json()["code"] == "deployment_not_ready"
        assert (await infer(world, model_version="2")).status_code == 404
        world.platform.deploy("m", "2")
        assert (await infer(world, model_version="2")).status_code == 200


class TestHolding:
    async def test_request_waits_for_a_starting_version(self, world: World) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.STARTING, replicas=0)
        held = [asyncio.create_task(infer(world)) for _ in range(20)]
        await asyncio.sleep(0.5)
        assert not any(task.done() for task in held)
        world.platform.deploy("m", "1", DeploymentStatus.READY)
        assert {answer.status_code for answer in await asyncio.gather(*held)} == {200}
        assert len(world.replica.seen) == 20

    async def test_request_waits_for_a_deployment_that_is_not_there_yet(self, world: World) -> None:
        world.platform.registry.register("m", "1", created_at=world.platform.lease.expires_at)
        held = asyncio.create_task(infer(world, model_version=1))
        newest = asyncio.create_task(infer(world))
        await asyncio.sleep(0.3)
        world.platform.deploy("m", "1")
        assert ((await held).status_code, (await newest).status_code) == (200, 200)

    async def test_wait_ends_at_its_timeout(self, world: World) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.PENDING, replicas=0)
        answer = await infer(world, patience=0.4)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (503, "deployment_not_ready", "5")
        assert world.replica.seen == []

    async def test_failed_start_ends_the_wait(self, world: World) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.STARTING, replicas=0)
        held = asyncio.create_task(infer(world))
        await asyncio.sleep(0.2)
        world.platform.deploy("m", "1", DeploymentStatus.UNHEALTHY, replicas=0, message="out of memory")
        answer = await held
        assert (answer.status_code, answer.json()["code"]) == (503, "deployment_unhealthy")

    async def test_no_more_requests_wait_than_the_replicas_could_queue(self, world: World) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.STARTING, replicas=0)
        few = DeploymentConfig(max_replicas=1, target_ongoing_requests=1, max_ongoing_requests=1, max_queued_requests=2)
        world.platform.store.deployments.want("m", "1", now=world.platform.lease.expires_at, config=few)
        asked = [asyncio.create_task(infer(world)) for _ in range(5)]
        refused: set[asyncio.Task[httpx.Response]] = set()
        while len(refused) < 2:
            refused, _ = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
        assert [(task.result().status_code, task.result().json()["code"]) for task in refused] == [(429, "queue_full")] * 2
        assert all(task.result().headers["retry-after"] == "1" for task in refused)
        # Requests for another model do not count.
        world.platform.deploy("other", "1")
        assert (await infer(world, model_name="other")).status_code == 200
        world.platform.deploy("m", "1", DeploymentStatus.READY)
        answered = await asyncio.gather(*asked)
        assert sorted(answer.status_code for answer in answered) == [200, 200, 200, 429, 429]
        assert (await infer(world)).status_code == 200

    @pytest.mark.parametrize("patience", ["-1", "soon", "nan", "inf", "1_0"])
    async def test_malformed_scale_up_timeout_is_refused(self, world: World, patience: Any) -> None:
        assert (await infer(world, patience=patience)).status_code == 422

    async def test_request_scales_a_version_up_and_waits(self, world: World) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.SCALED_TO_ZERO, replicas=0)
        answer = await infer(world, patience=0.3)
        assert (answer.status_code, answer.json()["code"]) == (503, "deployment_not_ready")
        assert world.replica.seen == []
        row = world.platform.store.deployments.get("m", "1")
        assert row is not None
        assert row.demanded_at is not None

    async def test_slow_prediction_is_not_cut_off(self, world: World) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.READY)

        async def slow(_: Request, body: bytes) -> Response:
            await asyncio.sleep(1)
            return Response(body, media_type="application/json")

        world.replica.behaviours.append(slow)
        assert (await infer(world, patience=0.3)).status_code == 200


class TestTryingAgain:
    async def test_request_waits_for_a_missing_route(self, world: World) -> None:
        world.platform.deploy("m", "1")
        absent = answers(503, "{}", "application/problem+json", **{"X-Raylift-No-Route": "1"})
        world.replica.behaviours += [absent, absent, answers(503, "no replica", "text/plain")]
        assert (await infer(world)).status_code == 200
        assert len(world.replica.seen) == 4

    async def test_wait_for_a_missing_route_ends(self, world: World) -> None:
        world.platform.deploy("m", "1")
        world.replica.behaviours += [answers(503, "{}", "application/json", **{"X-Raylift-No-Route": "1"})] * 100
        answer = await infer(world, patience=0.4)
        assert (answer.status_code, answer.json()["code"]) == (503, "deployment_not_ready")

    async def test_request_survives_a_lost_replica(self, world: World) -> None:
        world.platform.deploy("m", "1")
        world.replica.behaviours += [dies(), answers(500, "Internal Server Error")]
        assert (await infer(world)).status_code == 200
        assert len(world.replica.seen) == 3

    async def test_request_that_kills_replicas_is_refused(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("serve_apps.gateway.predictions.dispatcher._PAUSES_AFTER_BREAK", (0.0, 0.0))
        world.platform.deploy("m", "1")
        world.replica.behaviours += [dies()] * 10
        answer = await infer(world)
        assert (answer.status_code, answer.json()["code"]) == (502, "replica_failed")
        assert len(world.replica.seen) == 3

    async def test_request_with_side_effects_is_not_sent_again(self, world: World) -> None:
        world.platform.deploy("m", "1")
        world.replica.behaviours += [dies()]
        answer = await world.client.post("/v2/models/m/versions/1/load")
        assert answer.status_code == 502
        assert answer.json() == {"error": "A replica of version 1 of 'm' broke off while it worked on the request."}

    async def test_errors_of_a_replica_are_not_retried(self, world: World) -> None:
        world.platform.deploy("m", "1")
        for status in (400, 422, 429, 500, 503):
            world.replica.behaviours.append(answers(status, "{}", "application/problem+json"))
            assert (await infer(world)).status_code == status
        assert len(world.replica.seen) == 5

    async def test_full_queue_of_a_replica_is_429(self, world: World) -> None:
        world.platform.deploy("m", "1")
        world.replica.behaviours.append(answers(429, "Request dropped due to backpressure", **{"Retry-After": "2"}))
        answer = await infer(world)
        assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "queue_full", "2")

    async def test_request_waits_for_an_unreachable_ingress(self, platform: Platform, upstream_socket: socket.socket) -> None:
        # Bound but not listening: connections are refused.
        platform.deploy("m", "1")
        with listening() as sock:
            async with served(create_app(platform.services), sock) as url, httpx.AsyncClient(base_url=url) as client:
                body = {"model_name": "m", "inputs": [[1]]}
                answer = await client.post(INFERENCE, json=body, headers={"X-Scale-Up-Timeout": "0.5"})
        assert (answer.status_code, answer.json()["code"]) == (503, "deployment_not_ready")


class TestModelRoutes:
    async def test_request_for_a_route_that_serve_lacks_is_held(self, world: World) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.STARTING, replicas=0)
        held = asyncio.create_task(
            world.client.post(
                "/v2/models/m/versions/1/infer?x=1&y=%2F", content=b"raw\x00", headers={"inference-header-content-length": "3"}
            )
        )
        await asyncio.sleep(0.2)
        world.platform.deploy("m", "1")
        assert (await held).content == b"raw\x00"
        ((method, path, headers, body),) = world.replica.seen
        assert (method, path, body) == ("POST", "/v2/models/m/versions/1/infer?x=1&y=%2F", b"raw\x00")
        assert headers["inference-header-content-length"] == "3"

    @pytest.mark.parametrize(
        ("path", "sent"),
        [
            ("/v2/models/m", "/v2/models/m/versions/2"),
            ("/v2/models/m/infer", "/v2/models/m/versions/2/infer"),
            ("/v2/models/m/invocations", "/v2/models/m/versions/2/invocations"),
            ("/v2/models/m/openapi.json", "/v2/models/m/versions/2/openapi.json"),
            ("/v2/models/m/versions/1", "/v2/models/m/versions/1"),
        ],
    )
    async def test_by_name_routes_lead_to_the_newest_version(self, world: World, path: str, sent: str) -> None:
        world.platform.deploy("m", "1")
        world.platform.deploy("m", "2")
        await world.client.get(path)
        assert world.replica.paths == [sent]

    async def test_request_that_returns_to_the_gateway_is_not_forwarded_again(self, world: World) -> None:
        world.platform.deploy("m", "1")
        answer = await world.client.post("/v2/models/m/versions/1/infer", headers={"X-Raylift-Forwarded": "1"})
        assert (answer.status_code, answer.headers["x-raylift-no-route"]) == (503, "1")
        assert answer.headers["content-type"] == "application/json"
        assert "error" in answer.json()
        assert world.replica.seen == []

    async def test_gateway_that_forwards_to_itself_answers_503(
        self, platform: Platform, upstream_socket: socket.socket
    ) -> None:
        platform.deploy("m", "1")
        async with (
            served(create_app(platform.services), upstream_socket) as url,
            httpx.AsyncClient(base_url=url, headers={"X-Scale-Up-Timeout": "0.5"}) as client,
        ):
            answer = await client.post(INFERENCE, json={"model_name": "m", "inputs": []})
            assert (answer.status_code, answer.json()["code"]) == (503, "deployment_not_ready")
            assert (await client.get("/v2/models/m/versions/1/metadata")).status_code == 503

    @pytest.mark.parametrize("path", ["/v2/models/m/versions/1/ready", "/v2/models/m/ready", "/v2/models/m/ping"])
    async def test_probes_are_not_held(self, world: World, path: str) -> None:
        world.platform.deploy("m", "1", DeploymentStatus.STARTING, replicas=0)
        async with asyncio.timeout(5):
            answer = await world.client.get(path)
        assert answer.status_code == 503
        assert answer.headers["content-type"] == "application/json"

    @pytest.mark.parametrize(("probe", "said"), [("ready", b'{"name":"m","ready":true}'), ("ping", b"\n"), ("health", b"\n")])
    @pytest.mark.parametrize(
        ("status", "replicas"),
        [(DeploymentStatus.SCALED_TO_ZERO, 0), (DeploymentStatus.STARTING, 0), (DeploymentStatus.READY, 1)],
    )
    async def test_probe_of_a_version_scales_nothing_up(
        self, world: World, probe: str, said: bytes, status: DeploymentStatus, replicas: int
    ) -> None:
        world.platform.deploy("m", "1", status, replicas=replicas, ready_at=datetime.now(UTC))
        for path in (f"/v2/models/m/{probe}", f"/v2/models/m/versions/1/{probe}"):
            answer = await world.client.get(path)
            assert (answer.status_code, answer.content) == (200, said)
            assert answer.headers["x-raylift-model-version"] == "1"
        assert world.platform.store.deployments.get("m", "1").demanded_at is None
        assert world.replica.seen == []

    async def test_errors_have_the_form_of_the_protocol(self, world: World) -> None:
        answer = await world.client.get("/v2/models/nope")
        assert (answer.status_code, list(answer.json()), answer.headers["content-type"]) == (404, ["error"], "application/json")


class TestTheServerItself:
    async def test_server_metadata_and_health_answer(self, world: World) -> None:
        assert (await world.client.get("/v2")).json()["name"] == "raylift"
        for path in ("/v2/health/live", "/v2/health/ready"):
            assert (await world.client.get(path)).json() == {"live": True, "ready": True}

    async def test_repository_index_lists_versions_with_their_state(self, world: World) -> None:
        world.platform.deploy("a", "1")
        world.platform.deploy("a", "2", DeploymentStatus.UNHEALTHY, replicas=0, message="why")
        world.platform.deploy("b", "1", DeploymentStatus.STARTING, replicas=0)
        world.platform.deploy("c", "1", DeploymentStatus.STARTING, replicas=0, ready_at=datetime.now(UTC))
        listed = [{"name": "a", "versions": ["1"]}, {"name": "c", "versions": ["1"]}]
        assert (await world.client.get("/v2/models")).json() == {"models": listed}
        index = (await world.client.post("/v2/repository/index")).json()
        assert [(item["name"], item["version"], item["state"], item["reason"]) for item in index] == [
            ("a", "1", "READY", ""), ("a", "2", "UNAVAILABLE", "why"), ("b", "1", "LOADING", ""), ("c", "1", "READY", ""),
        ]  # fmt: skip
        only = await world.client.post("/v2/repository/index", json={"ready": True})
        assert [(item["name"], item["version"]) for item in only.json()] == [("a", "1"), ("c", "1")]
        assert (await world.client.post("/v2/repository/index", content=b"{")).status_code == 400


async def test_chunked_body_over_the_limit_is_413(world: World) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(200):
            yield b" " * 1024 * 1024

    try:
        answer = await world.client.post(INFERENCE, content=endless())
    except httpx.HTTPError:
        return  # The answer came while the body was still being sent. The connection is closed then.
    assert answer.status_code == 413


async def test_body_with_a_length_over_the_limit_is_413_unread(world: World) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", int(world.url.rsplit(":", 1)[1]))
    writer.write(b"POST /mlops/inference HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999999\r\n\r\n")
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
    assert b" 413 " in head.splitlines()[0]
    assert json.loads(await asyncio.wait_for(reader.readuntil(b"}"), 10))["code"] == "too_large"
    writer.close()
    await writer.wait_closed()
