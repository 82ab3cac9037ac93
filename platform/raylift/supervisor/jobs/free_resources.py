"""Free resources of the cluster's nodes, as one decision of admission takes them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import Final

from raylift.domain.job import Job, Resources
from raylift.domain.nodes.fit import TOLERANCE, fits, fits_some, largest
from raylift.domain.nodes.gangs import Place, nodes_for_gang, place_gang

_NO_RESOURCES: Final = Resources(0.0, 0, 0.0)


@dataclass(slots=True)
class _Room:
    """Free resources of one node. Negative while a job waits in Ray for resources that others hold."""

    cpus: float
    memory_bytes: float
    gpus: float

    @property
    def is_overdrawn(self) -> bool:
        return not fits(_NO_RESOURCES, self)

    def take(self, wanted: Resources) -> None:
        self.cpus -= wanted.cpus
        self.memory_bytes -= wanted.memory_bytes
        self.gpus -= wanted.gpus


class FreeResources:
    """Nodes by id, with their free resources. They only shrink: what has not fitted once does not fit later."""

    def __init__(self, active: Iterable[Job], nodes: Mapping[str, Resources], places: Mapping[str, Place]) -> None:
        self._nodes = dict(nodes)
        self._largest_nodes = largest(nodes.values())
        self._refused: list[Resources] = []
        """Requests that no node has room for. None of them is at least as large as another."""
        self._holds_gang: dict[Resources, bool] = {}
        """Answers of ``could_hold`` for jobs with workers."""
        self._rooms = {node_id: _Room(node.cpus, node.memory_bytes, node.gpus) for node_id, node in nodes.items()}
        adrift: list[Job] = []
        rooms = self._rooms
        for job in active:  # Ten thousands of them: no calls here.
            place, wanted = places.get(job.job_id), job.spec.resources
            if place is None:
                adrift.append(job)
            elif wanted.workers is not None:
                self._take(place, wanted)
            elif (room := rooms.get(place.script)) is not None:  # Else the node has left the cluster, with the job.
                room.cpus -= wanted.cpus
                room.memory_bytes -= wanted.memory_bytes
                if wanted.gpus:
                    room.gpus -= wanted.gpus
        for job in sorted(adrift, key=_size, reverse=True):
            self._place(job.spec.resources)

    def copy(self) -> FreeResources:
        """Return the same free resources for another decision."""
        twin = copy(self)
        twin._rooms = {node_id: _Room(room.cpus, room.memory_bytes, room.gpus) for node_id, room in self._rooms.items()}
        twin._refused = list(self._refused)
        return twin

    def take(self, wanted: Resources) -> Place | None:
        """Use the fitting node with the least room, or nodes that hold a whole gang; None where none fit."""
        if self._was_refused(wanted):
            return None
        if wanted.workers is not None:
            place = place_gang(wanted, self._rooms)
            if place is not None:
                self._take(place, wanted)
                return place
        elif (chosen := self._tightest(wanted)) is not None:
            self._rooms[chosen].take(wanted)
            return Place(chosen)
        self._refuse(wanted)
        return None

    def have_none_for(self, wanted: Resources) -> bool:
        """Return True where no node has room for the request, which has no workers."""
        if self._was_refused(wanted):
            return True
        if fits_some(wanted, self._rooms.values()):
            return False
        self._refuse(wanted)
        return True

    def could_hold(self, wanted: Resources) -> bool:
        """Return True where an empty node, or for a gang empty nodes, could hold the request."""
        if wanted.workers is None:
            return fits_some(wanted, self._largest_nodes)
        if wanted not in self._holds_gang:
            self._holds_gang[wanted] = place_gang(wanted, self._nodes) is not None
        return self._holds_gang[wanted]

    def reserve(self, wanted: Resources) -> tuple[str, ...]:
        """Set aside the node with most room of those that could hold the job when empty, and return its id.

        There must be one. A node that is set aside only empties, and another replaces it only with even more room: so the job
        fits in the end. For a gang as many nodes are set aside as it needs.
        """

        def room_of(node_id: str) -> tuple[float, float, float]:
            room = self._rooms[node_id]
            # A job without GPUs avoids the nodes that have some, busy or not.
            return (room.gpus if with_gpus else -self._nodes[node_id].gpus, room.cpus, room.memory_bytes)

        with_gpus = wanted.whole.gpus > 0
        if wanted.workers is None:
            able = [node_id for node_id in self._rooms if fits(wanted, self._nodes[node_id])]
            chosen = [max(able, key=room_of)]
        else:
            order = sorted(self._rooms, key=room_of, reverse=True)
            chosen = nodes_for_gang(wanted, self._nodes, order) or order
        for node_id in chosen:
            del self._rooms[node_id]
        return tuple(chosen)

    def overfull(self) -> frozenset[str]:
        return frozenset(node_id for node_id, room in self._rooms.items() if room.is_overdrawn)

    def left(self) -> list[Resources]:
        """Return the free resources of nodes that are not set aside and have both CPUs and memory left."""
        rooms = [Resources(max(r.cpus, 0.0), int(r.memory_bytes), max(r.gpus, 0.0)) for r in self._rooms.values()]
        return [room for room in rooms if room.cpus > TOLERANCE and room.memory_bytes > 0]

    def _take(self, place: Place, wanted: Resources) -> None:
        """Take the job's resources from its nodes. One that has left the cluster has taken its part with it."""
        for node, share in place.shares(wanted).items():
            if (room := self._rooms.get(node)) is not None:
                room.take(share)

    def _was_refused(self, wanted: Resources) -> bool:
        return any(_is_within(small, wanted) for small in self._refused)

    def _refuse(self, wanted: Resources) -> None:
        self._refused = [*(large for large in self._refused if not _is_within(wanted, large)), wanted]

    def _tightest(self, wanted: Resources) -> str | None:
        # The rule of ``fits`` without a call for each node.
        cpus, memory, gpus = wanted.cpus - TOLERANCE, wanted.memory_bytes, wanted.gpus - TOLERANCE
        fitting = [
            (room.gpus, room.cpus, room.memory_bytes, node)
            for node, room in self._rooms.items()
            if room.cpus >= cpus and room.memory_bytes >= memory and room.gpus >= gpus
        ]
        return min(fitting)[-1] if fitting else None

    def _place(self, wanted: Resources) -> None:
        """Take the resources of a running job from the node that it most likely runs on. Never fails: it runs somewhere."""
        if wanted.workers is not None and (place := place_gang(wanted, self._rooms)) is not None:
            self._take(place, wanted)
            return
        whole = wanted.whole
        chosen = self._tightest(whole) or max(self._rooms, key=lambda node: self._rooms[node].cpus, default=None)
        if chosen is not None:
            self._rooms[chosen].take(whole)


def _is_within(small: Resources, large: Resources) -> bool:
    if not (small.cpus <= large.cpus and small.memory_bytes <= large.memory_bytes and small.gpus <= large.gpus):
        return False
    if small.workers is None:
        return True
    few, many = small.workers, large.workers
    if many is None or few.count > many.count:
        return False
    return few.cpus <= many.cpus and few.memory_bytes <= many.memory_bytes and few.gpus <= many.gpus


def _size(job: Job) -> tuple[float, float, float]:
    wanted = job.spec.resources.whole
    return (wanted.gpus, wanted.cpus, wanted.memory_bytes)
