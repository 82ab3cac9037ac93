"""Reads the nodes of the Ray cluster that this process is connected to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Set
from dataclasses import dataclass
from typing import Any, Final, cast

import ray

from raylift.domain.errors import EngineUnavailable
from raylift.domain.nodes.gangs import Place
from raylift.domain.nodes.labels import NODE_LABEL, NodeState
from raylift.engines.ray_engine.groups import PlacementGroups
from raylift.ray_internals.draining import drain, draining_nodes

_HEAD: Final = "node:__internal_head__"
"""Resource that marks Ray's head node."""
_NODE_TYPE: Final = "ray.io/node-group"
"""Label with the kind of machine of a node that Ray's autoscaler has started."""


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
    address: str = ""
    node_type: str = ""
    """Kind of machine in the configuration of Ray's autoscaler, which has started it."""
    state: NodeState = NodeState.READY


class Cluster:
    """The live nodes of the cluster this process is connected to.

    Args:
        label: Label of prepared nodes; None: every node is prepared.
        serving_reserve_cpus: Logical CPUs of the head that jobs never get, so that replicas can start while jobs fill the
            machine.
    """

    def __init__(self, serving_reserve_cpus: float = 0.0, label: str | None = None) -> None:
        self._reserve = serving_reserve_cpus
        self._label = label

    def nodes(self) -> list[NodeResources]:
        """Live nodes that take work, the largest first.

        Raises:
            EngineUnavailable: This process is not connected to a cluster, or the head does not answer.
        """
        return [node for node in self.all_nodes() if node.state is NodeState.READY]

    def all_nodes(self) -> list[NodeResources]:
        """Live nodes, the largest first, also those that take no work.

        Raises:
            EngineUnavailable: This process is not connected to a cluster, or the head does not answer.
        """
        try:
            listed = cast("list[dict[str, Any]]", ray.nodes())
            # Nodes of a platform for one machine never drain.
            draining = draining_nodes() if self._label is not None else frozenset[str]()
        except Exception as error:  # Ray raises bare RuntimeError, ConnectionError and its own kinds here.
            raise EngineUnavailable(f"Ray does not list its nodes: {error}") from error
        alive = [item for item in listed if item.get("Alive")]
        machines = Counter(item.get("NodeManagerHostname") for item in alive)
        found = [
            _node(
                item,
                self._reserve,
                shared=machines[item.get("NodeManagerHostname")] > 1,
                state=self._state(item, draining),
            )
            for item in alive
        ]
        return sorted(found, key=lambda node: (node.cpus, node.memory_bytes, node.gpus), reverse=True)

    def gangs(self) -> dict[str, Place]:
        """Return the places of jobs with workers, by submission id.

        Raises:
            EngineUnavailable: Ray does not answer.
        """
        return {name: group.place for name, group in PlacementGroups().all().items() if group.place is not None}

    def drain(self, node_id: str) -> None:
        """Let a node take no new work, and leave when it has none. A draining one stays so.

        Raises:
            EngineUnavailable: Ray does not answer.
        """
        try:
            drain(ray.get_runtime_context().gcs_address, node_id)
        except Exception as error:  # As above.
            raise EngineUnavailable(f"Ray does not drain node {node_id}: {error}") from error

    def _state(self, item: dict[str, Any], draining: Set[str]) -> NodeState:
        if self._label is not None and (item.get("Labels") or {}).get(NODE_LABEL) != self._label:
            return NodeState.NOT_PREPARED
        return NodeState.DRAINING if item["NodeID"] in draining else NodeState.READY

    def ping(self) -> None:
        """Raise EngineUnavailable unless at least one node is alive."""
        if not self.nodes():
            raise EngineUnavailable("Ray has no live node")


def _node(item: dict[str, Any], reserve: float, *, shared: bool, state: NodeState) -> NodeResources:
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
        address=str(item.get("NodeManagerAddress") or ""),
        node_type=str((item.get("Labels") or {}).get(_NODE_TYPE) or ""),
        state=state,
    )
