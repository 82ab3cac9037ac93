"""Exit codes, standard output and standard error of real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from raylift.cli.exits import ExitCode

COMMAND = [sys.executable, "-c", "from raylift.cli.app import main; main()"]
DOCS = Path(__file__).parents[3] / "docs" / "reference" / "cli.md"
MODELS = "/mlops/models"


def raylift(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *args], capture_output=True, text=True, env=os.environ | env, timeout=60, check=False)


def test_success_is_0_with_only_data_on_stdout(platform: Any):
    platform.on("GET", MODELS, {"models": []})
    done = raylift("models", "list", "-o", "json")
    assert (done.returncode, done.stdout, done.stderr) == (0, '{\n  "models": []\n}\n', "")


@pytest.mark.parametrize(
    ("status", "code", "exit_code"),
    [
        (400, "malformed_body", ExitCode.USAGE),
        (404, "model_not_found", ExitCode.NOT_FOUND),
        (409, "conflict", ExitCode.FAILED),
        (413, "too_large", ExitCode.USAGE),
        (422, "invalid_request", ExitCode.USAGE),
        (429, "queue_full", ExitCode.UNAVAILABLE),
        (500, "internal_error", ExitCode.FAILED),
        (503, "engine_unavailable", ExitCode.UNAVAILABLE),
    ],
)
def test_refusals_have_their_exit_codes(run: Callable[..., Result], platform: Any, status: int, code: str, exit_code: ExitCode):
    platform.refuse("POST", "/mlops/inference", status, code, "This is why.")
    done = run("predict", "churn", "-i", "[[1]]")
    assert (done.exit_code, done.stdout) == (exit_code, "")
    assert done.stderr.startswith("Error: This is why.\n")


def test_unreachable_platform_is_4_without_a_traceback():
    done = raylift("models", "list", "--url", "http://127.0.0.1:9")
    assert (done.returncode, done.stdout) == (4, "")
    assert done.stderr.startswith("Error: Nothing answers at http://127.0.0.1:9")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("args", [["nonsense"], ["jobs", "show"], ["models", "list", "--url", "nowhere"]])
def test_wrong_usage_is_2(args: list[str]):
    done = raylift(*args)
    assert (done.returncode, done.stdout) == (2, "")
    assert "Traceback" not in done.stderr


def test_colours_are_printed_on_terminals_only(platform: Any):
    platform.on("GET", MODELS, {"models": []})
    assert "\x1b" not in raylift("models", "list").stdout


def test_ctrl_c_detaches_and_prints_how_to_resume(platform: Any, job: Any, job_id: str, tmp_path: Path):
    accepted = {"job_id": job_id, "status": "queued", "created_at": "2026-01-02T03:04:05Z", "message": "m", "links": {}}
    (tmp_path / "t.py").write_text("pass")
    platform.on("POST", "/mlops/training/upload", accepted, status=202)
    platform.on("GET", f"/mlops/training/jobs/{job_id}", job("running"))
    platform.on("GET", f"/mlops/training/jobs/{job_id}/logs", "id: 4\ndata: one\n\n", "")
    process = subprocess.Popen(
        [*COMMAND, "train", str(tmp_path / "t.py"), "-f"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "one\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=120)
    assert process.returncode == 130
    assert f"raylift jobs logs {job_id} --follow" in err
    assert f"raylift jobs cancel {job_id}" in err
    assert "Traceback" not in err


def test_closed_pipe_gives_no_traceback(platform: Any, job: Any):
    platform.on("GET", "/mlops/training/jobs", {"jobs": [job()] * 2000, "next_cursor": None})
    process = subprocess.Popen([*COMMAND, "jobs", "list"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline().startswith("JOB")
    process.stdout.close()
    assert process.stderr is not None
    assert "Traceback" not in process.stderr.read()
    process.stderr.close()
    process.wait(30)


def test_options_may_stand_before_or_after_the_command(run: Callable[..., Result], platform: Any):
    platform.on("GET", MODELS, {"models": []})
    assert run("--url", "http://127.0.0.1:9", "models", "list", "--url", platform.url, "--api-key", "k").exit_code == 0
    assert platform.requests[0][3]["Authorization"] == "Bearer k"
    assert run("--api-key", "j", "models", "list").exit_code == 0
    assert platform.requests[1][3]["Authorization"] == "Bearer j"


def test_version_is_printed(run: Callable[..., Result]):
    assert run("version").stdout == run("--version").stdout
    assert run("version").stdout.startswith("raylift 0.")
    assert run("version", "-o", "json").stdout.startswith('{\n  "version": "0.')


def test_every_exit_code_and_command_is_documented(run: Callable[..., Result]):
    page = DOCS.read_text(encoding="utf-8")
    for code in ExitCode:
        assert f"| {code.value} |" in page
    for command in ("train", "predict", "version", "jobs", "models", "deployments", "up", "down", "status", "doctor"):
        assert f"`raylift {command}" in page
        assert command in run("--help").stdout
    assert "130 interrupted" in " ".join(run("--help").stdout.split())


def test_single_error_is_printed_once(run: Callable[..., Result], platform: Any):
    error = {"field": "resources.cpus", "detail": "no node could ever hold 999 CPUs"}
    detail = "resources.cpus no node could ever hold 999 CPUs"
    platform.refuse("POST", "/mlops/inference", 422, "invalid_request", detail, errors=[error])
    assert run("predict", "churn", "-i", "[[1]]").stderr == f"Error: {detail}\n"
