from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.cli.test_model_commands import DEPLOYMENT

UPLOAD = "/mlops/training/upload"
SWEEPS = "/mlops/training/sweeps"
SWEEP = f"{SWEEPS}/sweep_1"
ACCEPTED = {
    "sweep_id": "sweep_1",
    "status": "queued",
    "created_at": "2026-01-02T03:04:05Z",
    "message": "queued",
    "jobs": [{"job_id": "job_1", "parameters": {"lr": "0.01"}}, {"job_id": "job_2", "parameters": {"lr": "0.1"}}],
    "links": {},
}
Run = Callable[..., Result]


def row(job_id: str, lr: str, acc: float | None, **fields: Any) -> dict[str, Any]:
    return {
        "job_id": job_id,
        "parameters": {"lr": lr},
        "status": "completed",
        "reason": None,
        "message": None,
        "metrics": {} if acc is None else {"acc": acc},
        "mlflow_run_id": None,
        "model_version": None,
        "duration_seconds": 1.0,
        **fields,
    }


def sweep_json(status: str, *jobs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "sweep_id": "sweep_1",
        "status": status,
        "message": "2 jobs: 2 completed.",
        "experiment_name": "exp",
        "model_name": "churn",
        "script_name": "train.py",
        "parameters": {"lr": ["0.01", "0.1"]},
        "metric": "acc",
        "mode": "max",
        "created_at": "2026-01-02T03:04:05Z",
        "finished_at": None,
        "counts": {"completed": len(jobs), "queued": 0},
        "links": {},
        "as": "environment",
        "register": "best",
        "max_parallel": None,
        "tags": {},
        "mlflow_experiment_id": None,
        "mlflow_run_id": None,
        "best": None,
        "jobs": list(jobs),
        **changes,
    }


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "train.py"
    path.write_text("print(1)")
    return str(path)


def test_parameter_values_are_sent_as_typed(run: Run, platform: Any, script: str) -> None:
    platform.on("POST", UPLOAD, ACCEPTED, status=202)
    options = ["--sweep", "lr=0.010,1e-1", "--sweep", "eq=a=b", "--sweep-as", "arguments", "--metric", "acc", "--mode", "min"]
    result = run("train", script, "-m", "churn", *options, "--register-best", "--max-parallel", "2")
    assert (result.exit_code, result.stdout) == (0, "sweep_1\n")
    assert "2 jobs are queued" in result.stderr
    assert platform.sent("POST", UPLOAD)[0]["sweep"] == {
        "parameters": {"lr": ["0.010", "1e-1"], "eq": ["a=b"]},
        "as": "arguments",
        "metric": "acc",
        "mode": "min",
        "register": "best",
        "max_parallel": 2,
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--sweep", "lr"], "not of the form"),
        (["--sweep", "lr=1,,2"], "not of the form"),
        (["--sweep", "lr=1", "--sweep", "lr=2"], "given twice"),
        (["--metric", "acc"], "are of a sweep"),
        (["--register-best"], "are of a sweep"),
    ],
)
def test_wrong_usage_of_sweeps_is_explained(run: Run, script: str, options: list[str], says: str) -> None:
    result = run("train", script, *options)
    assert result.exit_code == 2
    assert says in result.stderr


def test_follow_prints_the_table_with_the_best_first(run: Run, platform: Any, script: str, job: Any) -> None:
    platform.on("POST", UPLOAD, ACCEPTED, status=202)
    best = row("job_2", "0.1", 0.9, model_version="4")
    platform.on("GET", SWEEP, sweep_json("completed", row("job_1", "0.01", 0.5), best, best=best))
    platform.on("GET", "/mlops/training/jobs/job_2", job("completed", job_id="job_2", model_version="4", deploy=False))
    result = run("train", script, "--sweep", "lr=0.01,0.1", "--follow")
    assert result.exit_code == 0
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines == [
        ["LR", "STATUS", "ACC", "VERSION", "JOB"],
        ["0.1", "completed", "0.9", "4", "job_2"],
        ["0.01", "completed", "0.5", "-", "job_1"],
    ]
    assert "best: lr=0.1 with acc=0.9" in result.stderr


@pytest.mark.parametrize(("status", "code"), [("ready", 0), ("unhealthy", 1)])
def test_follow_waits_for_the_best_version_to_be_checked(
    run: Run, platform: Any, script: str, job: Any, status: str, code: int
) -> None:
    platform.on("POST", UPLOAD, ACCEPTED, status=202)
    best = row("job_2", "0.1", 0.9, model_version="4")
    platform.on("GET", SWEEP, sweep_json("completed", best, best=best))
    platform.on("GET", "/mlops/training/jobs/job_2", job("completed", job_id="job_2", model_version="4"))
    deployment = DEPLOYMENT | {"status": status, "message": "no xgboost"}
    platform.on("GET", "/mlops/models/churn/versions/4/deployment", DEPLOYMENT | {"status": "starting"}, deployment)
    result = run("train", script, "--sweep", "lr=0.01,0.1", "--follow")
    assert result.exit_code == code
    assert f"churn version 4 is {status}" in result.stderr
    assert ("no xgboost" in result.stderr) == bool(code)


def test_follow_ends_with_1_when_the_sweep_fails(run: Run, platform: Any, script: str) -> None:
    platform.on("POST", UPLOAD, ACCEPTED, status=202)
    platform.on("GET", SWEEP, sweep_json("failed", row("job_1", "0.01", None, status="failed", reason="script_error")))
    result = run("train", script, "--sweep", "lr=0.01", "--follow")
    assert result.exit_code == 1
    assert "failed (script_error)" in result.stdout


def test_sweeps_are_shown_listed_cancelled_and_deleted(run: Run, platform: Any) -> None:
    answer = sweep_json("running", row("job_1", "0.01", 0.5))
    platform.on("GET", SWEEP, answer)
    platform.on("GET", SWEEPS, {"sweeps": [answer], "next_cursor": "more"})
    platform.on("POST", f"{SWEEP}/cancel", answer, status=202)
    platform.on("DELETE", SWEEP, None, status=204)
    shown = run("sweeps", "show", "sweep_1")
    assert "acc (max)" in shown.stdout
    assert "job_1" in shown.stdout
    assert json.loads(run("sweeps", "show", "sweep_1", "-o", "json").stdout) == answer
    listed = run("sweeps", "list")
    assert listed.stdout.splitlines()[1].split()[:4] == ["sweep_1", "running", "1", "lr"]
    assert "--cursor more" in listed.stderr
    assert "told to stop" in run("sweeps", "cancel", "sweep_1").stderr
    assert run("sweeps", "delete", "sweep_1").exit_code == 0
    assert run("sweeps", "show", "sweep_none").exit_code == 3
