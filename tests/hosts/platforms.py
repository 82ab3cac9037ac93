"""A platform on several machines, through its command line and its addresses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.hosts.machines import Machine, Network

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
time.sleep(30)
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
        self.address = first.address
        self.url = f"http://{first.address}:8000"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:{os.defpath}",
            "PYTHONPATH": f"{REPOSITORY / 'platform'}:{REPOSITORY}",
            "HOME": str(folder),
            "RAYLIFT_URL": self.url,
        }

    def on(self, machine: Machine, *arguments: str, ok: bool = True) -> Any:
        return machine.run("raylift", *arguments, ok=ok, env=self.environment, timeout=600)

    def join(self, machine: Machine, *options: str) -> None:
        """Let a machine join, in a few tries."""
        patiently(lambda: self.on(machine, "join", self.url, *options, ok=False).returncode == 0, 600)

    def worker(self, machine: Machine, output: Path) -> subprocess.Popen[str]:
        """Start ``raylift node worker`` there, with its output in a file."""
        with output.open("w") as file:
            return machine.start(
                *("raylift", "node", "worker", self.url, "--grace", "120"),
                env=self.environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    def json(self, *arguments: str) -> Any:
        return json.loads(self.on(self.first, "--output", "json", *arguments).stdout)

    def start(self, *, tls: tuple[Path, Path, Path] | None = None, more: str = "") -> None:
        """Start it on the first machine.

        Args:
            tls: certificate, key, and the authority that callers trust.
            more: further sections of the configuration.
        """
        settings = SETTINGS + more
        if tls is not None:
            certificate, key, authority = tls
            settings += f"gateway: {{tls: {{cert: {certificate}, key: {key}}}}}\n"
            self.url = f"https://{self.first.address}:8000"
            self.environment |= {"RAYLIFT_URL": self.url, "RAYLIFT_CA": str(authority)}
        (self.folder / "settings.yaml").write_text(settings, encoding="utf-8")
        self.up(self.first)
        self.environment["RAYLIFT_API_KEY"] = json.loads((self.state / "admin-key.json").read_text(encoding="utf-8"))["key"]
        self.environment["RAYLIFT_JOIN_TOKEN"] = (self.state / "join-token").read_text(encoding="ascii")

    def up(self, machine: Machine) -> None:
        """Start the head there, at its address of always, in a few tries: a busy machine is too slow for Ray's half minute."""
        options = ("--host", self.address, "--accept-nodes", "--auth", "keys", "--config", f"{self.folder}/settings.yaml")
        up = ("up", "--state-dir", str(self.state), *options)
        patiently(lambda: self.on(machine, *up, ok=False).returncode == 0, 600)

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

    def ask(self, node: Machine, path: str, *curl: str, key: str | None = None, by: Machine | None = None) -> tuple[int, str]:
        """Ask the API at a node's address, from the first machine or ``by``. Returns status and body; 0: nothing listens."""
        key = self.environment["RAYLIFT_API_KEY"] if key is None else key
        ca = self.environment.get("RAYLIFT_CA")
        trusted = ("--cacert", ca) if ca else ()
        command = ("curl", *trusted, "-s", "-m", "60", "-w", "\\n%{http_code}", "-H", f"Authorization: Bearer {key}", *curl)
        asked = (by or self.first).run(*command, f"{self.url.partition(':')[0]}://{node.address}:8000{path}", ok=False)
        body, _, status = asked.stdout.rpartition("\n")
        return int(status), body


@contextmanager
def machines(folder: Path, count: int, *, heads: int = 1) -> Iterator[list[Machine]]:
    """Machines on one network. All but the first ``heads`` have an empty directory at the place of the platform's."""
    kept = [str(REPOSITORY)] if REPOSITORY.is_relative_to("/tmp") else []
    with ExitStack() as stack:
        network = stack.enter_context(Network())
        private = [*[[]] * heads, *[[f"{folder}/state"]] * (count - heads)]
        yield [
            stack.enter_context(Machine(network, number, kept=kept, private=own)) for number, own in enumerate(private, start=1)
        ]


def patiently(done: Callable[[], bool], seconds: float = 240) -> None:
    end = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < end
        time.sleep(1)
