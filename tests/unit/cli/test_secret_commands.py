from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]
PATH = "/mlops/secrets"
TIME = "2026-01-02T03:04:05Z"
SECRET = {"name": "AWS", "variables": ["AWS"], "created_at": TIME, "updated_at": TIME, "updated_by": "ada"}


@pytest.fixture(autouse=True)
def taken(platform: Any) -> None:
    platform.on("PUT", f"{PATH}/AWS", SECRET, status=201)


def test_value_comes_from_standard_input(run: Run, platform: Any) -> None:
    done = run("secrets", "set", "AWS", stdin="hunter2\n")
    assert done.exit_code == 0
    assert platform.sent("PUT", f"{PATH}/AWS") == [{"variables": {"AWS": "hunter2"}}]
    assert "hunter2" not in done.output
    assert "raylift train --secret AWS" in done.stderr


def test_value_comes_from_a_file(run: Run, platform: Any, tmp_path: Path) -> None:
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN\nkey\n-----END\n")
    run("secrets", "set", "AWS", "--key", "PEM", stdin="hunter2")
    assert run("secrets", "set", "AWS", "--file", str(file)).exit_code == 0
    assert platform.sent("PUT", f"{PATH}/AWS") == [
        {"variables": {"PEM": "hunter2"}},
        {"variables": {"AWS": "-----BEGIN\nkey\n-----END"}},
    ]


def test_variables_come_from_an_env_file(run: Run, platform: Any, tmp_path: Path) -> None:
    file = tmp_path / "aws.env"
    file.write_text("# of the team\nexport AWS_ID=id\n\nAWS_KEY = \"a=b # c\"\nQUOTE='it''s'\n")
    assert run("secrets", "set", "AWS", "--env-file", str(file)).exit_code == 0
    assert platform.sent("PUT", f"{PATH}/AWS") == [{"variables": {"AWS_ID": "id", "AWS_KEY": "a=b # c", "QUOTE": "it''s"}}]


def test_wrong_line_of_an_env_file_is_not_repeated(run: Run, platform: Any, tmp_path: Path) -> None:
    file = tmp_path / "aws.env"
    file.write_text("A=1\nhunter2\n")
    done = run("secrets", "set", "AWS", "--env-file", str(file))
    assert done.exit_code == 2
    assert "line 2 is not of the form VARIABLE=VALUE" in done.stderr
    assert "hunter2" not in done.output
    assert platform.sent("PUT", f"{PATH}/AWS") == []


def test_two_sources_are_wrong_usage(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "x"
    file.write_text("A=1")
    assert run("secrets", "set", "AWS", "--file", str(file), "--env-file", str(file)).exit_code == 2
    assert run("secrets", "set", "AWS", "--key", "A", "--key", "B", stdin="x").exit_code == 2


def test_secrets_are_listed_and_deleted(run: Run, platform: Any) -> None:
    platform.on("GET", PATH, {"secrets": [SECRET | {"variables": ["A", "B"]}]})
    platform.on("DELETE", f"{PATH}/AWS", None, status=204)
    header, row = run("secrets", "list").stdout.splitlines()
    assert header.split() == ["NAME", "VARIABLES", "UPDATED", "BY"]
    assert row.startswith("AWS   A, B")
    assert json.loads(run("secrets", "list", "-o", "json").stdout)["secrets"][0]["name"] == "AWS"
    assert run("secrets", "rm", "AWS").exit_code == 0
    assert run("secrets", "rm", "GONE").exit_code == 3


def test_train_and_rerun_name_secrets(
    run: Run, platform: Any, tmp_path: Path, job_id: str, job: Callable[..., dict[str, Any]]
) -> None:
    script = tmp_path / "a.py"
    script.write_text("pass")
    accepted = {"job_id": job_id, "status": "queued", "created_at": TIME, "message": "m", "links": {"self": "/x"}}
    platform.on("POST", "/mlops/training/upload", accepted, status=202)
    platform.on("GET", f"/mlops/training/jobs/{job_id}", job())
    platform.on("POST", f"/mlops/training/jobs/{job_id}/rerun", accepted, status=202)
    assert run("train", str(script), "--secret", "AWS", "--secret", "HF").exit_code == 0
    assert platform.sent("POST", "/mlops/training/upload")[0]["secrets"] == ["AWS", "HF"]
    assert run("jobs", "rerun", job_id, "--secret", "HF").exit_code == 0
    assert platform.sent("POST", f"/mlops/training/jobs/{job_id}/rerun") == [{"secrets": ["HF"]}]
