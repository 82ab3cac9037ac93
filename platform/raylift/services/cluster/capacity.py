"""Total capacity of the cluster's nodes, so that a request that no node could ever hold is refused at once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from raylift.domain.errors import EngineUnavailable
from raylift.domain.job import Resources
from raylift.domain.listing import listed
from raylift.domain.nodes.fit import fits, shortages
from raylift.domain.nodes.gangs import Place, place_gang
from raylift.domain.nodes.labels import NodeState
from raylift.domain.nodes.node_types import NodeType, nodes_to_come
from raylift.domain.quantities import format_amounts, format_bytes
from raylift.domain.quota import sum_of
from raylift.services.ports import Cluster, Node

_LOG: Final = logging.getLogger(__name__)
_CACHE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Reason why a request fits no node. ``resource`` is the one that the closest node has too little of."""

    resource: str
    detail: str


class Capacity:
    """List of the live nodes, at most five seconds old."""

    def __init__(
        self, cluster: Cluster, node_types: Sequence[NodeType] = (), *, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._cluster = cluster
        self._node_types = node_types
        self._monotonic = monotonic
        self._nodes: Sequence[Node] = ()
        self._read_at = float("-inf")

    def refusal(self, wanted: Resources) -> Shortfall | None:
        """Return None when an empty node could hold the request, or one that Ray's autoscaler could add."""
        missing = self.shortfall(wanted)
        if missing is None or not self._node_types:
            return missing
        if self._coming(wanted):
            return None
        kinds = listed([f"{kind.name} ({_amounts(kind.resources)}, at most {kind.max_nodes})" for kind in self._node_types])
        return Shortfall(missing.resource, f"{missing.detail}, nor can Ray's autoscaler add what is missing: {kinds}")

    def wait_for_node(self, wanted: Resources) -> str | None:
        """Say which node a waiting job needs that is not there; None when an empty node could hold it."""
        missing = self.shortfall(wanted)
        if missing is None:
            return None
        kinds = listed(self._coming(wanted))
        then = f"Ray's autoscaler is asked for one: {kinds}" if kinds else "It goes on when one joins that can hold it"
        return f"It waits for another node: {missing.detail}. {then}."

    def _coming(self, wanted: Resources) -> list[str]:
        """Return the kinds of machines that Ray's autoscaler could add for a request that no present node could hold."""
        nodes = self.nodes()
        further = nodes_to_come(self._node_types, [node.node_type for node in self.all_nodes()])
        if wanted.workers is None:
            able = [name for name, room in further.items() if fits(wanted, room)]
        else:
            place = place_gang(wanted, {**{node.node_id: node for node in nodes}, **further})
            able = [] if place is None else [name for name in {place.script, *place.workers} if name in further]
        return sorted({name.rpartition(" ")[0] for name in able})

    def shortfall(self, wanted: Resources) -> Shortfall | None:
        """Return None when an empty node could hold the request, and while no node is known.

        An upload is not lost because Ray restarts.
        """
        nodes = self.nodes()
        if wanted.workers is not None and nodes:
            return _shortfall_of_gang(wanted, nodes)
        missing = {index: shortages(wanted, node) for index, node in enumerate(nodes)}
        if not nodes or not all(missing.values()):
            return None
        closest = max(missing, key=lambda i: (-len(missing[i]), nodes[i].cpus, nodes[i].memory_bytes, nodes[i].gpus))
        resource = missing[closest][0]
        return Shortfall(resource, _explain(nodes[closest], resource, wanted))

    def has_gpus(self) -> bool:
        """Return True where a node has a GPU, and while no node is known."""
        nodes = self.nodes()
        return not nodes or any(node.gpus for node in nodes)

    def nodes(self) -> Sequence[Node]:
        """Return the live nodes that take work, the largest first; those of the last answer while Ray gives none."""
        return [node for node in self.all_nodes() if node.state is NodeState.READY]

    def gangs(self) -> Mapping[str, Place]:
        """Return the places of jobs with workers, by submission id; none while Ray does not answer."""
        try:
            return self._cluster.gangs()
        except EngineUnavailable as error:
            _LOG.warning("The placement groups cannot be read: %s", error)
            return {}

    def all_nodes(self) -> Sequence[Node]:
        """Return all live nodes, as ``nodes`` does."""
        now = self._monotonic()
        if now - self._read_at > _CACHE_SECONDS:
            try:
                self._nodes = self._cluster.all_nodes()
            except EngineUnavailable as error:
                _LOG.warning("The list of nodes cannot be read; the last one is used: %s", error)
            self._read_at = now
        return self._nodes


def _amounts(wanted: Resources) -> str:
    return format_amounts(wanted.cpus, wanted.memory_bytes, wanted.gpus)


def _shortfall_of_gang(wanted: Resources, nodes: Sequence[Node]) -> Shortfall | None:
    if place_gang(wanted, {node.node_id: node for node in nodes}) is not None:
        return None
    its = wanted.workers
    if its is None:
        raise ValueError("a job without workers is no gang")
    script = format_amounts(wanted.cpus, wanted.memory_bytes, wanted.gpus)
    worker = format_amounts(its.cpus, its.memory_bytes, its.gpus)
    have = "the node has" if len(nodes) == 1 else f"the {len(nodes)} nodes have together"
    total = sum_of(Resources(node.cpus, node.memory_bytes, node.gpus) for node in nodes)
    detail = (
        f"the cluster could never hold the script ({script}) and {its.count} workers ({worker} each) at the same time: "
        f"{have} {format_amounts(total.cpus, total.memory_bytes, total.gpus)} for jobs"
    )
    return Shortfall("workers", detail)


def _explain(node: Node, resource: str, wanted: Resources) -> str:
    asked = {
        "cpus": f"{wanted.cpus:g} CPUs",
        "memory": format_bytes(wanted.memory_bytes),
        "gpus": f"{wanted.gpus:g} GPUs",
    }[resource]
    has = f"{node.cpus:g} CPUs, {format_bytes(node.memory_bytes)} of memory and {node.gpus:g} GPUs"
    return f"no node of the cluster could ever hold {asked}: the largest has {has} for jobs"
