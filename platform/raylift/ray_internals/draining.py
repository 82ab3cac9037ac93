"""Draining of Ray's nodes: GCS's own interface, which `ray drain-node` (hidden) and Serve use.

``python -m raylift.ray_internals.draining GCS_ADDRESS NODE_ADDRESS`` drains a node from its own machine, without a
connection to Ray. It prints the node's id, and nothing where Ray has no such node.
"""

from __future__ import annotations

import sys
from collections.abc import Set
from typing import Any

from ray import _raylet
from ray._private.state import state
from ray.core.generated import autoscaler_pb2

DRAINED = "The node is drained, continue to shut down raylet"
"""A raylet's last word when it ends because it was drained."""
_SECONDS = 10


def drain(gcs_address: str, node_id: str) -> None:
    """Let a node take no new work. Its raylet ends when the node has none. Serve moves the replicas first.

    Raises:
        RuntimeError: GCS refuses or does not answer.
    """
    # Of all reasons only this one is never refused: "idle termination" is, while the node has work.
    reasons: Any = autoscaler_pb2
    reason = reasons.DrainNodeReason.DRAIN_NODE_REASON_PREEMPTION
    accepted, why = _client(gcs_address).drain_node(node_id, reason, "raylift drain", 0, timeout=_SECONDS)
    if not accepted:
        raise RuntimeError(why)


def draining_nodes() -> Set[str]:
    """Return the ids of the draining nodes of the cluster that this process is connected to."""
    found: dict[str, int] = state.get_draining_nodes()
    return found.keys()


def nodes_at(gcs_address: str, address: str) -> list[str]:
    """Return the ids of the live nodes at an address."""
    found: dict[Any, Any] = _client(gcs_address).get_all_node_info(timeout=_SECONDS)
    return [node_id.hex() for node_id, info in found.items() if info.node_manager_address == address and _is_alive(info)]


def _is_alive(info: Any) -> bool:
    return info.state == 0


def _client(gcs_address: str) -> Any:
    compiled: Any = _raylet
    return compiled.GcsClient(address=gcs_address)


if __name__ == "__main__":
    for found in nodes_at(sys.argv[1], sys.argv[2]):
        drain(sys.argv[1], found)
        sys.stdout.write(f"{found}\n")
