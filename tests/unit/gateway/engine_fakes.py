"""Fakes of the engines behind ``raylift.services.ports``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime

from raylift.domain.errors import EngineUnavailable, ModelNotFound, VersionNotFound
from raylift.domain.models.run_history import RunHistory
from raylift.domain.models.version import ModelSignature, ModelVersion, RegisteredModel
from raylift.domain.nodes.gangs import Place
from raylift.domain.nodes.labels import NodeState

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True)
class FakeNode:
    cpus: float = 4.0
    memory_bytes: int = 8 * 2**30
    gpus: float = 0.0
    node_id: str = "a" * 56
    name: str = "box"
    is_head: bool = True
    reserved_cpus: float = 1.0
    address: str = "127.0.0.1"
    node_type: str = ""
    state: NodeState = NodeState.READY


@dataclass
class FakeCluster:
    members: list[FakeNode] = field(default_factory=lambda: [FakeNode()])
    down: bool = False
    looked: int = 0
    placed: dict[str, Place] = field(default_factory=dict[str, Place])

    def gangs(self) -> dict[str, Place]:
        self.ping()
        return self.placed

    def nodes(self) -> list[FakeNode]:
        return [node for node in self.all_nodes() if node.state is NodeState.READY]

    def all_nodes(self) -> list[FakeNode]:
        self.looked += 1
        self.ping()
        return self.members

    def drain(self, node_id: str) -> None:
        self.members = [replace(node, state=NodeState.DRAINING) if node.node_id == node_id else node for node in self.members]

    def ping(self) -> None:
        if self.down:
            raise EngineUnavailable("Ray is away")


@dataclass
class FakeRegistry:
    registered: dict[str, dict[str, ModelVersion]] = field(default_factory=dict)
    aliases: dict[tuple[str, str], str] = field(default_factory=dict)
    signatures: dict[tuple[str, str], ModelSignature] = field(default_factory=dict)
    histories: dict[str, RunHistory] = field(default_factory=dict)
    down: bool = False
    asked: int = 0

    def register(self, name: str, version: str, **fields: object) -> ModelVersion:
        made = ModelVersion(name, version, **{"created_at": LONG_AGO, "source": f"models:/m-{version}"} | fields)  # pyright: ignore[reportArgumentType]
        self.registered.setdefault(name, {})[version] = made
        return made

    def models(self) -> list[RegisteredModel]:
        self.ping()
        return [self.model(name) for name in sorted(self.registered)]

    def model(self, name: str) -> RegisteredModel:
        self.asked += 1
        self.ping()
        if name not in self.registered:
            raise ModelNotFound(f"No model is registered as {name!r}.", model_name=name)
        versions = self.registered[name]
        aliases = {alias: version for (model, alias), version in self.aliases.items() if model == name}
        return RegisteredModel(name, LONG_AGO, aliases=aliases, latest_version=max(versions, key=int, default=None))

    def versions(self, name: str) -> list[ModelVersion]:
        self.ping()
        return sorted(self.registered.get(name, {}).values(), key=lambda version: int(version.version), reverse=True)

    def version(self, name: str, version: str) -> ModelVersion:
        self.model(name)
        found = self.registered[name].get(version)
        if found is None:
            raise VersionNotFound(f"no version {version}", model_name=name, versions=list(self.registered[name]))
        return found

    def signature(self, version: ModelVersion) -> ModelSignature:
        self.asked += 1
        self.ping()
        return self.signatures.get((version.name, version.version), ModelSignature())

    def run_history(
        self, job_id: str, *, workspace: str, run_id: str | None, experiment: str, names: Sequence[str], points: int
    ) -> RunHistory | None:
        self.ping()
        found = self.histories.get(job_id)
        if found is None:
            return None
        metrics = {name: curve[:points] for name, curve in found.metrics.items() if not names or name in names}
        return replace(found, metrics=metrics)

    def version_of_alias(self, name: str, alias: str) -> str:
        self.model(name)
        if (name, alias) not in self.aliases:
            raise VersionNotFound(f"no alias {alias}", model_name=name, versions=list(self.registered[name]))
        return self.aliases[name, alias]

    def set_alias(self, name: str, alias: str, version: str) -> None:
        self.version(name, version)
        self.aliases[name, alias] = version

    def delete_alias(self, name: str, alias: str) -> None:
        self.model(name)
        self.aliases.pop((name, alias), None)

    def ping(self) -> None:
        if self.down:
            raise EngineUnavailable("MLflow is away")
