"""Metric curves of a job. MLflow is a fake; tests/integration/engines/test_mlflow_server.py has the real one."""

from __future__ import annotations

from datetime import UTC, datetime

import httpx

from raylift.domain.models.run_history import MetricPoint, RunHistory
from tests.unit.gateway.conftest import Platform

AT = datetime(2026, 1, 2, tzinfo=UTC)


async def submitted(client: httpx.AsyncClient) -> str:
    answer = await client.post(
        "/mlops/training/upload", json={"script_content": "print(1)", "script_name": "t.py", "experiment_name": "e"}
    )
    return answer.json()["job_id"]


async def test_curves_of_the_run_are_shown_while_the_job_runs(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await submitted(client)
    curve = [MetricPoint(0, AT, 0.9), MetricPoint(1, AT, float("nan")), MetricPoint(2, AT, 0.5)]
    platform.registry.histories[job_id] = RunHistory("r1", {"lr": "0.1"}, {"loss": curve, "auc": curve[:1]}, ["z"])
    seen = (await client.get(f"/mlops/training/jobs/{job_id}/metrics")).json()
    assert (seen["mlflow_run_id"], seen["params"], seen["left_out"]) == ("r1", {"lr": "0.1"}, ["z"])
    assert [(one["name"], [point["value"] for point in one["points"]]) for one in seen["metrics"]] == [
        ("loss", [0.9, None, 0.5]),
        ("auc", [0.9]),
    ]
    asked = {"metric": ["loss"], "points": 2}
    (loss,) = (await client.get(f"/mlops/training/jobs/{job_id}/metrics", params=asked)).json()["metrics"]
    assert [point["step"] for point in loss["points"]] == [0, 1]


async def test_job_without_a_run_has_no_curves(client: httpx.AsyncClient) -> None:
    job_id = await submitted(client)
    seen = (await client.get(f"/mlops/training/jobs/{job_id}/metrics")).json()
    assert seen == {"job_id": job_id, "mlflow_run_id": None, "params": {}, "metrics": [], "left_out": []}


async def test_curves_of_an_unknown_job_are_not_found(client: httpx.AsyncClient) -> None:
    assert (await client.get("/mlops/training/jobs/job_01ARZ3NDEKTSV4RRFFQ69G5FAV/metrics")).status_code == 404
