"""The owner option of the command line, and its message about a full quota."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
UPLOAD = "/mlops/training/upload"
JOBS = "/mlops/training/jobs"
ACCEPTED = {
    "job_id": "job_01JABCDEFGHJKMNPQRSTVWXYZ0",
    "status": "queued",
    "created_at": "2026-01-02T03:04:05Z",
    "message": "m",
    "links": {"self": "/x"},
}


@pytest.fixture
def script(tmp_path: Path) -> str:
    path = tmp_path / "my_model.py"
    path.write_text("print('hi')\n")
    return str(path)


def owner_sent(platform: Any) -> str | None:
    headers: dict[str, str] = platform.requests[-1][3]
    return headers.get("X-Raylift-Owner")


def test_owner_option_overrides_the_environment(run: Run, script: str, platform: Any, monkeypatch: pytest.MonkeyPatch):
    platform.on("POST", UPLOAD, ACCEPTED, status=202)
    monkeypatch.delenv("RAYLIFT_OWNER", raising=False)
    assert (run("train", script).exit_code, owner_sent(platform)) == (0, None)
    monkeypatch.setenv("RAYLIFT_OWNER", "blue")
    assert (run("train", script).exit_code, owner_sent(platform)) == (0, "blue")
    assert (run("train", script, "--owner", "ann").exit_code, owner_sent(platform)) == (0, "ann")


def test_malformed_owner_is_wrong_usage(run: Run, script: str, platform: Any, monkeypatch: pytest.MonkeyPatch):
    told = run("train", script, "--owner", "Ann Smith")
    assert (told.exit_code, told.stdout) == (2, "")
    assert told.stderr.startswith("Error: 'Ann Smith' is no owner's name")
    monkeypatch.setenv("RAYLIFT_OWNER", "jürgen")
    assert run("jobs", "list").exit_code == 2
    assert platform.requests == []


def test_list_filters_by_owner_and_show_prints_it(run: Run, platform: Any, job: Any, job_id: str):
    platform.on("GET", JOBS, {"jobs": [job(owner="ann")], "next_cursor": None})
    platform.on("GET", f"{JOBS}/{job_id}", job("queued", owner="ann", reason="waiting_for_quota", message="2 running jobs"))
    assert run("jobs", "list", "--owner", "ann").exit_code == 0
    assert platform.requests[-1][1] == f"{JOBS}?owner=ann&limit=20"
    shown = run("jobs", "show", job_id).stdout
    assert "ann" in shown
    assert "waiting_for_quota" in shown
    assert "2 running jobs" in shown


def test_full_quota_prints_what_to_do_and_when(run: Run, script: str, platform: Any):
    detail = "2 jobs of 'ann' wait already. Wait until some have started, cancel some, or have the quota raised."
    body = {"title": "No", "status": 429, "detail": detail, "code": "quota_exceeded", "owner": "ann"}
    platform.on("POST", UPLOAD, body, status=429, headers={"Retry-After": "10"})
    told = run("train", script, "--owner", "ann")
    assert (told.exit_code, told.stdout) == (4, "")
    assert told.stderr == f"Error: {detail}\n  Try again in 10 s.\n"
    assert len(platform.sent("POST", UPLOAD)) == 1
