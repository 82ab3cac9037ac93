from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from raylift.domain.job import JobState
from raylift.domain.sweep import SweepState
from tests.unit.gateway.conftest import Platform

UPLOAD = "/mlops/training/upload"
SWEEPS = "/mlops/training/sweeps"
JOBS = "/mlops/training/jobs"
GRID = {"parameters": {"lr": [0.01, 1e-05], "depth": [3, 5]}}


async def send(client: httpx.AsyncClient, sweep: Any, key: str | None = None, **more: Any) -> httpx.Response:
    body = {"script_content": "print(1)", "experiment_name": "e", "sweep": sweep} | more
    return await client.post(UPLOAD, json=body, headers={"Idempotency-Key": key} if key else {})


async def make(client: httpx.AsyncClient, sweep: Any = GRID, **more: Any) -> dict[str, Any]:
    answer = await send(client, sweep, **more)
    assert answer.status_code == 202, answer.text
    return answer.json()


async def show(client: httpx.AsyncClient, sweep_id: str) -> dict[str, Any]:
    answer = await client.get(f"{SWEEPS}/{sweep_id}")
    assert answer.status_code == 200, answer.text
    return answer.json()


def finish(platform: Platform, job_id: str, state: JobState = JobState.COMPLETED, **changes: Any) -> None:
    platform.start(job_id)
    platform.finish(job_id, state, **changes)


def close(platform: Platform, sweep_id: str, best_job_id: str | None = None) -> None:
    for state in (SweepState.CLOSING, SweepState.COMPLETED):
        sweep = platform.store.sweeps.get(sweep_id)
        platform.store.sweeps.move(platform.lease, sweep, state, now=datetime.now(UTC), best_job_id=best_job_id)


EACH = [
    {"lr": "0.01", "depth": "3"},
    {"lr": "0.01", "depth": "5"},
    {"lr": "1e-05", "depth": "3"},
    {"lr": "1e-05", "depth": "5"},
]


async def test_upload_with_a_sweep_makes_its_jobs(client: httpx.AsyncClient, platform: Platform) -> None:
    answer = await send(client, GRID, environment={"A": "1"})
    made = answer.json()
    assert answer.headers["location"] == made["links"]["self"] == f"{SWEEPS}/{made['sweep_id']}"
    assert made["status"] == "queued"
    assert [job["parameters"] for job in made["jobs"]] == EACH
    first = platform.store.jobs.get(made["jobs"][0]["job_id"])
    assert first.spec.environment == {"A": "1", "lr": "0.01", "depth": "3"}
    shown = (await client.get(f"{JOBS}/{first.job_id}")).json()
    assert (shown["sweep_id"], shown["sweep_parameters"]) == (made["sweep_id"], {"lr": "0.01", "depth": "3"})
    assert shown["links"]["sweep"] == f"{SWEEPS}/{made['sweep_id']}"
    listed = (await client.get(made["links"]["jobs"])).json()["jobs"]
    assert {job["job_id"] for job in listed} == {job["job_id"] for job in made["jobs"]}


async def test_form_takes_a_sweep(client: httpx.AsyncClient, platform: Platform) -> None:
    form = {
        "experiment_name": "e",
        "args": "-v",
        "sweep": '{"parameters": {"max-depth": [3], "fast": [true]}, "as": "arguments"}',
    }
    answer = await client.post(UPLOAD, data=form, files={"script": ("train.py", b"print(1)")})
    assert answer.status_code == 202, answer.text
    job = platform.store.jobs.get(answer.json()["jobs"][0]["job_id"])
    assert job.spec.args == ("-v", "--max-depth", "3", "--fast", "true")
    assert job.spec.environment == {}


@pytest.mark.parametrize(
    ("sweep", "field", "says"),
    [
        ({"parameters": {}}, "sweep.parameters", "at least one"),
        ({"parameters": {"a": []}}, "sweep.parameters.a", "no values"),
        ({"parameters": {"a": [1, "1"]}}, "sweep.parameters.a[1]", "same as value 0"),
        ({"parameters": {"a b": [1]}}, "sweep.parameters.a b", "not a variable's name"),
        ({"parameters": {"RAY_ADDRESS": [1]}}, "sweep.parameters.RAY_ADDRESS", "set by the platform"),
        ({"parameters": {"--a": [1]}, "as": "arguments"}, "sweep.parameters.--a", "not an option's name"),
        ({"parameters": {"TAKEN": [1]}}, "sweep.parameters.TAKEN", "in environment, too"),
        ({"parameters": {"a": ["x\0"]}}, "sweep.parameters.a[0]", "null byte"),
        ({"parameters": {"a": list(range(11)), "b": list(range(10))}}, "sweep.parameters", "make 110 jobs; at most 100"),
        ({"parameters": {"a": [1]}, "register": "best"}, "sweep.metric", "needed to register the best"),
        ({"parameters": {"a": [1]}, "register": "best", "metric": "x"}, "sweep.register", "model_name is null"),
        ({"parameters": {"a": [None]}}, "sweep.parameters.a[0]", ""),
        ({"parameters": {"a": [1]}, "as": "files"}, "sweep.as", "environment"),
        ({"parameters": {"a": [1]}, "max_parallel": 0}, "sweep.max_parallel", "1"),
        ({"parameters": {"a": [1]}, "random": 3}, "sweep.random", ""),
    ],
)
async def test_wrong_sweep_is_refused_and_nothing_is_stored(
    client: httpx.AsyncClient, platform: Platform, sweep: Any, field: str, says: str
) -> None:
    answer = await send(client, sweep, environment={"TAKEN": "1"})
    assert answer.status_code == 422
    errors = {error["field"]: error["detail"] for error in answer.json()["errors"]}
    assert any(name.startswith(field) and says in detail for name, detail in errors.items()), errors
    assert platform.store.sweeps.list(limit=1).sweeps == []


