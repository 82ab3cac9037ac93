"""Requests by a model's name go where its traffic table says. Copies for shadow versions disturb no request."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from starlette.requests import Request
from starlette.responses import Response

from raylift.domain.models.deployment import DeploymentStatus
from serve_apps.gateway.predictions import shadowing
from tests.integration.gateway.conftest import World, dies

TRAFFIC = "/mlops/models/m/traffic"
INFERENCE = "/mlops/inference"


@pytest.fixture(autouse=True)
def deployed(world: World) -> None:
    for version in ("3", "4", "5"):
        world.platform.registry.register("m", version)
        world.platform.deploy("m", version)


async def put(world: World, *routes: tuple[str, float], **more: Any) -> None:
    body = {"routes": [{"version": version, "weight": weight} for version, weight in routes], **more}
    answer = await world.client.put(TRAFFIC, json=body)
    assert answer.status_code == 200, answer.text


async def infer(world: World, headers: dict[str, str] | None = None, **body: Any) -> str:
    """Number of the version that answered."""
    sent = {"model_name": "m", "inputs": [[1.0]]} | body
    answer = await world.client.post(INFERENCE, json=sent, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.headers["x-raylift-model-version"]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110 - what the replica has seen has no event
            await asyncio.sleep(0.01)


def seen_by(world: World, version: str) -> list[dict[str, str]]:
    """Headers of the predictions that reached a version."""
    return [headers for _, path, headers, _ in world.replica.seen if path.startswith(f"/v2/models/m/versions/{version}/")]


async def copies(world: World) -> dict[tuple[str, str], float]:
    """Number of copies by shadow version and outcome."""
    text = (await world.client.get("/metrics")).text
    found: dict[tuple[str, str], float] = {}
    for line in text.splitlines():
        if line.startswith("raylift_shadow_requests_total{"):
            labels, value = line.removeprefix("raylift_shadow_requests_total{").split("} ")
            named = dict(pair.split("=") for pair in labels.replace('"', "").split(","))
            found[named["version"], named["outcome"]] = float(value)
    return found


class TestTheSplit:
    async def test_requests_are_split_by_weight(self, world: World) -> None:
        await put(world, ("3", 50), ("4", 50), ("5", 0))
        assert {await infer(world) for _ in range(60)} == {"3", "4"}

    async def test_changed_table_applies_to_the_next_request(self, world: World) -> None:
        for version in ("3", "4", "5", "3"):
            await put(world, (version, 1))
            assert await infer(world) == version
        await world.client.delete(TRAFFIC)
        assert await infer(world) == "5"

    async def test_split_applies_to_all_by_name_routes(self, world: World) -> None:
        await put(world, ("3", 1))
        for path in ("/v2/models/m/infer", "/v2/models/m/invocations", "/v2/models/m/predict"):
            answer = await world.client.post(path, json={})
            assert answer.headers["x-raylift-model-version"] == "3"
        assert (await world.client.get("/v2/models/m/ready")).headers["x-raylift-model-version"] == "3"

    async def test_metadata_requests_go_to_one_version(self, world: World) -> None:
        world.platform.registry.register("m", "6")
        world.platform.deploy("m", "6", DeploymentStatus.STARTING, replicas=0)
        await put(world, ("3", 1), ("6", 1))
        assert {(await world.client.get("/v2/models/m/ready")).status_code for _ in range(30)} == {200}
        assert {(await world.client.get("/v1/models/m")).json()["ready"] for _ in range(30)} == {True}

    async def test_named_version_or_alias_bypasses_the_table(self, world: World) -> None:
        await put(world, ("3", 1))
        world.platform.registry.aliases["m", "next"] = "5"
        assert await infer(world, model_version="4") == "4"
        assert await infer(world, alias="next") == "5"
        answer = await world.client.post("/v2/models/m/versions/4/infer", json={})
        assert answer.headers["x-raylift-model-version"] == "4"

    async def test_alias_moved_by_the_platform_applies_to_the_next_request(self, world: World) -> None:
        world.platform.registry.aliases["m", "champion"] = "3"
        await put(world, ("champion", 1))
        for version in ("4", "5", "3"):
            answer = await world.client.put("/mlops/models/m/aliases/champion", json={"version": version})
            assert answer.status_code == 200
            assert await infer(world) == version
            assert await infer(world, alias="champion") == version

    async def test_alias_moved_in_mlflow_is_followed(self, world: World) -> None:
        world.platform.registry.aliases["m", "champion"] = "3"
        await put(world, ("champion", 1))
        assert await infer(world) == "3"
        world.platform.registry.aliases["m", "champion"] = "4"
        async with asyncio.timeout(30):
            while await infer(world) != "4":  # noqa: ASYNC110
                await asyncio.sleep(0.05)

    async def test_alias_deleted_in_mlflow_loses_its_share(self, world: World) -> None:
        world.platform.registry.aliases["m", "champion"] = "3"
        await put(world, ("champion", 1))
        del world.platform.registry.aliases["m", "champion"]
        answer = await world.client.post(INFERENCE, json={"model_name": "m", "inputs": [[1.0]]})
        assert (answer.status_code, answer.json()["versions"]) == (404, ["5", "4", "3"])
        assert "rollback" in answer.json()["detail"]

    async def test_aliases_keep_their_version_while_mlflow_is_down(self, world: World) -> None:
        world.platform.registry.aliases["m", "champion"] = "3"
        await put(world, ("champion", 1))
        world.platform.registry.down = True
        assert await infer(world) == "3"

    async def test_share_of_an_unavailable_version_goes_to_the_others(self, world: World) -> None:
        await put(world, ("3", 1), ("4", 1))
        world.platform.store.deployments.want("m", "3", now=world.platform.lease.expires_at, wanted=False)
        world.platform.services.routing.forget("m")
        assert {await infer(world) for _ in range(20)} == {"4"}

    async def test_request_waits_for_a_starting_version(self, world: World) -> None:
        world.platform.deploy("m", "6", DeploymentStatus.STARTING, replicas=0)
        await put(world, ("6", 1))
        waiting = asyncio.create_task(infer(world))
        row = world.platform.store.deployments.get("m", "6")
        lease = world.platform.lease
        world.platform.store.deployments.observe(
            lease, row, now=lease.expires_at, status=DeploymentStatus.READY, replicas=1, applied_generation=row.generation
        )
        assert await waiting == "6"

    async def test_broken_request_is_retried_at_the_same_version(self, world: World) -> None:
        await put(world, ("3", 1), ("4", 1))
        world.replica.behaviours.append(dies())
        version = await infer(world)
        assert world.replica.paths == [f"/v2/models/m/versions/{version}/predict"] * 2


class TestStickiness:
    async def test_requests_are_sticky_by_a_header(self, world: World) -> None:
        await put(world, ("3", 1), ("4", 1), sticky={"header": "X-User"})
        for user in range(12):
            assert len({await infer(world, {"x-user": f"u{user}"}) for _ in range(4)}) == 1
        assert len({await infer(world, {"x-user": f"u{user}"}) for user in range(30)}) == 2
        assert len({await infer(world) for _ in range(30)}) == 2

    @pytest.mark.parametrize(
        ("field", "body"),
        [
            ("params.user", lambda user: {"params": {"user": user}}),
            ("inputs.user", lambda user: {"inputs": {"user": [user, "other"]}}),
            ("inputs.user", lambda user: {"inputs": [{"user": user}]}),
        ],
    )
    async def test_requests_are_sticky_by_a_field(
        self, world: World, field: str, body: Callable[[str], dict[str, Any]]
    ) -> None:
        await put(world, ("3", 1), ("4", 1), sticky={"field": field})
        homes = {user: {await infer(world, **body(user)) for _ in range(4)} for user in map(str, range(12))}
        assert all(len(versions) == 1 for versions in homes.values())
        assert len(set.union(*homes.values())) == 2

    async def test_key_gets_the_same_version_on_every_route(self, world: World) -> None:
        await put(world, ("3", 1), ("4", 1), sticky={"field": "parameters.user"})
        for user in range(8):
            body = {"parameters": {"user": user}, "inputs": []}
            routes = ("infer", "invocations", "predict")
            answers = [await world.client.post(f"/v2/models/m/{route}", json=body) for route in routes]
            assert len({answer.headers["x-raylift-model-version"] for answer in answers}) == 1

    async def test_body_that_is_not_json_is_forwarded(self, world: World) -> None:
        await put(world, ("3", 1), ("4", 1), sticky={"field": "user"})
        answer = await world.client.post(
            "/v2/models/m/invocations", content=b"a,b\n1,2\n", headers={"content-type": "text/csv"}
        )
        assert answer.content == b"a,b\n1,2\n"


class TestShadows:
    async def test_shadow_version_gets_a_marked_copy(self, world: World) -> None:
        await put(world, ("3", 1), shadow=["4", "5"])
        assert await infer(world, {"x-raylift-shadow": "1"}, inputs=[[7.0]]) == "3"
        await until(lambda: len(world.replica.seen) == 3)
        assert ["x-raylift-shadow" in headers for headers in seen_by(world, "3")] == [False]
        for version in ("4", "5"):
            assert [headers["x-raylift-shadow"] for headers in seen_by(world, version)] == ["1"]
        assert len({body for _, _, _, body in world.replica.seen}) == 1

    async def test_only_shadow_versions_get_copies(self, world: World) -> None:
        await put(world, ("3", 1), shadow=["4"])
        await infer(world, model_version="5")
        await world.client.get("/v2/models/m/ready")
        await infer(world)
        await until(lambda: bool(seen_by(world, "4")))
        assert len(seen_by(world, "4")) == 1

    async def test_shadow_alias_of_the_answering_version_gets_no_copy(self, world: World) -> None:
        world.platform.registry.aliases["m", "champion"] = "3"
        await put(world, ("3", 1), shadow=["champion", "4"])
        await infer(world)
        await until(lambda: bool(seen_by(world, "4")))
        assert len(seen_by(world, "3")) == 1

    async def test_hanging_shadow_slows_nothing_and_excess_copies_are_dropped(
        self, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(shadowing, "MAX_WAITING", 3)
        release = asyncio.Event()
        in_it = await self._hang(world, "4", release)
        await put(world, ("3", 1), shadow=["4"])
        sent = shadowing.MAX_CONCURRENT + 3 + 5
        for _ in range(sent):
            assert await infer(world) == "3"
        assert in_it() <= shadowing.MAX_CONCURRENT
        assert (await copies(world))["4", "dropped"] == 5
        release.set()
        await until(lambda: len(seen_by(world, "4")) == sent - 5)

    async def test_memory_of_copies_is_bounded(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shadowing, "MAX_WAITING_BYTES", 1000)
        await put(world, ("3", 1), shadow=["4"])
        await infer(world, inputs=[[1.0] * 1000])
        assert (await copies(world)) == {("4", "dropped"): 1}
        assert seen_by(world, "4") == []

    async def test_copy_that_takes_too_long_is_abandoned(self, world: World, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(shadowing, "TIMEOUT_SECONDS", 0.2)
        release = asyncio.Event()
        await self._hang(world, "4", release)
        await put(world, ("3", 1), shadow=["4"])
        assert await infer(world) == "3"
        async with asyncio.timeout(30):
            while await copies(world) != {("4", "timed_out"): 1}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        release.set()

    async def test_broken_copy_is_not_retried(self, world: World) -> None:
        await self._behave(world, "4", dies())
        await put(world, ("3", 1), shadow=["4"])
        assert await infer(world) == "3"
        async with asyncio.timeout(30):
            while await copies(world) != {("4", "failed"): 1}:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert len(seen_by(world, "4")) == 1

    async def _hang(self, world: World, version: str, release: asyncio.Event) -> Callable[[], int]:
        inside = 0

        async def hang(_: Request, body: bytes) -> Response:
            nonlocal inside
            inside += 1
            await release.wait()
            inside -= 1
            return Response(body, media_type="application/json")

        await self._behave(world, version, hang)
        return lambda: inside

    async def _behave(self, world: World, version: str, odd: Callable[[Request, bytes], Awaitable[Response]]) -> None:
        """Return errors or breaks for requests to one version, and echo all others."""

        async def behaviour(request: Request, body: bytes) -> Response:
            if f"/versions/{version}/" in request.url.path:
                return await odd(request, body)
            return Response(body, media_type="application/json")

        world.replica.behaviours.extend([behaviour] * 100)
