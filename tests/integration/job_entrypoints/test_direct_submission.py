"""``python -m job_entrypoints.train --script …`` as Ray's Jobs API runs it, in Ray's working directory."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys, pathlib
import beside
print(beside.value, pathlib.Path("data.csv").read_text(), sys.argv[1:], pathlib.Path.cwd() == pathlib.Path(__file__).parent)
print(*map(os.environ.get, ("RAYLIFT_JOB_ID", "MLFLOW_EXPERIMENT_NAME", "OMP_NUM_THREADS", "MKL_NUM_THREADS")))
print((pathlib.Path(os.environ["RAYLIFT_ATTEMPTS_DIR"]) / "raysubmit_X" / "attempt.json").exists())
"""


@pytest.fixture
def working_directory(tmp_path: Path) -> Path:
    directory = tmp_path / "working_dir"
    directory.mkdir()
    (directory / "my_model.py").write_text(SCRIPT)
    (directory / "beside.py").write_text("value = 42")
    (directory / "data.csv").write_text("a,b")
    return directory


def _submit(
    directory: Path, attempts: Path | None, *arguments: str, submission_id: str = "raysubmit_X"
) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {
        "RAY_JOB_CONFIG_JSON_ENV_VAR": json.dumps({"runtime_env": {}, "metadata": {"job_submission_id": submission_id}}),
        "MLFLOW_TRACKING_URI": "http://127.0.0.1:9",
        "OMP_NUM_THREADS": "3",
        # The attempt of a job that the platform does not know lies in the folder of temporary files.
        "TMPDIR": str(directory),
    }
    environment.pop("MKL_NUM_THREADS", None)
    if attempts is not None:
        environment["RAYLIFT_ATTEMPTS_DIR"] = str(attempts)
    command = [sys.executable, "-m", "job_entrypoints.train", "--script", "my_model.py", *arguments]
    return subprocess.run(command, cwd=directory, env=environment, capture_output=True, text=True, check=False, timeout=60)


def test_direct_submission_makes_its_own_attempt(working_directory: Path, tmp_path: Path) -> None:
    done = _submit(
        working_directory,
        tmp_path,
        "--model",
        "churn",
        "--no-deploy",
        "--no-autolog",
        "--arg",
        "one",
        "--arg=--two",
        "--",
        "--epochs",
        "3",
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout == "42 a,b ['one', '--two', '--epochs', '3'] True\njob_raysubmit_X churn 3 3\nTrue\n"
    directory = tmp_path / "raysubmit_X"
    attempt = json.loads((directory / "attempt.json").read_text())
    assert attempt["job_id"] == "job_raysubmit_X"
    assert (attempt["submission_id"], attempt["origin"]) == ("raysubmit_X", "ray")
    assert (attempt["model_name"], attempt["deploy"], attempt["autolog"]) == ("churn", False, False)
    assert attempt["script_sha256"] == hashlib.sha256(SCRIPT.encode()).hexdigest()
    assert (directory / "source" / "my_model.py").read_text() == SCRIPT
    assert json.loads((directory / "progress.json").read_text())["outcome"] == "exited"
    assert directory.stat().st_mode & 0o777 == 0o700


def test_cpus_option_sets_the_thread_pools(working_directory: Path, tmp_path: Path) -> None:
    done = _submit(working_directory, tmp_path, "--cpus", "2", "--experiment", "exp")
    # OMP_NUM_THREADS may come from the user's runtime_env here, so it stays.
    assert "job_raysubmit_X exp 3 2\n" in done.stdout


@pytest.mark.parametrize("submission_id", ["", "../escape", ".."])
def test_script_runs_without_the_platform_with_a_note(submission_id: str, working_directory: Path, tmp_path: Path) -> None:
    (working_directory / "my_model.py").write_text("print('ran')")
    done = _submit(working_directory, tmp_path, submission_id=submission_id)
    assert (done.returncode, done.stdout) == (0, "ran\n")
    assert "Raylift will not see it" in done.stderr
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["working_dir"]


def test_missing_script_is_reported(working_directory: Path, tmp_path: Path) -> None:
    (working_directory / "my_model.py").unlink()
    done = _submit(working_directory, tmp_path)
    assert done.returncode == 70
    assert "there is no script" in done.stderr
