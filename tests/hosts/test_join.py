"""Machines join a platform, do its work and leave it. Each is a namespace of this machine (machines.py), so this needs root."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.hosts.machines import Machine, Network

pytestmark = [pytest.mark.nightly, pytest.mark.timeout(1200)]

REPOSITORY = Path(__file__).resolve().parents[2]
SETTINGS = """
resources: {cpus: 1}
serving: {max_replicas: 1}
jobs: {contact_seconds: 20}
"""
"""One CPU for jobs on the first machine, and one for replicas: a larger job and a second large replica run elsewhere."""
HOLD = """
import platform, time
print("began on", platform.node(), flush=True)
time.sleep(10)
print("ended on", platform.node(), flush=True)
"""
MODEL = """
import mlflow
import pandas as pd

class Where(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        import platform
        return [platform.node()] * len(model_input)

mlflow.pyfunc.log_model(name="model", python_model=Where(), input_example=pd.DataFrame({"n": [1]}), pip_requirements=[])
"""


class Platform:
    """The command line on several machines."""

    def __init__(self, first: Machine, folder: Path) -> None:
        self.first, self.folder, self.state = first, folder, folder / "state"
        self.url = f"http://{first.address}:8000"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "PYTHONPATH": f"{REPOSITORY / 'platform'}:{REPOSITORY}",
            "HOME": str(folder),
            "RAYLIFT_URL": self.url,
        }

    def on(self, machine: Machine, *arguments: str, ok: bool = True) -> Any:
        return machine.run("raylift", *arguments, ok=ok, env=self.environment, timeout=600)

    def json(self, *arguments: str) -> Any:
        return json.loads(self.on(self.first, "--output", "json", *arguments).stdout)

    def start(self) -> None:
        (self.folder / "settings.yaml").write_text(SETTINGS, encoding="utf-8")
        options = ("--host", self.first.address, "--accept-nodes", "--auth", "keys", "--config", f"{self.folder}/settings.yaml")
        self.on(self.first, "up", "--state-dir", str(self.state), *options)
        self.environment["RAYLIFT_API_KEY"] = json.loads((self.state / "admin-key.json").read_text(encoding="utf-8"))["key"]
        self.environment["RAYLIFT_JOIN_TOKEN"] = (self.state / "join-token").read_text(encoding="ascii")

    def states(self) -> dict[str, str]:
        return {node["name"]: node["state"] for node in self.json("nodes")["nodes"]}

    def train(self, script: str, *options: str) -> str:
        path = self.folder / "script.py"
        path.write_text(script, encoding="utf-8")
        return self.json("train", str(path), "--experiment", "nodes", "--no-autolog", *options)["job_id"]

    def job(self, job_id: str) -> Any:
        return self.json("jobs", "show", job_id)

    def log(self, job_id: str) -> str:
        return self.on(self.first, "jobs", "logs", job_id).stdout

    def where(self) -> str:
        """Predict, and return the name of the machine that answered."""
        answer = self.json("predict", "where", "--inputs", '[{"n": 1}]')
        return answer["predictions"][0]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder outside of /tmp, which machines have for themselves."""
    made = Path(tempfile.mkdtemp(prefix="raylift-hosts-", dir="/var/tmp"))
    yield made
    shutil.rmtree(made)


@contextmanager
def machines(folder: Path, count: int) -> Iterator[list[Machine]]:
    """Machines on one network. Nothing is shared: all but the first have an empty directory at the place of the platform's."""
    kept = [str(REPOSITORY)] if REPOSITORY.is_relative_to("/tmp") else []
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        private = [[], *[[f"{folder}/state"]] * (count - 1)]
        yield [
            stack.enter_context(Machine(network, number, kept=kept, private=own)) for number, own in enumerate(private, start=1)
        ]


def patiently(done: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(1)


def test_machines_join_work_and_leave(folder: Path) -> None:
    with machines(folder, 3) as (first, second, third):
        platform = Platform(first, folder)
        platform.start()

        refused = platform.on(second, "join", platform.url, "--token", "rlj_wrong", ok=False)
        assert (refused.returncode, "not the join token" in refused.stderr) == (1, True)
        assert platform.states() == {"m1": "ready"}
        platform.on(second, "join", platform.url)
        assert "joined already" in platform.on(second, "join", platform.url).stderr
        assert platform.states() == {"m1": "ready", "m2": "ready"}
        job_runs_to_its_end_on_a_drained_machine(platform, second)

        platform.on(third, "join", platform.url)
        replicas_serve_and_move(platform, third)
        platform.on(first, "down", "--state-dir", str(platform.state))


def job_runs_to_its_end_on_a_drained_machine(platform: Platform, second: Machine) -> None:
    job_id = platform.train(HOLD, "--cpus", "2", "--memory", "256MiB")
    patiently(lambda: "began on m2" in platform.log(job_id))
    platform.on(platform.first, "drain", "m2", "--no-wait")
    assert platform.states()["m2"] == "draining"
    patiently(lambda: platform.job(job_id)["status"] == "completed")
    assert platform.job(job_id)["attempt"] == 1
    assert "ended on m2" in platform.log(job_id)
    patiently(lambda: platform.states() == {"m1": "ready"})
    assert "Left" in platform.on(second, "leave").stderr
    assert "joined no platform" in platform.on(second, "leave", ok=False).stderr


def replicas_serve_and_move(platform: Platform, third: Machine) -> None:
    job_id = platform.train(MODEL, "--cpus", "1", "--memory", "1GiB", "--model", "where")
    patiently(lambda: platform.job(job_id)["status"] == "completed")
    deployment = ("deployments", "set", "where", "1", "--cpus", "1.5", "--max-replicas", "2")
    platform.on(platform.first, *deployment, "--min-replicas", "2")
    patiently(lambda: {platform.where() for _ in range(4)} == {"m1", "m3"})
    platform.on(platform.first, *deployment, "--min-replicas", "1", "--max-replicas", "1")
    platform.on(third, "leave")
    assert {platform.where() for _ in range(4)} == {"m1"}
    assert platform.states() == {"m1": "ready"}


def test_script_ends_before_it_runs_again_after_a_pulled_cable(folder: Path) -> None:
    with machines(folder, 2) as (first, second):
        platform = Platform(first, folder)
        platform.start()
        platform.on(second, "join", platform.url)
        job_id = platform.train(HOLD.replace("sleep(10)", "sleep(3600)"), "--cpus", "2", "--memory", "256MiB")
        patiently(lambda: "began on m2" in platform.log(job_id))
        assert scripts_on(second) > 0
        second.pull_cable()
        patiently(lambda: platform.job(job_id)["status"] == "queued")
        assert scripts_on(second) == 0
        assert platform.job(job_id)["attempt"] == 2
        assert "m2 was out of contact" in json.dumps(platform.json("jobs", "events", job_id))
        platform.on(first, "down", "--state-dir", str(platform.state))


def scripts_on(machine: Machine) -> int:
    """Count the processes of users' scripts."""
    return len(machine.run("pgrep", "-f", "job_entrypoints/script/runner.py", ok=False).stdout.split())
