"""What the cluster could hold if it were empty. Requests that no node could ever hold are refused at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from raylift.domain.errors import EngineUnavailable
from raylift.domain.quantities import format_bytes
from raylift.services.ports import Cluster, Node

_LOG: Final = logging.getLogger(__name__)
_FRESH_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Why a request fits no node. ``resource`` is the one that is short on the node that comes closest."""

    resource: str
    detail: str


class Capacity:
    """The nodes of the cluster, looked up at most every few seconds."""

    def __init__(self, cluster: Cluster, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._monotonic = monotonic
        self._nodes: Sequence[Node] = ()
        self._looked_at = float("-inf")

    def shortfall(self, *, cpus: float, memory_bytes: int, gpus: float = 0.0) -> Shortfall | None:
        """None when some node could hold all three together.

        When the cluster cannot be asked, everything is feasible: an upload is not lost because Ray restarts.
        """
        nodes = self._known_nodes()
        wanted = {"cpus": cpus, "memory": float(memory_bytes), "gpus": gpus}
        misses = [_short_of(node, wanted) for node in nodes]
        if not nodes or not all(misses):
            return None
        node = max(nodes, key=lambda node: (-len(_short_of(node, wanted)), node.cpus, node.memory_bytes, node.gpus))
        resource = _short_of(node, wanted)[0]
        return Shortfall(resource, _explain(node, resource, cpus, memory_bytes, gpus))

    def has_gpus(self) -> bool:
        """True where a node has one, and while no node is known."""
        nodes = self._known_nodes()
        return not nodes or any(node.gpus for node in nodes)

    def _known_nodes(self) -> Sequence[Node]:
        now = self._monotonic()
        if now - self._looked_at > _FRESH_SECONDS:
            try:
                self._nodes = self._cluster.nodes()
            except EngineUnavailable as error:
                _LOG.warning("The cluster's nodes are not known now, the last known ones are used: %s", error)
            self._looked_at = now
        return self._nodes


def _short_of(node: Node, wanted: dict[str, float]) -> list[str]:
    has = {"cpus": node.cpus, "memory": node.memory_bytes, "gpus": node.gpus}
    return [resource for resource, amount in wanted.items() if has[resource] + 1e-6 < amount]


def _explain(node: Node, resource: str, cpus: float, memory_bytes: int, gpus: float) -> str:
    asked = {"cpus": f"{cpus:g} CPUs", "memory": format_bytes(memory_bytes), "gpus": f"{gpus:g} GPUs"}[resource]
    has = f"{node.cpus:g} CPUs, {format_bytes(node.memory_bytes)} of memory and {node.gpus:g} GPUs"
    return f"no node of the cluster could ever hold {asked}: the largest has {has} for jobs"
