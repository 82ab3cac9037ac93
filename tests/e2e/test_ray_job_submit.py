"""Ray's command line with the address of Ray's dashboard: the job is adopted, its model registered and deployed."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import uuid
from pathlib import Path

import pytest

from raylift import Client, Job, NotFound
from raylift.launcher.local_platform import LocalPlatform

SCRIPT = """
import pathlib, sys
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
print("beside me:", pathlib.Path("beside.txt").read_text(), sys.argv[1:])
LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
"""


def ray(platform: LocalPlatform, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("ray")), "job", *words]
    environment = {**os.environ, "RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0"}
    environment["RAY_AUTH_TOKEN_PATH"] = str(platform.record.ray_token_file)
    environment["RAY_ADDRESS"] = platform.record.ray_dashboard_url
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=100, check=False)


def adopted(client: Client, submission_id: str) -> Job:
    end = time.monotonic() + 60
    while True:
        try:
            return client.jobs.get(f"job_{submission_id}")
        except NotFound:
            assert time.monotonic() < end, "the supervisor did not adopt the job"
            time.sleep(0.5)


def test_job_submitted_directly_to_ray_is_adopted(platform: LocalPlatform, tmp_path: Path) -> None:
    name = f"by-ray-{uuid.uuid4().hex[:6]}"
    (tmp_path / "my_model.py").write_text(SCRIPT)
    (tmp_path / "beside.txt").write_text("data")
    entrypoint = ["python", "-m", "job_entrypoints.train", "--script", "my_model.py", "--model", name, "--experiment", "by-ray"]
    submission = f"raysubmit_{uuid.uuid4().hex[:10]}"
    done = ray(platform, "submit", "--submission-id", submission, "--working-dir", ".", "--", *entrypoint, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "beside me: data" in done.stdout
    with Client(platform.url, timeout=120) as client:
        job = adopted(client, submission).wait(120, progress=False)
        assert (job.model_name, job.model_version) == (name, "1")
        assert "beside me: data" in job.logs()
        assert client.predict(name, [[5.1, 3.5, 1.4, 0.2]]).predictions == [0]
        assert [version.lineage.job_id for version in client.models.get(name).versions] == [job.job_id]


@pytest.mark.nightly
def test_adopted_job_can_be_cancelled(platform: LocalPlatform, tmp_path: Path) -> None:
    (tmp_path / "sleeper.py").write_text("import time\nprint('asleep', flush=True)\ntime.sleep(300)\n")
    submission = f"raysubmit_{uuid.uuid4().hex[:10]}"
    entrypoint = ["python", "-m", "job_entrypoints.train", "--script", "sleeper.py", "--experiment", "by-ray"]
    done = ray(
        platform, "submit", "--no-wait", "--submission-id", submission, "--working-dir", ".", "--", *entrypoint, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout + done.stderr
    with Client(platform.url) as client:
        job = adopted(client, submission)
        job.cancel()
        job.wait(60, progress=False, raise_on_failure=False)
        assert job.status == "cancelled"
    # Ray reports it a moment later. Its status depends on which process ended the wrapper first.
    end = time.monotonic() + 30
    while "RUNNING" in (said := ray(platform, "status", submission, cwd=tmp_path).stdout):
        assert time.monotonic() < end, said
    assert "STOPPED" in said.upper() or "FAILED" in said, said
