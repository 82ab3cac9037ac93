from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from raylift.api.training import TrainingUpload
from raylift.client.jobs.project import pack_directory
from tests.unit.cli.test_model_commands import DEPLOYMENT

Run = Callable[..., Result]
UPLOAD = "/mlops/training/upload"
ACCEPTED = {
    "job_id": "job_01JABCDEFGHJKMNPQRSTVWXYZ0",
    "status": "queued",
    "created_at": "2026-01-02T03:04:05Z",
    "message": "m",
    "links": {"self": "/x"},
}


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "my_model.py"
    path.write_text("print('hi')\n")
    return path


@pytest.fixture(autouse=True)
def taken(platform: Any) -> None:
    platform.on("POST", UPLOAD, ACCEPTED, status=202)


def test_stdout_has_the_job_id_only(run: Run, script: Path, platform: Any, job_id: str):
    done = run("train", str(script))
    assert (done.exit_code, done.stdout) == (0, job_id + "\n")
    assert f"raylift jobs logs {job_id} --follow" in done.stderr
    (body,) = platform.sent("POST", UPLOAD)
    assert TrainingUpload.model_validate(body) == TrainingUpload(
        script_content="print('hi')\n", script_name="my_model.py", experiment_name="my_model"
    )


def test_every_option_is_sent(run: Run, script: Path, platform: Any, tmp_path: Path):
    (tmp_path / "r.txt").write_text("pandas>=2\n# no\n")
    args = "--experiment E --model M --requirements scikit-learn --requirements xgboost>=2 --env A=1 --env B=x=y"
    args += " --arg --depth --arg 3 --cpus 2 --memory 4GiB --gpus 0.5 --timeout 90 --tag team=a --priority 70 --max-retries 2"
    args += f" --torch-backend cpu --no-autolog --no-deploy --idempotency-key k -r {tmp_path / 'r.txt'}"
    assert run("train", str(script), *args.split()).exit_code == 0
    (body,) = platform.sent("POST", UPLOAD)
    assert TrainingUpload.model_validate(body) == TrainingUpload.model_validate(
        {
            "script_content": "print('hi')\n",
            "script_name": "my_model.py",
            "experiment_name": "E",
            "model_name": "M",
            "requirements": ["scikit-learn", "xgboost>=2", "pandas>=2"],
            "environment": {"A": "1", "B": "x=y"},
            "args": ["--depth", "3"],
            "timeout_seconds": 90,
            "resources": {"cpus": 2, "memory": "4GiB", "gpus": 0.5},
            "max_retries": 2,
            "priority": 70,
            "torch_backend": "cpu",
            "autolog": False,
            "deploy": False,
            "tags": {"team": "a"},
        }
    )
    assert platform.requests[0][3]["Idempotency-Key"] == "k"


def test_json_output_is_the_api_s_answer(run: Run, script: Path):
    assert json.loads(run("train", str(script), "--output", "json").stdout) == ACCEPTED
    assert json.loads(run("--output", "json", "train", str(script)).stdout) == ACCEPTED


def test_syntax_error_has_file_line_and_column(run: Run, script: Path, platform: Any):
    errors = [
        {"field": "script_content", "detail": "invalid syntax", "line": 2, "column": 12},
        {"field": "requirements", "detail": "'??' is no requirement"},
    ]
    platform.refuse("POST", UPLOAD, 422, "invalid_request", "The script does not compile.", errors=errors)
    done = run("train", str(script))
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines() == [
        "Error: The script does not compile.",
        f"  {script}:2:12: invalid syntax",
        "  requirements: '??' is no requirement",
    ]


@pytest.mark.parametrize(
    ("args", "words"),
    [
        (["no_such.py"], "no_such.py"),
        (["SCRIPT", "--env", "A"], "'A' is not of the form NAME=VALUE"),
        (["SCRIPT", "--tag", "=x"], "not of the form NAME=VALUE"),
        (["SCRIPT", "-r", "SCRIPT.txt"], "remove the line"),
        (["SCRIPT", "--nonsense"], "No such option"),
        (["SCRIPT", "--cpus", "many"], "--cpus"),
    ],
)
def test_wrong_usage_ends_with_2(run: Run, script: Path, args: list[str], words: str, platform: Any):
    script.with_name("my_model.py.txt").write_text("--index-url x")
    done = run("train", *[arg.replace("SCRIPT", str(script)) for arg in args])
    assert done.exit_code == 2
    assert words in " ".join(done.stderr.replace("│", " ").split())
    assert platform.requests == []


LOGS = f"/mlops/training/jobs/{ACCEPTED['job_id']}/logs"
JOB = f"/mlops/training/jobs/{ACCEPTED['job_id']}"
STREAM = "id: 4\ndata: one\n\nid: 8\ndata: two\n\nevent: end\ndata: completed\n\n"


