"""The log of a job over a WebSocket, as Ray's clients read it."""

from __future__ import annotations

import aiohttp
import pytest

from raylift.domain.job import Job
from tests.integration.gateway.conftest import World


async def started(world: World, output: bytes) -> Job:
    answer = await world.client.post("/api/jobs/", json={"entrypoint": "true", "submission_id": "mine"})
    assert answer.status_code == 200, answer.text
    job = world.platform.services.ray_jobs.find("mine")
    world.platform.start(job.job_id, output)
    return job


async def test_log_is_followed_to_its_end(world: World) -> None:
    job = await started(world, b"one\n")
    async with aiohttp.ClientSession(world.url) as session, session.ws_connect("/api/jobs/mine/logs/tail") as socket:
        assert await socket.receive_str(timeout=90) == "one\n"
        world.platform.print(job.job_id, b"two\n")
        assert await socket.receive_str(timeout=90) == "two\n"
        world.platform.finish(job.job_id)
        end = await socket.receive(timeout=90)
        assert (end.type, socket.close_code) == (aiohttp.WSMsgType.CLOSE, aiohttp.WSCloseCode.OK)


async def test_unknown_job_has_no_log(world: World) -> None:
    async with aiohttp.ClientSession(world.url) as session:
        with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
            await session.ws_connect("/api/jobs/nobody/logs/tail")
    assert refused.value.status == 404


async def test_page_of_another_site_reads_no_log(world: World) -> None:
    await started(world, b"secret\n")
    async with aiohttp.ClientSession(world.url) as session:
        for headers in ({"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await session.ws_connect("/api/jobs/mine/logs/tail", headers=headers)
            assert refused.value.status == 403
        async with session.ws_connect("/api/jobs/mine/logs/tail", headers={"Origin": world.url}) as socket:
            assert await socket.receive_str(timeout=90) == "secret\n"
