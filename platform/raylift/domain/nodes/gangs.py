"""Places of a job on nodes: one for its script, and one for each of its workers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from raylift.domain.job import Resources, Workers, WorkerStrategy
from raylift.domain.nodes.fit import TOLERANCE, Room, fits


@dataclass(frozen=True, slots=True)
class Place:
    """Ids of the nodes that hold a job."""

    script: str
    workers: tuple[str, ...] = ()
    """The node of each worker."""

    def shares(self, wanted: Resources) -> dict[str, Resources]:
        """Return what the job holds on each node."""
        found = {self.script: Resources(wanted.cpus, wanted.memory_bytes, wanted.gpus)}
        if wanted.workers is not None:
            for node in self.workers:
                held, its = found.get(node) or Resources(0.0, 0, 0.0), wanted.workers
                found[node] = Resources(held.cpus + its.cpus, held.memory_bytes + its.memory_bytes, held.gpus + its.gpus)
        return found


def place_gang(wanted: Resources, rooms: Mapping[str, Room]) -> Place | None:
    """Return places for the script and all workers; None where the nodes cannot hold all of them.

    The workers are equal. So only the node of the script has to be chosen, and the answer is exact.
    """
    workers = wanted.workers
    if workers is None:
        raise ValueError("a job without workers is no gang")
    counts = {node: count for node, room in rooms.items() if (count := _count(workers, room))}
    total = sum(counts.values())
    if total < workers.count:
        return None
    best: tuple[tuple[float, ...], str, int] | None = None
    for node, room in rooms.items():
        if not fits(wanted, room):
            continue
        beside = _count(workers, _without(room, wanted))
        lost = counts.get(node, 0) - beside
        if total - lost < workers.count:
            continue
        # A script without GPUs avoids the nodes that have some, unless its workers are there.
        tight = (0.0 if wanted.gpus or workers.gpus else room.gpus, room.cpus, room.memory_bytes)
        key = (-beside, *tight) if workers.strategy is WorkerStrategy.PACK else (lost, *tight)
        if best is None or (key, node) < best[:2]:
            best = (key, node, beside)
    if best is None:
        return None
    script, beside = best[1:]
    counts[script] = beside
    return Place(
        script, _spread(workers, counts) if workers.strategy is WorkerStrategy.SPREAD else _pack(workers, counts, script)
    )


def nodes_for_gang(wanted: Resources, nodes: Mapping[str, Room], order: Iterable[str]) -> list[str] | None:
    """Return the first nodes in ``order`` that could hold the gang when empty; None where all together could not."""
    chosen: dict[str, Room] = {}
    for node in order:
        room = nodes[node]
        if wanted.workers is not None and (fits(wanted, room) or _count(wanted.workers, room)):
            chosen[node] = room
            if place_gang(wanted, chosen) is not None:
                return list(chosen)
    return None


def _count(workers: Workers, room: Room) -> int:
    """Return the number of workers that the room holds, up to all."""
    most = workers.count
    if workers.cpus:
        most = min(most, math.floor((room.cpus + TOLERANCE) / workers.cpus))
    if workers.memory_bytes:
        most = min(most, math.floor(room.memory_bytes / workers.memory_bytes))
    if workers.gpus:
        most = min(most, math.floor((room.gpus + TOLERANCE) / workers.gpus))
    return max(most, 0)


def _without(room: Room, wanted: Resources) -> Resources:
    return Resources(room.cpus - wanted.cpus, int(room.memory_bytes - wanted.memory_bytes), room.gpus - wanted.gpus)


def _pack(workers: Workers, counts: Mapping[str, int], first: str) -> tuple[str, ...]:
    order = sorted(counts, key=lambda node: (node != first, -counts[node], node))
    return tuple([node for node in order for _ in range(counts[node])][: workers.count])


def _spread(workers: Workers, counts: Mapping[str, int]) -> tuple[str, ...]:
    order = sorted(counts, key=lambda node: (-counts[node], node))
    rounds = range(max(counts.values(), default=0))
    return tuple([node for turn in rounds for node in order if counts[node] > turn][: workers.count])
