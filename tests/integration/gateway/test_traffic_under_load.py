"""Traffic changes while clients send requests without a pause: none fails, and each change takes effect."""

from __future__ import annotations

import asyncio
import itertools

import httpx

from tests.integration.gateway.conftest import World

CLIENTS = 4
FLIPS = 50
BODY = {"model_name": "m", "inputs": [[1.0]]}


async def ask(world: World) -> httpx.Response:
    return await world.client.post("/mlops/inference", json=BODY)


async def until_it_answers(world: World, version: str) -> None:
    async with asyncio.timeout(30):
        while (await ask(world)).headers["x-raylift-model-version"] != version:
            pass


async def test_tables_and_aliases_change_under_load(world: World) -> None:
    for version in ("1", "2", "3"):
        world.platform.registry.register("m", version)
        world.platform.deploy("m", version)
    statuses: list[int] = []
    wrong: list[str] = []
    stop = asyncio.Event()

    async def load() -> None:
        while not stop.is_set():
            answer = await ask(world)
            statuses.append(answer.status_code)
            if answer.json() != BODY:
                wrong.append(answer.text)

    async with asyncio.TaskGroup() as clients:
        for _ in range(CLIENTS):
            clients.create_task(load())
        for version in itertools.islice(itertools.cycle("12"), FLIPS):
            table = {"routes": [{"version": version, "weight": 1}], "shadow": ["3"]}
            assert (await world.client.put("/mlops/models/m/traffic", json=table)).status_code == 200
            await until_it_answers(world, version)
        world.platform.registry.aliases["m", "champion"] = "1"
        await world.client.put("/mlops/models/m/traffic", json={"routes": [{"alias": "champion", "weight": 1}]})
        for version in ("2", "1", "3"):
            world.platform.registry.aliases["m", "champion"] = version
            await until_it_answers(world, version)
        stop.set()
    assert set(statuses) == {200}
    assert len(statuses) > FLIPS
    assert wrong == []
    history = (await world.client.get("/mlops/models/m/traffic/history?limit=500")).json()["changes"]
    # The aliases' versions at the time of the last table have a row of their own.
    revisions = [change["revision"] for change in history if change["revision"] is not None]
    assert revisions == list(range(FLIPS + 1, 0, -1))
