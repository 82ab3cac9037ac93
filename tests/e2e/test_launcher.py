"""`raylift up`, `status`, `doctor` and `down` as a user runs them, on real engines."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest

from raylift import Client
from raylift.domain.job import JobStatus
from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import listeners_of, processes_of
from raylift.launcher.run.record import read_record
from raylift.ray_internals.start import SETUP_WORKER
from tests.e2e.conftest import ARITHMETIC

FREE_PORTS = ("--port", "0", "--dashboard-port", "0", "--mlflow-port", "0")
RAYLIFT = str(Path(sys.executable).with_name("raylift"))
LOOPBACK = {"127.0.0.1", "::1", "::ffff:127.0.0.1"}


def raylift(*arguments: str, timeout: float = 300) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith(("RAYLIFT", "RAY_"))}
    return subprocess.run(
        [RAYLIFT, *arguments],
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
        env=environment,
        stdin=subprocess.DEVNULL,
    )


@pytest.fixture(scope="module")
def other_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The state directory of a second platform, besides the shared one."""
    state_dir = tmp_path_factory.mktemp("other")
    yield state_dir
    found = LocalPlatform.find(state_dir)
    if found is not None:
        found.stop()


def test_all_ports_listen_on_the_loopback_interface_only(platform: LocalPlatform) -> None:
    elsewhere = [listener for listener in listeners_of(platform.record.instance) if listener[0] not in LOOPBACK]
    assert not elsewhere


def test_second_up_finds_the_running_platform(platform: LocalPlatform) -> None:
    done = raylift("up", "--state-dir", str(platform.record.state_dir))
    assert done.returncode == 0
    assert "Already running" in done.stderr
    assert platform.url in done.stdout


def test_status_shows_every_part(platform: LocalPlatform) -> None:
    done = raylift("status", "--state-dir", str(platform.record.state_dir), "--output", "json")
    assert done.returncode == 0, done.stdout
    shown: dict[str, Any] = json.loads(done.stdout)
    named = {part["name"] for part in shown["components"]}
    assert named == {"store", "mlflow", "ray", "ingress", "gateway", "supervisor", "grpc"}
    assert shown["healthy"] is True
    assert set(shown["jobs"]) == {"queued", "running", "completed", "failed", "cancelled"}


def test_doctor_accepts_the_running_platform(platform: LocalPlatform) -> None:
    done = raylift("doctor", "--state-dir", str(platform.record.state_dir))
    assert done.returncode == 0, done.stdout
    assert "held by the platform that runs" in done.stdout


def test_public_pages_answer(platform: LocalPlatform) -> None:
    pages = [url for name, url in platform.urls.items() if name != "grpc"]
    for url in (*pages, f"{platform.url}/readyz", f"{platform.url}/openapi.json"):
        answer = httpx.get(url, follow_redirects=True, trust_env=False, timeout=30)
        assert answer.status_code == 200, f"{url}: {answer.status_code}"


def test_jobs_inherit_no_secret(platform: LocalPlatform) -> None:
    head = psutil.Process(platform.record.pids["raylet"]).environ()
    assert head["RAYLIFT_INSTANCE"] == platform.record.instance
    named = {name for name in head if "DATABASE" in name or "SECRET" in name or "TOKEN" in name}
    assert named == {"RAY_AUTH_TOKEN_PATH"}
    assert platform.record.ray_token_file.stat().st_mode & 0o777 == 0o600


def test_strangers_are_refused(platform: LocalPlatform) -> None:
    jobs = f"{platform.record.ray_dashboard_url}/api/jobs/"
    assert httpx.get(jobs, trust_env=False, timeout=30).status_code == 401
    token = platform.record.ray_token_file.read_text(encoding="ascii")
    assert httpx.get(jobs, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=30).status_code == 200
    for path in ("/mlops/training/jobs", "/v2/models/none/versions/1", "/-/healthz"):
        answer = httpx.get(f"{platform.url}{path}", headers={"Host": "evil.example"}, trust_env=False, timeout=30)
        assert (answer.status_code, answer.json()["code"]) == (403, "host_refused")


WHAT_IS_SET = """
import os, mlflow

class Setting(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return [os.environ.get("MKL_CBWR")] * len(model_input)

print("the script has", os.environ.get("MKL_CBWR"))
mlflow.pyfunc.log_model(name="model", python_model=Setting())
"""


