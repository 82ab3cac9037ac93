"""Reads the nodes of the Ray cluster that this process is connected to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final, cast

import ray

from raylift.domain.errors import EngineUnavailable

_HEAD: Final = "node:__internal_head__"
"""Resource that marks Ray's head node."""


@dataclass(frozen=True, slots=True)
class NodeResources:
    """Total resources of one live node for jobs."""

    node_id: str
    cpus: float
    memory_bytes: int
    gpus: float


class Cluster:
    """The live nodes of the cluster this process is connected to.

    Args:
        serving_reserve_cpus: Logical CPUs of the head that jobs never get, so that replicas can start while jobs fill the
            machine.
    """

    def __init__(self, serving_reserve_cpus: float = 0.0) -> None:
        self._reserve = serving_reserve_cpus

    def nodes(self) -> list[NodeResources]:
        """Live nodes, the largest first.

        Raises:
            EngineUnavailable: This process is not connected to a cluster, or the head does not answer.
        """
        try:
            listed = cast("list[dict[str, Any]]", ray.nodes())
        except Exception as error:  # Ray raises bare RuntimeError, ConnectionError and its own kinds here.
            raise EngineUnavailable(f"Ray does not list its nodes: {error}") from error
        found = [_node(item, self._reserve) for item in listed if item.get("Alive")]
        return sorted(found, key=lambda node: (node.cpus, node.memory_bytes, node.gpus), reverse=True)

    def ping(self) -> None:
        """Raise EngineUnavailable unless at least one node is alive."""
        if not self.nodes():
            raise EngineUnavailable("Ray has no live node")


def _node(item: dict[str, Any], reserve: float) -> NodeResources:
    resources: dict[str, float] = item.get("Resources") or {}
    reserved = reserve if _HEAD in resources else 0.0
    return NodeResources(
        node_id=str(item["NodeID"]),
        cpus=max(0.0, float(resources.get("CPU", 0.0)) - reserved),
        memory_bytes=int(resources.get("memory", 0)),
        gpus=float(resources.get("GPU", 0.0)),
    )
