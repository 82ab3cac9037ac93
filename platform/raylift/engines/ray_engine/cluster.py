"""Reads the nodes of the Ray cluster that this process is connected to."""

from __future__ import annotations

from collections import Counter
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
    name: str = ""
    """Name of its machine. Nodes on one machine also have their id in it."""
    is_head: bool = False
    reserved_cpus: float = 0.0
    """CPUs that jobs never get."""


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
        alive = [item for item in listed if item.get("Alive")]
        machines = Counter(item.get("NodeManagerHostname") for item in alive)
        found = [_node(item, self._reserve, shared=machines[item.get("NodeManagerHostname")] > 1) for item in alive]
        return sorted(found, key=lambda node: (node.cpus, node.memory_bytes, node.gpus), reverse=True)

    def ping(self) -> None:
        """Raise EngineUnavailable unless at least one node is alive."""
        if not self.nodes():
            raise EngineUnavailable("Ray has no live node")


def _node(item: dict[str, Any], reserve: float, *, shared: bool) -> NodeResources:
    resources: dict[str, float] = item.get("Resources") or {}
    is_head = _HEAD in resources
    cpus, reserved = float(resources.get("CPU", 0.0)), reserve if is_head else 0.0
    node_id, machine = str(item["NodeID"]), str(item.get("NodeManagerHostname") or item["NodeID"])
    return NodeResources(
        node_id=node_id,
        name=f"{machine} ({node_id[:8]})" if shared else machine,
        is_head=is_head,
        reserved_cpus=min(reserved, cpus),
        cpus=max(0.0, cpus - reserved),
        memory_bytes=int(resources.get("memory", 0)),
        gpus=float(resources.get("GPU", 0.0)),
    )
