"""Ray's unmodified command line and client at the platform's address, in front of the durable queue."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import psutil
import pytest
from ray.job_submission import JobStatus, JobSubmissionClient

from raylift import Client
from raylift.launcher.local_platform import LocalPlatform

TRAIN = """
import sys
import pandas as pd, tinydb
from sklearn.linear_model import LogisticRegression
from features import columns
frame = pd.read_csv("data/customers.csv")
print("tinydb", tinydb.__version__, sys.argv[1:], flush=True)
LogisticRegression(max_iter=500).fit(columns(frame), frame["left"])
open("out/report.txt", "w").close()
"""
FILES = {
    "jobs/train.py": TRAIN,
    "features.py": "def columns(frame):\n    return frame[['age', 'visits']]\n",
    "data/customers.csv": "age,visits,left\n" + "".join(f"{20 + n},{n % 7},{int(n > 20)}\n" for n in range(40)),
}
FIT = """
import sys
from sklearn.linear_model import LinearRegression
LinearRegression().fit([[0.0], [1.0]], [0, int(sys.argv[1])])
"""
SLEEPER = "import time\nprint('asleep', flush=True)\ntime.sleep(300)\n"


class RayCli:
    def __init__(self, url: str, cwd: Path) -> None:
        self.url = url
        self.cwd = cwd

    def __call__(self, command: str, *words: str, code: int = 0) -> str:
        done = subprocess.run(
            [str(Path(sys.executable).with_name("ray")), "job", command, "--address", self.url, *words],
            cwd=self.cwd,
            env=environment(),
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        assert done.returncode == code, done.stdout + done.stderr
        return done.stdout + done.stderr


def environment() -> dict[str, str]:
    # RAY_ADDRESS would override --address.
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    return {**kept, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


@pytest.fixture
def ray(platform: LocalPlatform, tmp_path: Path) -> RayCli:
    return RayCli(platform.url, tmp_path)


@pytest.fixture
def jobs(platform: LocalPlatform, monkeypatch: pytest.MonkeyPatch) -> JobSubmissionClient:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    return JobSubmissionClient(platform.url)


def new_id() -> str:
    return f"raysubmit_{uuid.uuid4().hex[:12]}"


def wait_for(jobs: JobSubmissionClient, submission_id: str, *wanted: JobStatus) -> None:
    end = time.monotonic() + 120
    while (status := jobs.get_job_status(submission_id)) not in wanted:
        assert not status.is_terminal(), jobs.get_job_info(submission_id)
        assert time.monotonic() < end, jobs.get_job_info(submission_id)
        time.sleep(0.2)


def test_working_dir_with_requirements_is_trained_and_served(ray: RayCli, client: Client, jobs: JobSubmissionClient) -> None:
    for name, text in FILES.items():
        path = ray.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (ray.cwd / "out").mkdir()  # Empty, as scripts expect it that write there.
    model, submission_id = f"ray-{uuid.uuid4().hex[:6]}", new_id()
    runtime_env = {"pip": ["tinydb==4.8.2"], "env_vars": {"SECRET": "s3"}}
    metadata = {"raylift.model_name": model, "raylift.experiment_name": "ray-cli", "raylift.tag.team": "blue", "own": "kept"}
    said = ray(
        *("submit", "--working-dir", ".", "--submission-id", submission_id, "--runtime-env-json", json.dumps(runtime_env)),
        *("--metadata-json", json.dumps(metadata), "--entrypoint-num-cpus", "0.5", "--", "python", "jobs/train.py", "--n", "1"),
    )
    assert "tinydb 4.8.2 ['--n', '1']" in said, said
    assert f"Job '{submission_id}' succeeded" in said
    info = jobs.get_job_info(submission_id)
    assert (info.status, info.metadata, info.driver_exit_code) == (JobStatus.SUCCEEDED, metadata, 0)
    assert info.runtime_env is not None
    assert info.runtime_env["env_vars"] == {"SECRET": "***"}
    assert info.entrypoint == "python jobs/train.py --n 1"

    assert info.job_id is not None
    job = client.jobs.get(info.job_id)
    assert (job.model_name, job.model_version, job.view.tags) == (model, "1", {"team": "blue"})
    assert (job.view.entrypoint, job.view.environment_lock) == ("jobs/train.py", ["tinydb==4.8.2"])
    assert client.predict(model, [{"age": 25, "visits": 3}], timeout=120).predictions == [0]
    again = job.rerun().wait(timeout=240, progress=False)
    assert again.model_version == "2"
    assert client.jobs.diff(job, again).same
    assert any(listed.submission_id == again.job_id for listed in jobs.list_jobs())


@pytest.mark.nightly
def test_shell_command_is_limited_and_tracked_as_a_script_is(ray: RayCli, client: Client, jobs: JobSubmissionClient) -> None:
    (ray.cwd / "fit.py").write_text(FIT)
    model = f"shell-{uuid.uuid4().hex[:6]}"
    submission_id = jobs.submit_job(
        entrypoint="for n in 2; do python fit.py $n && echo fitted $n in $GREETING; done",
        runtime_env={"working_dir": str(ray.cwd), "env_vars": {"GREETING": "the shell"}},
        metadata={"raylift.model_name": model},
    )
    assert submission_id.startswith("job_")
    said = ray("logs", "--follow", submission_id)
    assert "fitted 2 in the shell" in said, said
    wait_for(jobs, submission_id, JobStatus.SUCCEEDED)
    job = client.jobs.get(submission_id)
    # The shell's Python process is tracked as a script is: autologged, and its model registered.
    assert (job.model_name, job.model_version) == (model, "1"), job.view
    assert job.view.command is not None


@pytest.mark.nightly
def test_shell_command_runs_again_after_its_wrapper_is_killed(client: Client, jobs: JobSubmissionClient) -> None:
    submission_id = jobs.submit_job(entrypoint="echo begun; sleep 4; echo finished")
    while "begun" not in jobs.get_job_logs(submission_id):
        time.sleep(0.1)
    wrapper = [process for process in psutil.process_iter(["cmdline"]) if _runs(process.info["cmdline"], submission_id)]
    assert wrapper
    for process in wrapper:
        process.kill()
    wait_for(jobs, submission_id, JobStatus.SUCCEEDED)
    assert client.jobs.get(submission_id).view.attempt == 2
    assert jobs.get_job_logs(submission_id).splitlines()[-2:] == ["begun", "finished"]


def _runs(command: list[str] | None, job_id: str) -> bool:
    return any(job_id in word for word in command or ()) and "job_entrypoints.train" in " ".join(command or ())


# In CI, the gateway's tests stop waiting jobs over Ray's routes, and one of the wrapper finds the stop file.
@pytest.mark.nightly
def test_waiting_job_is_stopped_before_its_code_starts(ray: RayCli, jobs: JobSubmissionClient) -> None:
    (ray.cwd / "sleeper.py").write_text(SLEEPER)
    (ray.cwd / "marker.py").write_text(f"open({str(ray.cwd / 'started')!r}, 'w').close()\n")
    blocker, waiting = new_id(), new_id()
    cpus = str(os.cpu_count())  # All CPUs that the node has for jobs.
    # The client for the first one: each command takes Ray seconds to start.
    package = {"working_dir": str(ray.cwd)}
    jobs.submit_job(entrypoint="python sleeper.py", submission_id=blocker, runtime_env=package, entrypoint_num_cpus=float(cpus))
    options = ("--no-wait", "--submission-id", waiting, "--working-dir", ".", "--entrypoint-num-cpus", cpus)
    ray("submit", *options, "--", "python", "marker.py")
    wait_for(jobs, blocker, JobStatus.RUNNING)
    info = jobs.get_job_info(waiting)
    assert info.status == JobStatus.PENDING
    assert info.message is not None
    assert "place 1 in the queue" in info.message
    assert "was stopped" in ray("stop", waiting)
    assert "asleep" in ray("logs", blocker)
    assert jobs.stop_job(blocker)
    wait_for(jobs, blocker, JobStatus.STOPPED)
    assert not (ray.cwd / "started").exists()
    assert not jobs.stop_job(blocker)


# In CI, the gateway's tests give Ray's status of a failed job.
@pytest.mark.nightly
def test_failing_script_fails_the_submit_command(ray: RayCli, jobs: JobSubmissionClient) -> None:
    (ray.cwd / "bad.py").write_text("print('before')\nraise SystemExit('no data today')\n")
    submission_id = new_id()
    said = ray("submit", "--submission-id", submission_id, "--working-dir", ".", "--", "python", "bad.py", code=1)
    assert "before" in said
    assert "no data today" in said
    assert f"Job '{submission_id}' failed" in said
    info = jobs.get_job_info(submission_id)
    assert (info.error_type, info.driver_exit_code) == ("JOB_ENTRYPOINT_COMMAND_ERROR", 1)
    assert "script_error" in (info.message or "")
    with pytest.raises(RuntimeError, match="already exists"):
        jobs.submit_job(entrypoint="true", submission_id=submission_id)

    assert submission_id in ray("list")
    assert "deleted successfully" in ray("delete", submission_id)
    assert "does not exist" in ray("status", submission_id, code=1)
    assert submission_id not in {job.submission_id for job in jobs.list_jobs()}


def test_log_is_followed_while_it_grows(ray: RayCli, jobs: JobSubmissionClient) -> None:
    go_on = ray.cwd / "go-on"
    entrypoint = f"echo first; while [ ! -e {go_on} ]; do sleep 0.1; done; echo last"
    submission_id = jobs.submit_job(entrypoint=entrypoint)

    async def follow() -> str:
        told = ""
        async for text in jobs.tail_job_logs(submission_id):
            told += text
            if "first" in told:
                go_on.touch()
        return told

    assert asyncio.run(asyncio.wait_for(follow(), 120)) == "first\nlast\n"
    assert jobs.get_job_logs(submission_id) == "first\nlast\n"
    wait_for(jobs, submission_id, JobStatus.SUCCEEDED)
    assert jobs.delete_job(submission_id)
