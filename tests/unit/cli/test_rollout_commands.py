"""``raylift rollout``, and the gate options of ``raylift train``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.job_resource import job_resource

PATH = "/mlops/rollouts"
ONE = f"{PATH}/churn"
FIGURES: dict[str, Any] = {
    "version": "3", "requests": 950, "failures": 2, "p95_seconds": 0.0025, "rows_with_feedback": 0, "wrong_rows": 0,
    "rmse": None,
}  # fmt: skip
STEP = {"kind": "weight", "weight": 5.0, "pause_seconds": 600.0, "min_requests": 100, "state": "active"}
ROLLOUT: dict[str, Any] = {
    "rollout_id": "rollout_1",
    "model_name": "churn",
    "workspace": "default",
    "champion": "3",
    "candidate": "4",
    "alias": "champion",
    "status": "running",
    "active": True,
    "step": 1,
    "steps": [STEP, STEP | {"weight": 100.0, "state": "pending"}],
    "step_started_at": "2026-03-01T00:00:00Z",
    "step_requests": 50,
    "message": "Step 1 of 2: 5 % of requests go to version 4.",
    "guards": {},
    "versions": [FIGURES, FIGURES | {"version": "4", "requests": 50, "p95_seconds": None}],
    "error_p_value": 1.0,
    "quality_p_value": 1.0,
    "history": [],
    "paused_at": None,
    "created_at": "2026-03-01T00:00:00Z",
    "created_by": "anna",
    "updated_at": "2026-03-01T00:00:00Z",
    "finished_at": None,
    "job_id": None,
    "links": {},
}
ENDED = ROLLOUT | {
    "status": "rolled_back", "active": False, "finished_at": "2026-03-01T00:01:00Z", "message": "Version 4 failed 40 of 50.",
}  # fmt: skip
Run = Callable[..., Result]


def test_start_sends_steps_and_guards(run: Run, platform: Any) -> None:
    platform.on("POST", PATH, ROLLOUT, status=201)
    result = run(
        "rollout", "start", "churn", "4", "--steps", "shadow:300,5:600:100,25%::50,approval,100", "--alias", "champion",
        "--guard", "p95_ratio=1.5", "--guard", "rmse_ratio=off",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "3 -> 4" in result.stdout
    assert platform.sent("POST", PATH)[0] == {
        "model_name": "churn",
        "version": "4",
        "steps": [
            {"shadow": True, "pause_seconds": 300},
            {"weight": 5, "pause_seconds": 600, "min_requests": 100},
            {"weight": 25, "min_requests": 50},
            {"approval": True},
            {"weight": 100},
        ],
        "guards": {"p95_ratio": 1.5, "rmse_ratio": None},
        "alias": "champion",
    }


@pytest.mark.parametrize("steps", ["half", "5:long", "5:1:2:3", "5:1:1.5", ""])
def test_wrong_steps_are_wrong_usage(run: Run, steps: str) -> None:
    assert run("rollout", "start", "churn", "4", "--steps", steps).exit_code == 2


def test_wrong_guard_is_wrong_usage(run: Run) -> None:
    assert run("rollout", "start", "churn", "4", "--guard", "p95_ratio=fast").exit_code == 2


def test_list_and_show(run: Run, platform: Any) -> None:
    platform.on("GET", PATH, {"rollouts": [ROLLOUT], "next_cursor": None}, status=200)
    platform.on("GET", ONE, ROLLOUT, status=200)
    assert "rollout_1" in run("rollout", "list", "--active", "--model", "churn").stdout
    shown = run("rollout", "show", "churn").stdout
    assert "5 %, 600 s, 100 requests" in shown
    assert "2.5 ms" in shown


def test_followed_rollout_that_goes_back_fails(run: Run, platform: Any) -> None:
    platform.on("GET", ONE, ENDED, status=200)
    result = run("rollout", "show", "churn", "--follow")
    assert result.exit_code == 1
    assert "Version 4 failed 40 of 50." in result.stdout


@pytest.mark.parametrize("action", ["approve", "reject", "pause", "resume", "abort", "promote"])
def test_hands(run: Run, platform: Any, action: str) -> None:
    platform.on("POST", f"{ONE}/{action}", ROLLOUT, status=200)
    assert run("rollout", action, "churn").exit_code == 0
    if action in ("abort", "reject"):
        assert run("rollout", action, "churn", "--reason", "too early").exit_code == 0
        assert platform.sent("POST", f"{ONE}/{action}")[-1] == {"reason": "too early"}


class TestGate:
    @pytest.fixture
    def script(self, tmp_path: Path) -> Path:
        path = tmp_path / "train.py"
        path.write_text("print(1)\n")
        return path

    def test_options_are_the_gate(self, run: Run, platform: Any, script: Path) -> None:
        platform.on("POST", "/mlops/training/upload", job_resource("queued") | {"message": "Queued."}, status=202)
        options = ("--promote-alias", "champion", "--promote-when", "auc > champion.auc", "--promote-steps", "5:60,100")
        guards = ("--promote-guard", "quality_drop=0.02", "--promote-guard", "p95_ratio=off")
        result = run("train", str(script), "--model", "churn", *options, *guards)
        assert result.exit_code == 0, result.output
        assert platform.sent("POST", "/mlops/training/upload")[0]["promote"] == {
            "alias": "champion",
            "when": "auc > champion.auc",
            "first": "promote",
            "rollout": {
                "steps": [{"weight": 5, "pause_seconds": 60}, {"weight": 100}],
                "guards": {"quality_drop": 0.02, "p95_ratio": None},
            },
        }

    def test_schedule_carries_the_gate(self, run: Run, platform: Any, script: Path) -> None:
        platform.on("POST", "/mlops/schedules", {"title": "stop here"}, status=500)
        run("schedule", "create", "n", "--cron", "@daily", "--", "train", str(script), "--promote-alias", "champion")
        assert platform.sent("POST", "/mlops/schedules")[0]["train"]["promote"]["alias"] == "champion"

    def test_condition_needs_an_alias(self, run: Run, script: Path) -> None:
        assert run("train", str(script), "--promote-when", "auc > 0.5").exit_code == 2

    def test_guard_needs_steps(self, run: Run, script: Path) -> None:
        result = run("train", str(script), "--promote-alias", "champion", "--promote-guard", "p95_ratio=off")
        assert (result.exit_code, "--promote-steps" in result.output) == (2, True)
