from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.job_resource import job_resource

PATH = "/mlops/schedules"
ONE = f"{PATH}/nightly"
RUN = {
    "due_at": "2026-03-29T03:00:00+02:00",
    "recorded_at": "2026-03-29T01:00:01Z",
    "outcome": "skipped",
    "manual": False,
    "message": "The previous job has not ended.",
    "job_id": None,
    "job_status": None,
}
VIEW: dict[str, Any] = {
    "schedule_id": "schedule_1",
    "name": "nightly",
    "workspace": "default",
    "owner": "anna",
    "cron": "0 3 * * *",
    "timezone": "Europe/Berlin",
    "overlap": "skip",
    "catch_up_seconds": 86400,
    "jitter_seconds": 0,
    "paused": False,
    "paused_at": None,
    "kind": "train",
    "script_name": "train.py",
    "experiment_name": "churn",
    "model_name": "churn",
    "next_runs": ["2026-03-28T03:00:00+01:00", "2026-03-29T03:00:00+02:00"],
    "last_run": RUN,
    "created_at": "2026-03-01T00:00:00Z",
    "updated_at": "2026-03-01T00:00:00Z",
    "updated_by": "anna",
    "links": {},
    "entrypoint": None,
    "requirements": [],
    "args": ["--fast"],
    "environment": {},
    "secrets": [],
    "params": {},
    "tags": {},
    "isolation": "sandbox",
    "notes": ["A note."],
}
Run = Callable[..., Result]


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "train.py"
    path.write_text("print(1)\n")
    return path


def test_upload_after_two_dashes_is_the_template(platform: Any, run: Run, script: Path) -> None:
    platform.on("POST", PATH, VIEW, status=201)
    made = run(
        "schedule", "create", "nightly", "--cron", "0 3 * * *", "--timezone", "Europe/Berlin", "--overlap", "queue",
        "--", "train", str(script), "--model", "churn", "--arg=--fast", "--env", "A=1", "--cpus", "2", "--no-deploy",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    (body,) = platform.sent("POST", PATH)
    train = body.pop("train")
    assert body == {
        "name": "nightly",
        "cron": "0 3 * * *",
        "timezone": "Europe/Berlin",
        "overlap": "queue",
        "catch_up_seconds": 86400,
        "jitter_seconds": 0,
        "paused": False,
    }
    assert train["script_content"] == "print(1)\n"
    assert (train["model_name"], train["experiment_name"]) == ("churn", "churn")
    assert (train["args"], train["environment"], train["deploy"]) == (["--fast"], {"A": "1"}, False)
    assert train["resources"]["cpus"] == 2
    assert "2026-03-29 03:00 +0200" in made.stdout
    assert "A note." in made.stderr


def test_project_is_a_form(platform: Any, run: Run, script: Path) -> None:
    platform.on("POST", PATH, VIEW, status=201)
    made = run(
        "schedule", "create", "nightly", "--cron", "@daily", "--", "train", str(script.parent), "--entrypoint", "train.py"
    )
    assert made.exit_code == 0, made.output
    (body,) = platform.sent("POST", PATH)
    assert b'name="schedule"' in body
    assert b'"cron": "@daily"' in body
    assert b'name="project"' in body


def test_job_in_place_of_an_upload(platform: Any, run: Run) -> None:
    platform.on("POST", PATH, VIEW, status=201)
    assert run("schedule", "create", "nightly", "--cron", "@daily", "--job", "job_1").exit_code == 0
    assert platform.sent("POST", PATH)[0]["rerun"] == "job_1"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "give the command after --"),
        (["--", "predict", "x"], "a schedule runs `train` or `batch`"),
        (["--", "train"], "Missing argument"),
        (["--", "train", "SCRIPT", "--wrong"], "No such option"),
        (["--", "train", "SCRIPT", "--sweep", "lr=1,2"], "is not for a schedule"),
        (["--", "train", "SCRIPT", "--follow"], "is not for a schedule"),
        (["--job", "job_1", "--", "train", "SCRIPT"], "a schedule has one template"),
        (["--", "train", "FOLDER"], "is a directory"),
        (["--", "batch", "churn"], "Missing option"),
        (["--", "batch", "churn", "--input", "rows.csv"], "which a schedule does not see"),
        (["--", "batch", "churn", "--input", "s3://a/b", "--output", "here.csv"], "is on this machine"),
        (["--", "batch", "churn", "--input", "s3://a/b", "--no-wait"], "is not for a schedule"),
    ],
)
def test_wrong_template_is_wrong_usage(run: Run, script: Path, words: list[str], said: str) -> None:
    named = {"SCRIPT": str(script), "FOLDER": str(script.parent)}
    made = run("schedule", "create", "nightly", "--cron", "@daily", *(named.get(word, word) for word in words))
    assert made.exit_code == 2
    assert said in made.output