async def test_repeated_upload_gets_the_first_answer(client: httpx.AsyncClient) -> None:
    first, again = await send(client, GRID, key="k"), await send(client, GRID, key="k")
    assert again.json() == first.json()
    assert (first.headers.get("idempotency-replayed"), again.headers["idempotency-replayed"]) == (None, "true")
    assert (await send(client, {"parameters": {"lr": [1]}}, key="k")).status_code == 422
    assert (await send(client, None, key="k")).status_code == 422


async def test_job_that_waits_for_its_sweep_says_so(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client, {"parameters": {"lr": [1, 2, 3]}, "max_parallel": 1})
    assert [row["reason"] for row in (await show(client, made["sweep_id"]))["jobs"]] == ["waiting_for_sweep"] * 3
    sweep = platform.store.sweeps.get(made["sweep_id"])
    platform.store.sweeps.move(platform.lease, sweep, SweepState.RUNNING, now=datetime.now(UTC))
    reasons = ["waiting_for_capacity", "waiting_for_sweep", "waiting_for_sweep"]
    assert [row["reason"] for row in (await show(client, made["sweep_id"]))["jobs"]] == reasons
    listed = (await client.get(JOBS, params={"sweep_id": made["sweep_id"]})).json()["jobs"]
    assert [job["reason"] for job in reversed(listed)] == reasons
    last = (await client.get(f"{JOBS}/{made['jobs'][2]['job_id']}")).json()
    assert (last["reason"], "of which 1 run at a time" in last["message"]) == ("waiting_for_sweep", True)


async def test_table_shows_the_best_job_so_far(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client, {"parameters": {"lr": [1, 2, 3]}, "metric": "acc", "register": "best"}, model_name="m")
    a, b, c = (job["job_id"] for job in made["jobs"])
    fresh = await show(client, made["sweep_id"])
    assert (fresh["status"], fresh["best"], fresh["as"], fresh["register"]) == ("queued", None, "environment", "best")
    finish(platform, a, metrics={"acc": 0.5}, mlflow_run_id="r1")
    finish(platform, b, metrics={"acc": 0.9})
    platform.start(c)
    running = await show(client, made["sweep_id"])
    assert running["status"] == "running"
    assert running["best"]["job_id"] == b
    assert running["counts"] == {"queued": 0, "running": 1, "completed": 2, "failed": 0, "cancelled": 0}
    assert [row["status"] for row in running["jobs"]] == ["completed", "completed", "running"]
    assert (running["jobs"][0]["metrics"], running["jobs"][0]["mlflow_run_id"]) == ({"acc": 0.5}, "r1")
    platform.finish(c, JobState.FAILED)
    close(platform, made["sweep_id"], best_job_id=b)
    ended = await show(client, made["sweep_id"])
    assert (ended["status"], ended["best"]["parameters"]) == ("completed", {"lr": "2"})
    listed = (await client.get(SWEEPS)).json()
    assert [(item["sweep_id"], item["counts"]["failed"]) for item in listed["sweeps"]] == [(made["sweep_id"], 1)]


async def test_sweep_is_cancelled_and_deleted_as_one(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client, {"parameters": {"lr": [1, 2]}})
    a, b = (job["job_id"] for job in made["jobs"])
    finish(platform, a)
    path = f"{SWEEPS}/{made['sweep_id']}"
    assert (await client.delete(path)).json()["code"] == "sweep_not_finished"
    # It may be the best job.
    assert (await client.delete(f"{JOBS}/{a}")).json()["code"] == "job_not_finished"
    answer = await client.post(f"{path}/cancel")
    assert answer.status_code == 202
    assert [job.job_id for job in platform.store.jobs.cancelling()] == [b]
    platform.move(platform.store.jobs.get(b), JobState.CANCELLED)
    close(platform, made["sweep_id"])
    assert (await client.post(f"{path}/cancel")).status_code == 200
    assert (await client.delete(path)).status_code == 204
    for gone in (path, f"{JOBS}/{a}", f"{JOBS}/{b}"):
        assert (await client.get(gone)).status_code == 404


async def test_rerun_of_a_sweep_job_is_a_single_job(client: httpx.AsyncClient, platform: Platform) -> None:
    made = await make(client, {"parameters": {"lr": [1]}, "metric": "acc", "register": "best"}, model_name="m")
    again = (await client.post(f"{JOBS}/{made['jobs'][0]['job_id']}/rerun")).json()
    job = platform.store.jobs.get(again["job_id"])
    assert job.spec.sweep is None
    assert job.spec.environment == {"lr": "1"}


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/cancel"), ("DELETE", "")])
async def test_unknown_sweep_is_404(client: httpx.AsyncClient, method: str, path: str) -> None:
    answer = await client.request(method, f"{SWEEPS}/sweep_none{path}")
    assert (answer.status_code, answer.json()["code"]) == (404, "sweep_not_found")
