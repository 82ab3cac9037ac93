from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from job_entrypoints.attempt.progress import Progress, Usage
from job_entrypoints.attempt.record import Attempt, AttemptUnreadable, read_attempt, write_json
from job_entrypoints.contract import OUTCOMES
from raylift.domain import job as domain


def test_attempt_of_the_supervisor_is_read(tmp_path: Path) -> None:
    record = {"job_id": "job_1", "script": "a.py", "args": ["x"], "cpus": 2, "memory_bytes": 5, "mlflow_url": "http://m"}
    (tmp_path / "attempt.json").write_text(json.dumps(record))
    attempt = read_attempt(str(tmp_path))
    assert (attempt.job_id, attempt.script_path) == ("job_1", str(tmp_path / "source" / "a.py"))
    assert (attempt.args, attempt.cpus, attempt.memory_bytes) == (["x"], 2.0, 5)
    assert attempt.working_directory == str(tmp_path / "work")
    assert not attempt.from_ray
    assert not attempt.stop_requested()
    (tmp_path / "stop").touch()
    assert attempt.stop_requested()


def test_direct_submission_runs_in_its_own_folder(tmp_path: Path) -> None:
    attempt = Attempt(str(tmp_path), {"job_id": "job_1", "script": "a.py", "script_path": "/w/a.py", "origin": "ray"})
    assert (attempt.script_path, attempt.working_directory) == ("/w/a.py", str(Path.cwd()))


@pytest.mark.parametrize("text", ["", "nonsense", "[]", '{"job_id": "x"}', "null"])
def test_malformed_attempt_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "attempt.json").write_text(text)
    with pytest.raises(AttemptUnreadable, match=r"attempt\.json"):
        read_attempt(str(tmp_path))


def test_write_json_replaces_in_one_step_and_leaves_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    write_json(str(path), {"a": 1})
    with path.open() as before:
        write_json(str(path), {"a": 2})
        assert json.load(before) == {"a": 1}
    assert json.loads(path.read_text()) == {"a": 2}
    assert [entry.name for entry in tmp_path.iterdir()] == ["p.json"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_progress_has_the_agreed_fields(tmp_path: Path) -> None:
    progress = Progress(str(tmp_path))
    progress.started(123)
    started = json.loads((tmp_path / "progress.json").read_text())
    assert started.keys() == {"state", "script_started_at", "wrapper_pid", "script_pid", "host"}
    usage = Usage()
    usage.cpu_seconds, usage.peak_memory_bytes = 1.23456, 7
    usage.memory_enforced_by, usage.cpu_enforced_by = "watchdog", "affinity"
    for outcome in OUTCOMES:
        progress.finished(outcome, exit_code=1, signal=None, message="m", usage=usage)
        finished = json.loads((tmp_path / "progress.json").read_text())
        assert (finished["state"], finished["outcome"], finished["exit_code"], finished["message"]) == (
            "finished",
            outcome,
            1,
            "m",
        )
        assert finished["script_started_at"] == started["script_started_at"]
        assert finished["usage"].keys() == {field.name for field in dataclasses.fields(domain.Usage)}
        assert finished["usage"]["cpu_seconds"] == 1.235
        assert (finished["usage"]["memory_enforced_by"], finished["usage"]["cpu_enforced_by"]) == ("watchdog", "affinity")


def test_progress_of_a_script_that_did_not_start(tmp_path: Path) -> None:
    Progress(str(tmp_path)).finished("stopped")
    finished = json.loads((tmp_path / "progress.json").read_text())
    assert (finished["script_started_at"], finished["usage"]["wall_seconds"]) == (None, 0.0)