def test_follow_prints_output_on_stdout_and_phases_on_stderr(run: Run, script: Path, platform: Any, job: Any):
    done_job = job("completed", metrics={"accuracy": 0.93}, model_version="3", duration_seconds=1.5, phases={"script": 1.5})
    platform.on("GET", JOB, job("running", phase="script"), done_job)
    platform.on("GET", LOGS, STREAM, headers={"Content-Type": "text/event-stream"})
    done = run("train", str(script), "--follow")
    assert (done.exit_code, done.stdout) == (0, "one\ntwo\n")
    assert "completed (script 1.5 s)" in done.stderr
    assert "accuracy=0.93" in done.stderr
    assert "raylift predict churn --version 3" in done.stderr


@pytest.mark.parametrize(("status", "code"), [("ready", 0), ("scaled_to_zero", 0), ("unhealthy", 1)])
def test_follow_waits_for_the_first_health_check(run: Run, script: Path, platform: Any, job: Any, status: str, code: int):
    platform.on("GET", JOB, job("completed", model_version="3"))
    platform.on("GET", LOGS, STREAM, headers={"Content-Type": "text/event-stream"})
    starting = DEPLOYMENT | {"status": "starting", "message": None}
    platform.on(
        "GET", "/mlops/models/churn/versions/3/deployment", starting, DEPLOYMENT | {"status": status, "message": "no xgboost"}
    )
    done = run("train", str(script), "--follow")
    assert done.exit_code == code
    assert "churn version 3 is starting" in done.stderr
    assert f"churn version 3 is {status.replace('_', ' ')}" in done.stderr
    assert ("no xgboost" in done.stderr) == bool(code)


def test_notes_of_the_platform_are_printed(run: Run, script: Path, platform: Any):
    platform.on("POST", UPLOAD, ACCEPTED | {"notes": ["Hashes are not checked."]}, status=202)
    done = run("train", str(script))
    assert (done.exit_code, done.stdout.strip()) == (0, ACCEPTED["job_id"])
    assert "Note: Hashes are not checked." in done.stderr


def test_follow_ends_with_1_when_the_job_fails(run: Run, script: Path, platform: Any, job: Any):
    platform.on("GET", JOB, job("failed", reason="script_error", message="exit code 1"))
    platform.on("GET", LOGS, "id: 4\ndata: Traceback\n\nevent: end\ndata: failed\n\n")
    done = run("train", str(script), "-f")
    assert (done.exit_code, done.stdout) == (1, "Traceback\n")
    assert done.stderr.splitlines()[-1].endswith("failed: script_error: exit code 1")


def test_follow_with_json_prints_only_the_job_on_stdout(run: Run, script: Path, platform: Any, job: Any):
    platform.on("GET", JOB, job("completed"))
    platform.on("GET", LOGS, STREAM)
    done = run("train", str(script), "-f", "-o", "json")
    assert json.loads(done.stdout) == job("completed")
    assert "one\ntwo\n" in done.stderr


def test_project_is_uploaded_with_its_entrypoint(run: Run, tmp_path: Path, platform: Any, job_id: str):
    (tmp_path / "fit.py").write_text("print(1)")
    done = run("train", str(tmp_path), "--entrypoint", "fit.py", "--model", "churn")
    assert (done.exit_code, done.stdout) == (0, job_id + "\n")
    (body,) = platform.sent("POST", UPLOAD)
    assert b'name="entrypoint"\r\n\r\nfit.py' in body and pack_directory(tmp_path).content in body


def test_errors_of_an_entrypoint_have_file_line_and_column(run: Run, tmp_path: Path, platform: Any):
    errors = [{"field": "entrypoint", "detail": "does not compile", "line": 3, "column": 5}]
    platform.refuse("POST", UPLOAD, 422, "invalid_request", "entrypoint does not compile", errors=errors)
    done = run("train", str(tmp_path), "--entrypoint", "jobs/fit.py")
    assert done.exit_code == 2
    assert f"{tmp_path}/jobs/fit.py:3:5: does not compile" in done.stderr


def test_project_without_entrypoint_or_with_bad_files_is_refused(run: Run, tmp_path: Path, platform: Any):
    done = run("train", str(tmp_path))
    assert done.exit_code == 2
    assert "name the script in it, e.g. --entrypoint train.py" in done.stderr
    archive = tmp_path / "project.tar.gz"
    archive.touch()
    done = run("train", str(archive))
    assert done.exit_code == 2
    assert "is an archive: name the script in it" in done.stderr
    (tmp_path / "out").symlink_to("/etc")
    done = run("train", str(tmp_path), "--entrypoint", "fit.py")
    assert done.exit_code == 2
    assert "leads out of the project" in done.stderr
    assert not platform.requests


def test_workers_are_sent_with_their_amounts(run: Run, script: Path, platform: Any) -> None:
    asked = ("--workers", "4", "--worker-cpus", "2", "--worker-memory", "8GiB", "--worker-strategy", "spread")
    assert run("train", str(script), *asked).exit_code == 0
    (body,) = platform.sent("POST", UPLOAD)
    assert body["resources"]["workers"] == {"count": 4, "cpus": 2.0, "memory": "8GiB", "strategy": "spread"}


def test_amounts_without_workers_are_wrong_usage(run: Run, script: Path) -> None:
    done = run("train", str(script), "--worker-cpus", "2")
    assert (done.exit_code, "say how many with --workers" in done.stderr) == (2, True)
