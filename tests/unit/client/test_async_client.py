"""``AsyncClient``: the client's own methods as coroutines."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from raylift import AsyncClient, Client, InvalidRequest, Job, Sweep
from raylift.client.asynchronous import _twin_of  # pyright: ignore[reportPrivateUsage]

JOBS = "/mlops/training/jobs"
INFERENCE = "/mlops/inference"
ANSWER = {"model_name": "churn", "model_version": "3", "predictions": [0, 1], "inference_time_ms": 0.8}


@pytest.fixture
async def asynchronous(platform: Any, clock: Any) -> AsyncIterator[Any]:
    async with AsyncClient("http://platform.test", transport=httpx.MockTransport(platform), clock=clock) as client:
        yield client


@pytest.mark.parametrize("kind", [Client, Job, Sweep])
def test_twin_has_every_public_name(kind: type) -> None:
    twin = AsyncClient if kind is Client else _twin_of(kind)
    public = {name for name in vars(kind) if not name.startswith("_")}
    assert public <= set(dir(twin))
    assert all(
        inspect.iscoroutinefunction(getattr(twin, name)) or "Iterator" in str(inspect.signature(value).return_annotation)
        for name, value in vars(kind).items()
        if inspect.isfunction(value) and not name.startswith("_")
    )
    assert inspect.signature(getattr(twin, "wait" if kind is not Client else "train")) == inspect.signature(
        getattr(kind, "wait" if kind is not Client else "train")
    )


async def test_predictions_run_together(asynchronous: Any, platform: Any) -> None:
    platform.on("POST", INFERENCE, httpx.Response(200, json=ANSWER))
    answers = await asyncio.gather(*(asynchronous.predict("churn", [[1.0]]) for _ in range(20)))
    assert [answer.predictions for answer in answers] == [[0, 1]] * 20


async def test_job_of_an_upload_is_followed_to_its_end(asynchronous: Any, platform: Any, make_job: Any) -> None:
    accepted = {"job_id": "job_1", "status": "queued", "created_at": "2026-01-02T03:04:05Z", "message": "", "links": {}}
    platform.on("POST", "/mlops/training/upload", httpx.Response(202, json=accepted))
    states = [httpx.Response(200, json=make_job(status)) for status in ("queued", "running", "completed")]
    platform.on("GET", f"{JOBS}/job_1", *states)
    platform.on(
        "GET", f"{JOBS}/job_1/logs", httpx.Response(200, text="data: one\ndata: two\n\nevent: end\ndata: completed\n\n")
    )
    job = await asynchronous.train(script_content="print(1)")
    assert (type(job).__name__, job.job_id, job.status) == ("AsyncJob", "job_1", "queued")
    assert await job.wait(progress=False) is not None
    assert job.status == "completed"
    assert [line async for line in job.logs(follow=True)] == ["one", "two"]


async def test_lists_are_iterated_or_awaited(asynchronous: Any, platform: Any, make_job: Any) -> None:
    platform.on("GET", JOBS, httpx.Response(200, json={"jobs": [make_job("failed")] * 2, "next_cursor": None}))
    assert [job.status async for job in asynchronous.jobs.list()] == ["failed", "failed"]
    assert len(await asynchronous.jobs.list(limit=1)) == 1


async def test_property_never_waits_for_the_network(asynchronous: Any, platform: Any, make_job: Any) -> None:
    summary = {name: value for name, value in make_job("failed").items() if name != "metrics"}
    platform.on("GET", JOBS, httpx.Response(200, json={"jobs": [summary], "next_cursor": None}))
    platform.on("GET", f"{JOBS}/job_1", httpx.Response(200, json=make_job("failed", metrics={"auc": 0.5})))
    (job,) = await asynchronous.jobs.list()
    with pytest.raises(RuntimeError, match="await refresh"):
        _ = job.metrics
    assert (await job.refresh()).metrics == {"auc": 0.5}


async def test_errors_are_those_of_the_client(asynchronous: Any, platform: Any, make_problem: Any) -> None:
    platform.on("POST", INFERENCE, make_problem(422, "invalid_request", "no"))
    with pytest.raises(InvalidRequest):
        await asynchronous.predict("churn", [[1.0]])
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = asynchronous.nonsense