def test_numerical_settings_reach_jobs_replicas_and_warm_processes(platform: LocalPlatform, client: Client) -> None:
    name, value = ARITHMETIC
    overridden = client.train(script_content=WHAT_IS_SET, env={name: "AVX2"})
    job = client.train(script_content=WHAT_IS_SET, model="setting").wait(timeout=300)
    assert f"the script has {value}" in job.logs()
    assert client.predict("setting", [[1.0]]).predictions == [value]
    until(lambda: bool(commands(platform, "ServeReplica:setting")))
    for command in ("ServeReplica:setting", "serve_apps.warm_pool.fork_server"):
        assert {process.environ()[name] for process in commands(platform, command)} == {value}, command
    assert "the script has AVX2" in overridden.wait(timeout=300).logs()


def commands(platform: LocalPlatform, words: str) -> list[psutil.Process]:
    return [process for process in processes_of(platform.record.instance) if words in " ".join(process.cmdline())]


def test_raylet_starts_platform_workers_with_our_setup_worker(platform: LocalPlatform) -> None:
    command = " ".join(psutil.Process(platform.record.pids["raylet"]).cmdline())
    assert f" {SETUP_WORKER} " in command


def test_taken_port_is_reported_before_anything_starts(other_state: Path) -> None:
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        port = taken.getsockname()[1]
        done = raylift("up", "--state-dir", str(other_state), *FREE_PORTS[2:], "--port", str(port))
    assert done.returncode == 1
    assert f"Port {port} is taken: the API wants it, and process {os.getpid()}" in done.stderr
    assert read_record(other_state) is None


def test_interrupted_start_leaves_no_process(other_state: Path) -> None:
    with subprocess.Popen(
        [RAYLIFT, "up", "--state-dir", str(other_state), *FREE_PORTS],
        stderr=subprocess.PIPE,
        text=True,
    ) as starting:
        record = None
        while record is None or not processes_of(record.instance):
            time.sleep(0.1)
            record = read_record(other_state)
        starting.send_signal(signal.SIGINT)
        starting.wait(timeout=120)
    assert starting.returncode == 130
    assert not processes_of(record.instance)
    assert read_record(other_state) is None
    assert not record.session_dir.exists()


MODEL_SCRIPT = """
from sklearn.linear_model import LogisticRegression
LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
"""
SAVING_SCRIPT = """
import os, pathlib, signal, sys, time

def save(*_):
    pathlib.Path(os.environ["SAVE_TO"]).write_text("saved")
    sys.exit(1)

signal.signal(signal.SIGTERM, save)
time.sleep(600)
"""


@pytest.mark.nightly
def test_second_platform_is_killed_and_resumes_beside_the_first(
    platform: LocalPlatform, other_state: Path, tmp_path: Path
) -> None:
    """Start a second platform, kill it during a job, start it again with its state, and stop it. The first is not affected."""
    second = up(other_state)
    assert not [listener for listener in listeners_of(second["instance"]) if listener[0] not in LOOPBACK]
    with Client(second["urls"]["api"]) as client:
        client.train(script_content=MODEL_SCRIPT, model="resumed").wait(timeout=300)
        saved = tmp_path / "saved"
        job_id = client.train(
            script_content=SAVING_SCRIPT, experiment="saving", env={"SAVE_TO": str(saved)}, isolation="cluster"
        ).job_id
        until(lambda: client.jobs.get(job_id).status is JobStatus.RUNNING)

    for component in ("raylet", "mlflow"):
        psutil.Process(second["pids"][component]).kill()
    half_dead = raylift("status", "--state-dir", str(other_state))
    assert half_dead.returncode == 1
    assert "dead" in half_dead.stdout

    third = up(other_state)
    assert third["instance"] != second["instance"]
    assert not processes_of(second["instance"])
    with Client(third["urls"]["api"]) as client:
        assert client.predict("resumed", [[0.0], [3.0]]).predictions == [0, 1]
        until(lambda: (job := client.jobs.get(job_id)).status is JobStatus.RUNNING and job.view.attempt == 2)

    stopped = raylift("down", "--state-dir", str(other_state))
    assert stopped.returncode == 0
    assert "Stopped" in stopped.stderr
    assert not processes_of(third["instance"])
    assert not Path(third["session_dir"]).exists()
    assert saved.read_text(encoding="ascii") == "saved"
    assert raylift("status", "--state-dir", str(other_state)).returncode == 1

    assert httpx.get(f"{platform.url}/readyz", trust_env=False).status_code == 200


def up(state_dir: Path) -> dict[str, Any]:
    started = raylift("up", "--state-dir", str(state_dir), *FREE_PORTS, "--output", "json")
    assert started.returncode == 0, started.stderr
    return json.loads(started.stdout)


def until(condition: Callable[[], bool], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.2)
