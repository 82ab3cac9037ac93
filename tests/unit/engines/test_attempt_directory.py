from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from job_entrypoints.attempt.record import Attempt, read_attempt
from raylift.domain.job import Isolation, Job, JobSpec, JobState, Network
from raylift.domain.project import ProjectFile, pack
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.settings import JobSettings, PlatformSettings

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PROJECT = pack(
    [
        ProjectFile("jobs/train.py", b"print(1)"),
        ProjectFile("data/x.csv", b"1,2"),
        ProjectFile("run.sh", b"#!/bin/sh", executable=True),
        ProjectFile("out/plots/", b""),
    ]
)


def prepare(tmp_path: Path) -> AttemptDirectory:
    spec = JobSpec("0" * 64, "train.py", "e", project_sha256=PROJECT.sha256, entrypoint="jobs/train.py")
    job = Job("job_1", spec, JobState.STARTING, created_at=NOW, entered_at=NOW)
    directory = AttemptDirectory(tmp_path, "job_1-a1")
    directory.prepare(job, b"print(1)", mlflow_url="http://x", settings=JobSettings(), project=PROJECT.content)
    return directory


def test_project_is_the_working_directory_of_its_script(tmp_path: Path) -> None:
    path = prepare(tmp_path).path
    attempt = read_attempt(str(path))
    assert attempt.working_directory == str(path / "work")
    assert attempt.script_path == str(path / "work/jobs/train.py")
    assert Path(attempt.script_path).read_bytes() == b"print(1)"
    assert (path / "work/data/x.csv").read_bytes() == b"1,2"
    assert (path / "work/run.sh").stat().st_mode & 0o100
    assert list((path / "work/out/plots").iterdir()) == []
    assert (path / "source/train.py").read_bytes() == b"print(1)"


def test_repeated_preparation_keeps_files_of_the_script(tmp_path: Path) -> None:
    path = prepare(tmp_path).path
    (path / "work/data/x.csv").write_bytes(b"changed")
    prepare(tmp_path)
    assert (path / "work/data/x.csv").read_bytes() == b"changed"


def test_incomplete_project_is_unpacked_again(tmp_path: Path) -> None:
    path = prepare(tmp_path).path
    (path / "work").rename(path / ".work")
    (path / ".work/run.sh").unlink()
    (path / ".work/stray").touch()
    prepare(tmp_path)
    assert (path / "work/run.sh").exists()
    assert not (path / "work/stray").exists()


def test_single_script_has_an_empty_working_directory(tmp_path: Path) -> None:
    job = Job("job_1", JobSpec("0" * 64, "t.py", "e"), JobState.STARTING, created_at=NOW, entered_at=NOW)
    AttemptDirectory(tmp_path, "s").prepare(job, b"", mlflow_url="http://x", settings=JobSettings())
    assert "script_path" not in json.loads((tmp_path / "s/attempt.json").read_bytes())
    assert not (tmp_path / "s/work").exists()


def test_tags_of_runs_are_the_job_s_own_and_the_given_ones(tmp_path: Path) -> None:
    spec = JobSpec("0" * 64, "t.py", "e", tags={"team": "a"})
    job = Job("job_1", spec, JobState.STARTING, created_at=NOW, entered_at=NOW)
    directory = AttemptDirectory(tmp_path, "s")
    directory.prepare(job, b"", mlflow_url="http://x", settings=JobSettings(), run_tags={"mlflow.parentRunId": "r"})
    assert read_attempt(str(directory.path)).tags == {"team": "a", "mlflow.parentRunId": "r"}


def test_attempt_says_if_the_wrapper_must_run_in_an_overlay(tmp_path: Path) -> None:
    job = Job("job_1", JobSpec("0" * 64, "t.py", "e"), JobState.STARTING, created_at=NOW, entered_at=NOW)
    for in_overlay in (True, False):
        directory = AttemptDirectory(tmp_path, f"s{in_overlay}")
        directory.prepare(job, b"", mlflow_url="http://x", settings=JobSettings(), in_overlay=in_overlay)
        assert read_attempt(str(directory.path)).in_overlay is in_overlay


@pytest.mark.parametrize("done", ["removed", "closed", "a file in its place", "a link in its place", "a link as the sign"])
def test_stop_file_is_written_despite_a_hostile_script(tmp_path: Path, done: str) -> None:
    directory = AttemptDirectory(tmp_path, "job_1-a1")
    match done:
        case "closed":
            directory.path.mkdir(mode=0)
        case "a file in its place":
            directory.path.touch()
        case "a link in its place":
            directory.path.symlink_to(tmp_path / "nowhere")
        case "a link as the sign":
            directory.path.mkdir()
            (directory.path / "stop").symlink_to(tmp_path / "nowhere" / "stop")
        case _:
            pass
    directory.stop_requested_at()  # Raises nothing: the supervisor does this for all jobs, one after the other.
    directory.request_stop()
    assert directory.stop_requested_at() is not None
    assert (directory.path / "stop").is_file()
    assert directory.path.stat().st_mode & 0o700 == 0o700


def test_attempt_of_a_sandboxed_job_names_what_is_closed(tmp_path: Path) -> None:
    platform = PlatformSettings(
        state_dir=tmp_path,
        database_url="sqlite:///x",
        mlflow_url="http://127.0.0.1:5000",
        ray_dashboard_url="http://127.0.0.1:8265",
        gateway_url="http://127.0.0.1:8000",
        internal_ports="4990-5010",
        jobs=JobSettings(isolation="required", readable_paths=(Path("/data"),)),
    )
    sandboxed = _prepared(tmp_path, platform, isolation=Isolation.SANDBOX, network=Network.MLFLOW_ONLY)
    assert (sandboxed.is_sandboxed, sandboxed.isolation_required, sandboxed.network) == (True, True, "mlflow-only")
    assert (sandboxed.readable_paths, sandboxed.protected_paths) == (["/data"], [str(tmp_path)])
    assert sandboxed.refused_ports == "4990-4999,5001-5010,8000,8265"
    assert not _prepared(tmp_path, platform, isolation=Isolation.CLUSTER).is_sandboxed
    off = platform.model_copy(update={"jobs": JobSettings(isolation="none")})
    assert not _prepared(tmp_path, off, isolation=Isolation.SANDBOX).is_sandboxed


def _prepared(tmp_path: Path, platform: PlatformSettings, **spec: Any) -> Attempt:
    job = Job("job_1", JobSpec("0" * 64, "t.py", "e", **spec), JobState.STARTING, created_at=NOW, entered_at=NOW)
    directory = AttemptDirectory(tmp_path, "s")
    directory.prepare(job, b"", mlflow_url=platform.mlflow_url, settings=platform.jobs, platform=platform)
    return read_attempt(str(directory.path))
