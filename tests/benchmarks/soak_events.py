"""Random events on the platform during the soak test."""

from __future__ import annotations

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import mlflow
import psutil
from soak_models import SoakModel
from soak_requests import ALIAS

from raylift import Client, RayliftError
from raylift.domain.models.deployment import ANSWERING
from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

Note = Callable[[str], None]


@dataclass
class Events:
    platform: LocalPlatform
    client: Client
    models: list[SoakModel]
    chance: random.Random
    note: Note
    """Log of the changes, with names and numbers, to find the cause of a failure."""
    done: Counter[str] = field(default_factory=Counter[str])
    _killed: Counter[str] = field(default_factory=Counter[str])

    def happen(self) -> None:
        """Make one event. The platform may refuse it if another one is in its way."""
        model = self.chance.choice(self.models)
        event, name = self.chance.choice(_EVENTS)
        try:
            told = event(self, model)
        except RayliftError as error:
            self.done[f"{name}: refused"] += 1
            self.note(f"{name}, {model.name}: refused: {error}")
            return
        if told is not None:
            self.done[name] += 1
            self.note(f"{name}, {model.name}: {told}")

    def register(self, model: SoakModel) -> str | None:
        """Register the next version. Requests name it once it answers."""
        if model.registered == len(model.artifacts):
            return None
        artifact = model.artifacts[model.registered]
        made = mlflow.MlflowClient().create_model_version(model.name, artifact.model_uri, model_id=artifact.model_id)
        model.registered += 1
        return f"version {made.version}"

    def look(self) -> None:
        """Let requests name the versions that answer by now."""
        for row in self.client.deployments.list():
            for model in self.models:
                if row.model_name == model.name and row.status in ANSWERING and row.model_version not in model.answering:
                    model.answering.append(row.model_version)
                    self.note(f"{model.name} version {row.model_version} answers")

    def split(self, model: SoakModel) -> str:
        versions = self.chance.sample(model.answering, min(2, len(model.answering)))
        weights: dict[str | int, float] = {version: self.chance.choice([1, 5, 10]) for version in versions}
        if self.chance.random() < 0.3:
            weights[ALIAS] = 5
        self.client.traffic.set(model.name, weights)
        return str(weights)

    def unsplit(self, model: SoakModel) -> str:
        self.client.traffic.delete(model.name)
        return "no table"

    def roll_back(self, model: SoakModel) -> str:
        return f"revision {self.client.traffic.rollback(model.name).revision}"

    def move_alias(self, model: SoakModel) -> str:
        version = self.chance.choice(model.answering)
        self.client.models.set_alias(model.name, ALIAS, version)
        return version

    def move_alias_in_mlflow(self, model: SoakModel) -> str:
        version = self.chance.choice(model.answering)
        mlflow.MlflowClient().set_registered_model_alias(model.name, ALIAS, version)
        return version

    def kill_replica(self, model: SoakModel) -> str | None:
        return self._kill("ServeReplica:", lambda line: "ServeReplica:gateway" not in line)

    def kill_warm_processes(self, model: SoakModel) -> str | None:
        return self._kill("serve_apps.warm_pool.fork_server", lambda _: True)

    def scale(self, model: SoakModel) -> str:
        version, least = self.chance.choice(model.answering), self.chance.choice([0, 1, 2])
        self.client.deployments.put(model.name, version, min_replicas=least, max_replicas=2)
        return f"version {version}, at least {least}"

    def change_cpus(self, model: SoakModel) -> str:
        version, cpus = self.chance.choice(model.answering), self.chance.choice([0.05, 0.1, 0.15])
        self.client.deployments.put(model.name, version, cpus=cpus)
        return f"version {version}, {cpus} CPUs"

    def change_batching(self, model: SoakModel) -> str:
        version, rows = self.chance.choice(model.answering), self.chance.choice([2, 16, 64])
        self.client.deployments.put(model.name, version, batching={"max_rows": rows, "wait_ms": 1})
        return f"version {version}, {rows} rows"

    def _kill(self, mark: str, condition: Callable[[str], bool]) -> str | None:
        """Send SIGKILL to one process of the platform whose command line has the mark."""
        found: list[tuple[psutil.Process, str]] = []
        for process in processes_of(self.platform.record.instance):
            try:
                line = " ".join(process.cmdline())
            except (psutil.NoSuchProcess, psutil.AccessDenied):
                continue
            if mark in line and condition(line):
                found.append((process, line))
        if not found:
            return None
        # Kills rotate over the versions: a version whose processes die repeatedly is rightly taken down.
        process, line = min(found, key=lambda one: (self._killed[one[1]], self.chance.random()))
        self._killed[line] += 1
        process.send_signal(signal.SIGKILL)
        return f"{process.pid} {line[:60]}"


_EVENTS: tuple[tuple[Callable[[Events, SoakModel], str | None], str], ...] = (
    (Events.register, "version deployed"),
    (Events.register, "version deployed"),
    (Events.split, "traffic divided"),
    (Events.split, "traffic divided"),
    (Events.unsplit, "traffic table deleted"),
    (Events.roll_back, "traffic rolled back"),
    (Events.move_alias, "alias moved"),
    (Events.move_alias_in_mlflow, "alias moved in MLflow"),
    (Events.kill_replica, "replica killed"),
    (Events.kill_replica, "replica killed"),
    (Events.kill_warm_processes, "warm process killed"),
    (Events.scale, "scaled"),
    (Events.change_cpus, "processes replaced"),
    (Events.change_batching, "batching changed"),
)


def begin(events: Events, versions: int, *, seconds: float) -> None:
    """Register the first versions of each model, point each alias at the first, and wait until they answer.

    Raises:
        SystemExit: A version does not answer.
    """
    registry = mlflow.MlflowClient()
    for model in events.models:
        registry.create_registered_model(model.name)
        for _ in range(versions):
            events.register(model)
    until = time.monotonic() + seconds
    while any(len(model.answering) < versions for model in events.models):
        if time.monotonic() > until:
            raise SystemExit(f"not all versions answer: {[(model.name, model.answering) for model in events.models]}")
        events.look()
        time.sleep(0.5)
    for model in events.models:
        events.client.models.set_alias(model.name, ALIAS, "1")
