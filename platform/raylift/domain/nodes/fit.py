"""Fit of a request for CPUs, memory and GPUs on a node. ``store/statements/queue.py`` has the same rule in SQL."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from raylift.domain.job import Resources

TOLERANCE: Final = 1e-6
"""CPUs or GPUs that a request may exceed a node by: sums of tenths are not exact."""


class Room(Protocol):
    """Resources of a node: all of them, or those that are left."""

    @property
    def cpus(self) -> float: ...

    @property
    def memory_bytes(self) -> float: ...

    @property
    def gpus(self) -> float: ...


def fits(wanted: Resources, room: Room) -> bool:
    """Return True where one node has all that is wanted."""
    has_processors = wanted.cpus <= room.cpus + TOLERANCE and wanted.gpus <= room.gpus + TOLERANCE
    return has_processors and wanted.memory_bytes <= room.memory_bytes


def fits_some(wanted: Resources, rooms: Iterable[Room]) -> bool:
    """Return True where at least one of the nodes has all that is wanted."""
    return any(fits(wanted, room) for room in rooms)


def largest(nodes: Iterable[Resources]) -> list[Resources]:
    """Return the nodes that no other has at least as much as in everything. What fits a node fits one of these."""
    found: list[Resources] = []
    for node in sorted(set(nodes), key=lambda node: (node.cpus, node.memory_bytes, node.gpus), reverse=True):
        # Each that is found already has as many CPUs.
        if not any(one.memory_bytes >= node.memory_bytes and one.gpus >= node.gpus for one in found):
            found.append(node)
    return found


def shortages(wanted: Resources, room: Room) -> list[str]:
    """Return the resources that the node has too little of: ``cpus``, ``memory``, ``gpus``. Empty where it fits."""
    parts = {
        "cpus": Resources(wanted.cpus, 0),
        "memory": Resources(0.0, wanted.memory_bytes),
        "gpus": Resources(0.0, 0, wanted.gpus),
    }
    return [name for name, part in parts.items() if not fits(part, room)]
