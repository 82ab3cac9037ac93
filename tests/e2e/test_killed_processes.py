"""``kill -9`` of the supervisor and of the gateway while jobs run: no job is lost and no version is registered twice."""

from __future__ import annotations

import threading
import time
import uuid

import psutil
import pytest

from raylift import Client, RayliftError
from raylift.launcher.local_platform import LocalPlatform

SCRIPT = """
import time
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
time.sleep(2)
LogisticRegression(max_iter=500).fit(*load_iris(return_X_y=True))
"""

JOBS = 6
KILLS = 3


def processes(platform: LocalPlatform, title: str) -> list[psutil.Process]:
    return [process for process in platform.processes() if title in command_line(process)]


def command_line(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:  # A zombie counts as dead: it was killed, but its exit code has not been collected.
        return ""


def kill(platform: LocalPlatform, title: str) -> int:
    """Send SIGKILL to the process with this title. Waits for it first, since it may be starting."""
    end = time.monotonic() + 60
    while not (victims := processes(platform, title)):
        assert time.monotonic() < end, f"no {title} came back"
        time.sleep(0.2)
    for victim in victims:
        victim.kill()
    return len(victims)


@pytest.mark.nightly
def test_killed_supervisor_and_gateway_lose_and_double_nothing(platform: LocalPlatform) -> None:
    suffix = uuid.uuid4().hex[:6]
    names = [f"kill-{number}-{suffix}" for number in range(JOBS)]
    acknowledged: dict[str, str] = {}

    def hand_in() -> None:
        # The idempotency key makes it one job, however often the connection breaks during the upload.
        for name in names:
            while name not in acknowledged:
                try:
                    with Client(platform.url) as client:
                        job = client.train(
                            script_content=SCRIPT,
                            model=name,
                            experiment="killed",
                            cpus=0.5,
                            memory="512MiB",
                            deploy=False,
                            idempotency_key=name,
                        )
                        acknowledged[name] = job.job_id
                except RayliftError:
                    time.sleep(0.5)

    upload = threading.Thread(target=hand_in)
    upload.start()
    for _ in range(KILLS):
        time.sleep(4)
        assert kill(platform, "ray::SupervisorActor") == 1
        assert kill(platform, "ServeReplica:gateway") >= 1
    upload.join(120)
    assert sorted(acknowledged) == sorted(names)

    with Client(platform.url, timeout=60) as client:
        for name, job_id in acknowledged.items():
            job = client.jobs.get(job_id).wait(240, progress=False, raise_on_failure=False)
            assert job.status == "completed", (name, job.reason, job.message, job.logs()[-1000:])
            versions = client.models.get(name).versions
            assert [version.model_version for version in versions] == ["1"]
            assert versions[0].lineage.job_id == job_id
            finals = [event for event in job.events() if event.after in {"completed", "failed", "cancelled"}]
            assert len(finals) == 1
        handed_in = [job for job in client.jobs.list(experiment="killed") if job.model_name in names]
        assert len(handed_in) == JOBS
