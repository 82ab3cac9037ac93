"""``%load_ext raylift``: commands and training scripts in a notebook."""

from __future__ import annotations

from typing import Any

import pytest

import raylift
from raylift import Job
from raylift.cli.magic import raylift as magic
from tests.unit.job_resource import job_resource

UPLOAD = "/mlops/training/upload"
ACCEPTED = {
    "job_id": "job_1",
    "status": "queued",
    "created_at": "2026-01-02T03:04:05Z",
    "message": "queued",
    "notes": [],
    "links": {},
}


class Shell:
    def __init__(self) -> None:
        self.magics: dict[str, str] = {}

    def register_magic_function(self, function: Any, kind: str, name: str) -> None:
        self.magics[name] = kind


def test_extension_registers_one_magic() -> None:
    shell = Shell()
    raylift.load_ipython_extension(shell)
    assert shell.magics == {"raylift": "line_cell"}


def test_cell_is_a_training_script(platform: Any) -> None:
    platform.on("POST", UPLOAD, ACCEPTED, status=202)
    platform.on("GET", "/mlops/training/jobs/job_1", job_resource("running"))
    job = magic("train --model churn --requirements 'scikit-learn>=1'", "import sklearn\n")
    assert isinstance(job, Job) and job.job_id == "job_1"
    assert job.refresh().status == "running", "its connection is open"
    (body,) = platform.sent("POST", UPLOAD)
    assert (body["script_content"], body["script_name"]) == ("import sklearn\n", "cell.py")
    assert (body["model_name"], body["requirements"]) == ("churn", ["scikit-learn>=1"])


def test_line_runs_any_command(platform: Any, capsys: pytest.CaptureFixture[str]) -> None:
    platform.on("GET", "/mlops/models", {"models": []})
    assert magic("models list -o json") is None
    assert '"models": []' in capsys.readouterr().out


def test_wrong_use_is_a_message_and_no_traceback(platform: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert magic("jobs show nope") is None
    assert "Error" in capsys.readouterr().err
    assert magic("jobs list", "print(1)") is None
    assert "%%raylift train" in capsys.readouterr().err
    assert magic("train --nonsense", "print(1)") is None
