"""What the services need of the engines. ``raylift.engines`` has the real ones, the tests have fakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from raylift.domain.model_version import ModelVersion, RegisteredModel


class Pingable(Protocol):
    def ping(self) -> None:
        """Raise EngineUnavailable when it does not answer."""
        ...


class Registry(Pingable, Protocol):
    """The model registry. Every method raises EngineUnavailable when it does not answer."""

    def models(self) -> list[RegisteredModel]: ...

    def model(self, name: str) -> RegisteredModel:
        """Raises ModelNotFound."""
        ...

    def versions(self, name: str) -> list[ModelVersion]:
        """Newest first; empty for a model that is not there."""
        ...

    def version(self, name: str, version: str) -> ModelVersion:
        """Raises ModelNotFound, or VersionNotFound with the versions there are."""
        ...

    def version_of_alias(self, name: str, alias: str) -> str:
        """Raises ModelNotFound or VersionNotFound."""
        ...

    def set_alias(self, name: str, alias: str, version: str) -> None:
        """Raises ModelNotFound or VersionNotFound."""
        ...

    def delete_alias(self, name: str, alias: str) -> None:
        """An alias that is gone already is no error."""
        ...


class Node(Protocol):
    """What one live node has for jobs, were it empty."""

    @property
    def cpus(self) -> float: ...

    @property
    def memory_bytes(self) -> int: ...

    @property
    def gpus(self) -> float: ...


class Cluster(Pingable, Protocol):
    def nodes(self) -> Sequence[Node]:
        """The live nodes. Raises EngineUnavailable."""
        ...