def test_list_and_show(platform: Any, run: Run) -> None:
    platform.on("GET", PATH, {"schedules": [VIEW, VIEW | {"name": "weekly", "paused": True, "next_runs": []}]})
    listed = run("schedule", "list").stdout
    assert "2026-03-28 03:00 +0100" in listed
    assert "paused" in listed
    assert "skipped" in listed
    platform.on("GET", ONE, VIEW)
    assert "0 3 * * * (Europe/Berlin)" in run("schedule", "show", "nightly").stdout
    assert json.loads(run("schedule", "show", "nightly", "-o", "json").stdout) == VIEW


def test_update_sends_what_is_given(platform: Any, run: Run, script: Path) -> None:
    platform.on("PATCH", ONE, VIEW)
    assert run("schedule", "update", "nightly", "--cron", "@hourly", "--take-over").exit_code == 0
    assert run("schedule", "update", "nightly", "--", "train", str(script)).exit_code == 0
    assert run("schedule", "pause", "nightly").exit_code == 0
    assert "2026-03-28 03:00 +0100" in run("schedule", "resume", "nightly").stderr
    first, second, *others = platform.sent("PATCH", ONE)
    assert first == {"cron": "@hourly", "take_over": True}
    assert list(second) == ["train"]
    assert others == [{"paused": True}, {"paused": False}]


def test_run_now_history_and_removal(platform: Any, run: Run) -> None:
    accepted = {"job_id": "job_7", "status": "queued", "created_at": "2026-01-02T03:04:05Z", "message": "", "links": {}}
    platform.on("POST", f"{ONE}/run", accepted, status=202)
    assert run("schedule", "run", "nightly").stdout == "job_7\n"
    done = RUN | {"outcome": "submitted", "manual": True, "job_id": "job_7", "job_status": "completed", "message": None}
    platform.on("GET", f"{ONE}/runs", {"runs": [done, RUN], "next_cursor": "c"})
    shown = run("schedule", "runs", "nightly")
    assert "submitted (now)" in shown.stdout
    assert "The previous job has not ended." in shown.stdout
    assert "--cursor c" in shown.stderr
    platform.on("DELETE", ONE, None, status=204)
    assert run("schedule", "rm", "nightly").exit_code == 0


def test_jobs_of_a_schedule(platform: Any, run: Run) -> None:
    platform.on("GET", "/mlops/training/jobs", {"jobs": [], "next_cursor": None})
    assert run("jobs", "list", "--schedule", "nightly").exit_code == 0
    assert any("schedule=nightly" in path for _, path, _, _ in platform.requests)
    platform.on("GET", "/mlops/training/jobs/job_1", job_resource("completed") | {"schedule": "nightly"})
    assert "nightly" in run("jobs", "show", "job_1").stdout


def test_batch_after_two_dashes_is_the_template(platform: Any, run: Run) -> None:
    platform.on("POST", PATH, VIEW | {"kind": "batch", "output": "s3://scored/{date}/"}, status=201)
    words = ["batch", "churn", "--input", "s3://lake/{date}/", "--output", "s3://scored/{date}/", "--alias", "champion"]
    made = run("schedule", "create", "nightly", "--cron", "@daily", "--", *words, "--keep-none", "--cpus", "2")
    assert made.exit_code == 0, made.output
    batch = platform.sent("POST", PATH)[0]["batch"]
    assert (batch["model_name"], batch["input"], batch["output"]) == ("churn", "s3://lake/{date}/", "s3://scored/{date}/")
    assert (batch["alias"], batch["keep"], batch["resources"]["cpus"]) == ("champion", [], 2)
    assert "s3://scored/{date}/" in made.stdout
