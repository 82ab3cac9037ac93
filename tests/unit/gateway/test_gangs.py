"""Jobs with workers over REST: stored as asked, refused with a sentence, shown where they are."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.domain.job import Isolation, Resources, Workers, WorkerStrategy
from raylift.domain.nodes.gangs import Place
from raylift.store import JobFilter
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.engine_fakes import FakeNode

UPLOAD = "/mlops/training/upload"
GIB = 2**30
WORKERS: dict[str, Any] = {"count": 2, "cpus": 0.5, "memory": "1GiB"}


async def upload(client: httpx.AsyncClient, workers: dict[str, Any], *, dry: bool = False, **fields: Any) -> httpx.Response:
    body = {"script_content": "import ray\n", "experiment_name": "churn", **fields}
    body["resources"] = {"cpus": 1, "memory": "1GiB", "workers": workers}
    return await client.post(UPLOAD, json=body, params={"dry_run": "true"} if dry else {})


async def test_workers_are_stored_and_the_job_may_use_ray(client: httpx.AsyncClient, platform: Platform) -> None:
    answer = await upload(client, {**WORKERS, "strategy": "spread"})
    assert answer.status_code == 202, answer.text
    spec = platform.store.jobs.get(answer.json()["job_id"]).spec
    assert spec.resources == Resources(1.0, GIB, 0.0, Workers(2, 0.5, GIB, 0.0, WorkerStrategy.SPREAD))
    assert spec.isolation is Isolation.CLUSTER
    seen = (await client.get(answer.headers["Location"])).json()["resources"]["workers"]
    assert seen == {"count": 2, "cpus": 0.5, "memory": GIB, "gpus": 0.0, "strategy": "spread"}


async def test_sweep_and_rerun_carry_the_workers(client: httpx.AsyncClient, platform: Platform) -> None:
    answer = await upload(client, WORKERS, sweep={"parameters": {"lr": [0.1, 0.2]}})
    assert answer.status_code == 202, answer.text
    first, *_ = platform.store.jobs.list(JobFilter(), limit=5).jobs
    assert first.spec.resources.workers == Workers(2, 0.5, GIB)
    changed = {"resources": {"workers": {"count": 1, "cpus": 1, "memory": "1GiB"}}}
    for body, workers in (({}, Workers(2, 0.5, GIB)), (changed, Workers(1, 1.0, GIB))):
        again = await client.post(f"/mlops/training/jobs/{first.job_id}/rerun", json=body)
        assert again.status_code == 202, again.text
        assert platform.store.jobs.get(again.json()["job_id"]).spec.resources.workers == workers


@pytest.mark.parametrize(
    ("workers", "fields", "field", "detail"),
    [
        ({"count": 100, "cpus": 4}, {}, "resources.workers", "could never hold the script (1 CPU and 1 GiB) and 100 workers"),
        (WORKERS, {"isolation": "sandbox"}, "isolation", "say isolation: cluster"),
        ({"count": 1, "memory": "1KiB"}, {}, "resources.workers.memory", "at least"),
        ({"count": 0}, {}, "resources.workers.count", "greater than or equal to 1"),
    ],
)
async def test_wrong_workers_are_refused(
    client: httpx.AsyncClient, workers: dict[str, Any], fields: dict[str, Any], field: str, detail: str
) -> None:
    answer = await upload(client, workers, **fields)
    assert answer.status_code == 422
    assert [(error["field"], detail in error["detail"]) for error in answer.json()["errors"]] == [(field, True)]


async def test_waiting_gang_says_what_it_needs_at_the_same_time(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.cluster.members = [FakeNode(cpus=4.0)]
    first = (await upload(client, {"count": 2, "cpus": 1, "memory": "1GiB"})).json()["job_id"]
    platform.start(first)
    platform.services.holdings._read_at = float("-inf")
    waits = (await upload(client, {"count": 2, "cpus": 1, "memory": "1GiB"}, dry=True)).json()["waits_for"]
    assert waits.startswith("It waits for 1 CPU and 1 GiB and, at the same time, 2 workers of 1 CPU and 1 GiB each")


async def test_nodes_show_what_the_workers_hold(client: httpx.AsyncClient, platform: Platform) -> None:
    a, b = FakeNode(node_id="a" * 56, name="a", cpus=4.0), FakeNode(node_id="b" * 56, name="b", cpus=4.0)
    platform.cluster.members = [a, b]
    job_id = (await upload(client, {"count": 2, "cpus": 1, "memory": "1GiB"})).json()["job_id"]
    platform.start(job_id)
    submission = platform.store.jobs.get(job_id).submission_id
    assert submission is not None
    platform.cluster.placed = {submission: Place(a.node_id, (a.node_id, b.node_id))}
    platform.services.holdings._read_at = float("-inf")
    nodes = (await client.get("/mlops/cluster")).json()["nodes"]
    assert {node["name"]: node["held"]["cpus"] for node in nodes} == {"a": 2.0, "b": 1.0}
