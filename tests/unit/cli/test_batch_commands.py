"""``raylift batch`` and ``raylift batches``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from tests.unit.client.test_batches import ACCEPTED, ONE, PATH, RESULT, VIEW

Run = Callable[..., Result]
PROGRESS = {
    "phase": "scoring", "rows": 2500, "rows_total": 10_000, "rejected": 0, "parts": 1, "parts_total": 4,
    "rows_per_second": 500.0, "eta_seconds": 15.0,
}  # fmt: skip


@pytest.fixture
def batches(platform: Any) -> Any:
    platform.on("POST", PATH, ACCEPTED, status=202)
    running = VIEW | {"status": "running", "result": None, "progress": PROGRESS}
    done = VIEW | {"result": RESULT | {"output": "/data/out", "rejected": 2, "rejected_output": "/data/out.rejected.jsonl"}}
    platform.on("GET", ONE, running, running, done)
    platform.on("GET", PATH, {"batches": [running, done], "next_cursor": None})
    return platform


def test_batch_is_followed_to_its_end(batches: Any, run: Run) -> None:
    made = run(
        "batch", "churn", "--input", "file:///data/*.parquet", "--output", "file:///data/out", "--alias", "champion",
        "--keep", "id", "--proba", "--on-error", "skip", "--stamp", "--params", '{"k": 1}', "--secret", "lake", "--cpus", "2",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    (body,) = batches.sent("POST", PATH)
    assert (body["input"], body["output"], body["alias"]) == ("/data/*.parquet", "/data/out", "champion")
    assert (body["keep"], body["on_error"], body["stamp"], body["params"]) == (["id"], "skip", True, {"k": 1})
    assert (body["return_probabilities"], body["secrets"], body["resources"]["cpus"]) == (True, ["lake"], 2)
    assert "2,500 of 10,000 rows, 500 rows/s, 15 s left" in made.stderr
    assert "2 rows were rejected: /data/out.rejected.jsonl" in made.stderr


def test_json_is_asked_for_before_the_command(batches: Any, run: Run) -> None:
    made = run("--output", "json", "batch", "churn", "--input", "s3://b/k.csv", "--keep-none")
    assert made.exit_code == 0, made.output
    assert json.loads(made.stdout)["batch_id"] == "job_7"
    assert batches.sent("POST", PATH)[0]["keep"] == []


def test_batch_is_left_to_itself(batches: Any, run: Run) -> None:
    made = run("batch", "churn", "--input", "s3://b/k.csv", "--no-wait")
    assert (made.exit_code, made.stdout.strip()) == (0, "job_7")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--input", "gone.csv"), "is no file here"),
        (("--input", "s3://b/k.csv", "--output", "there.csv"), "exists already"),
        (("--input", "s3://b/k.csv", "--output", "out.xls"), "says no format"),
        (("--input", "s3://b/k.csv", "--output", "out.csv", "--no-wait"), "raylift batches download"),
        (("--input", "s3://b/k.csv", "--params", "[1]"), "no"),
    ],
)
def test_wrong_options(
    batches: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[str, ...], said: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there.csv").write_text("a\n")
    made = run("batch", "churn", *options)
    assert made.exit_code == 2
    assert said in made.stderr


def test_batches_are_listed_and_shown(batches: Any, run: Run) -> None:
    listed = run("batches", "list", "--model", "churn", "--status", "running")
    assert "job_7  running    churn/4" in listed.stdout
    shown = run("batches", "show", "job_7")
    assert "2,500 of 10,000 rows" in shown.stdout
    assert run("batches", "download", "job_7").exit_code == 2
