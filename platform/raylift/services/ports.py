"""Interfaces of the clock and the engines that services need. ``raylift.engines`` implements them; tests have fakes."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

from raylift.domain.models.run_history import RunHistory
from raylift.domain.models.version import ModelSignature, ModelVersion, RegisteredModel
from raylift.domain.nodes.gangs import Place
from raylift.domain.nodes.labels import NodeState

Clock = Callable[[], datetime]


def utc_now() -> datetime:
    return datetime.now(UTC)


class Pingable(Protocol):
    def ping(self) -> None:
        """Raises EngineUnavailable when the engine does not answer."""
        ...


class Registry(Pingable, Protocol):
    """The model registry. Every method raises EngineUnavailable when it does not answer."""

    def models(self) -> list[RegisteredModel]: ...

    def model(self, name: str) -> RegisteredModel:
        """Raises ModelNotFound."""
        ...

    def versions(self, name: str) -> list[ModelVersion]:
        """Return the versions, newest first; none for an unknown model."""
        ...

    def version(self, name: str, version: str) -> ModelVersion:
        """Raises ModelNotFound, or VersionNotFound with the existing versions."""
        ...

    def signature(self, version: ModelVersion) -> ModelSignature:
        """Return the inputs of a version, as its files describe them. Starts no process."""
        ...

    def run_history(
        self, job_id: str, *, workspace: str, run_id: str | None, experiment: str, names: Sequence[str], points: int
    ) -> RunHistory | None:
        """Return parameters and metric curves of a job's run; None where it has no run yet."""
        ...

    def version_of_alias(self, name: str, alias: str) -> str:
        """Raises ModelNotFound or VersionNotFound."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Raises ModelNotFound or VersionNotFound."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """Delete an alias. A missing one is no error."""
        ...


class Node(Protocol):
    """Total resources for jobs of one live node."""

    @property
    def node_id(self) -> str: ...

    @property
    def name(self) -> str:
        """Name of its machine. Nodes on one machine also have their id in it."""
        ...

    @property
    def is_head(self) -> bool: ...

    @property
    def reserved_cpus(self) -> float:
        """CPUs that jobs never get."""
        ...

    @property
    def cpus(self) -> float: ...

    @property
    def memory_bytes(self) -> int: ...

    @property
    def gpus(self) -> float: ...

    @property
    def address(self) -> str: ...

    @property
    def node_type(self) -> str:
        """Kind of machine in the autoscaler's configuration; empty for others."""
        ...

    @property
    def state(self) -> NodeState: ...


class Cluster(Pingable, Protocol):
    """The nodes. Every method raises EngineUnavailable when Ray does not answer."""

    def nodes(self) -> Sequence[Node]:
        """Return the live nodes that take work."""
        ...

    def all_nodes(self) -> Sequence[Node]:
        """Return all live nodes."""
        ...

    def gangs(self) -> Mapping[str, Place]:
        """Return the places of jobs with workers, by submission id."""
        ...

    def drain(self, node_id: str) -> None:
        """Let a node take no new work, and leave when it has none."""
        ...
