"""Machines that Ray's autoscaler can add to the cluster."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from raylift.domain.job import Resources


@dataclass(frozen=True, slots=True)
class NodeType:
    """A kind of machine, as the autoscaler's configuration has it."""

    name: str
    cpus: float
    memory_bytes: int
    gpus: float
    max_nodes: int
    """Machines of this kind at a time."""

    @property
    def resources(self) -> Resources:
        return Resources(self.cpus, self.memory_bytes, self.gpus)


def nodes_to_come(types: Sequence[NodeType], present: Iterable[str]) -> Mapping[str, Resources]:
    """Return the machines that could still come, by made-up ids. ``present``: kinds of the nodes that are there."""
    there = list(present)
    return {
        f"{kind.name} {number}": kind.resources for kind in types for number in range(there.count(kind.name), kind.max_nodes)
    }
