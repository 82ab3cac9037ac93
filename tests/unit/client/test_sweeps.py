from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from raylift import Client, Sweep, SweepFailed, SweepWaitTimeout

UPLOAD = "/mlops/training/upload"
SWEEP = "/mlops/training/sweeps/sweep_1"
ACCEPTED = {
    "sweep_id": "sweep_1",
    "status": "queued",
    "created_at": "2026-01-02T03:04:05Z",
    "message": "queued",
    "jobs": [{"job_id": "job_1", "parameters": {"lr": "0.1"}}],
    "links": {},
}


def row(job_id: str, lr: str, **fields: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "parameters": {"lr": lr},
        "status": "completed",
        "reason": None,
        "message": None,
        "metrics": {},
        "mlflow_run_id": None,
        "model_version": None,
        "duration_seconds": None,
        **fields,
    }


def sweep_json(status: str = "running", jobs: list[dict[str, Any]] | None = None, **changes: Any) -> dict[str, Any]:
    return {
        "sweep_id": "sweep_1",
        "status": status,
        "message": None,
        "experiment_name": "exp",
        "model_name": "m",
        "script_name": "train.py",
        "parameters": {"lr": ["0.1"]},
        "metric": "acc",
        "mode": "max",
        "created_at": "2026-01-02T03:04:05Z",
        "finished_at": None,
        "counts": {},
        "links": {},
        "as": "environment",
        "register": "best",
        "max_parallel": None,
        "tags": {},
        "mlflow_experiment_id": None,
        "mlflow_run_id": None,
        "best": None,
        "jobs": jobs or [],
        **changes,
    }


def answer(status: str = "running", **changes: Any) -> httpx.Response:
    return httpx.Response(200, json=sweep_json(status, **changes))


def test_train_with_a_sweep_makes_a_sweep(client: Client, platform: Any) -> None:
    platform.on("POST", UPLOAD, httpx.Response(202, json=ACCEPTED))
    sweep = client.train(
        script_content="1", sweep={"lr": (0.1, 1)}, metric="acc", mode="min", register_best=True, max_parallel=2
    )
    assert isinstance(sweep, Sweep)
    assert sweep.sweep_id == "sweep_1"
    assert sweep.acknowledgement == ACCEPTED
    asked = json.loads(platform.requests[0].content)["sweep"]
    assert asked == {
        "parameters": {"lr": [0.1, 1]},
        "as": "environment",
        "metric": "acc",
        "mode": "min",
        "register": "best",
        "max_parallel": 2,
    }


def test_train_without_a_sweep_sends_no_sweep_fields(client: Client, platform: Any, accepted: dict[str, Any]) -> None:
    platform.on("POST", UPLOAD, httpx.Response(202, json=accepted))
    assert client.train(script_content="1").job_id == "job_1"
    assert "sweep" not in json.loads(platform.requests[0].content)
    with pytest.raises(ValueError, match="give sweep, too"):
        client.train(script_content="1", metric="acc")  # pyright: ignore[reportCallIssue]


def test_wait_ends_with_the_sweep_and_survives_a_restart(client: Client, platform: Any, clock: Any) -> None:
    platform.on("GET", SWEEP, answer(), httpx.ConnectError("restarting"), answer(), answer("completed"))
    seen: list[str | None] = []
    sweep = client.sweeps.get("sweep_1").wait(report=lambda view, _: seen.append(view and view.status))
    assert (sweep.status, seen) == ("completed", ["running", "completed"])


@pytest.mark.parametrize("status", ["failed", "cancelled"])
def test_unsuccessful_sweep_raises_unless_disabled(client: Client, platform: Any, status: str) -> None:
    platform.on("GET", SWEEP, answer(status, message="why"))
    sweep = client.sweeps.get("sweep_1")
    with pytest.raises(SweepFailed, match=f"sweep_1 {status}: why"):
        sweep.wait()
    assert sweep.wait(raise_on_failure=False).message == "why"


def test_wait_ends_at_its_timeout(client: Client, platform: Any, clock: Any) -> None:
    platform.on("GET", SWEEP, answer())
    with pytest.raises(SweepWaitTimeout, match="still running after 3 s"):
        client.sweeps.get("sweep_1").wait(3)


@pytest.mark.parametrize(("mode", "order"), [("max", ["b", "a", "c", "e", "d"]), ("min", ["a", "b", "c", "e", "d"])])
def test_table_is_sorted_by_the_metric(client: Client, platform: Any, mode: str, order: list[str]) -> None:
    jobs = [
        row("c", "3"),
        row("a", "1", metrics={"acc": 0.1}, model_version="7"),
        row("e", "5", metrics={"acc": 1.0 if mode == "max" else 0.0}, status="failed"),
        row("d", "4", metrics={"acc": None}),
        row("b", "2", metrics={"acc": 0.9}),
    ]
    platform.on("GET", SWEEP, answer("completed", jobs=jobs, best=jobs[1], mode=mode))
    sweep = client.sweeps.get("sweep_1")
    table = sweep.table()
    assert [cells["job_id"] for cells in table] == order
    assert {"job_id": "a", "status": "completed", "lr": "1", "acc": 0.1, "model_version": "7"} in table
    best = sweep.best()
    assert best is not None
    assert best.job_id == "a"
    assert [job.job_id for job in sweep.jobs()] == ["c", "a", "e", "d", "b"]


def test_sweeps_are_cancelled_deleted_and_listed(client: Client, platform: Any) -> None:
    platform.on("GET", SWEEP, answer("cancelled"))
    platform.on("POST", f"{SWEEP}/cancel", httpx.Response(202, json=sweep_json()))
    platform.on("DELETE", SWEEP, httpx.Response(204))
    sweep = client.sweeps.get("sweep_1").cancel()
    assert sweep.status == "cancelled"
    sweep.delete()
    first = {"sweeps": [sweep_json("completed")], "next_cursor": "more"}
    last = {"sweeps": [sweep_json("failed")], "next_cursor": None}
    platform.on("GET", "/mlops/training/sweeps", httpx.Response(200, json=first), httpx.Response(200, json=last))
    assert [found.status for found in client.sweeps.list()] == ["completed", "failed"]
