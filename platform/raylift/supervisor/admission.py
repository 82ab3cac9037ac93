"""Which waiting jobs may start now. A pure function: Raylift admits, Ray schedules."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raylift.domain.job import Job, Resources


@dataclass(slots=True)
class _Room:
    """What is left of one node."""

    cpus: float
    memory_bytes: float
    gpus: float

    def holds(self, wanted: Resources) -> bool:
        # A millionth of a CPU: sums of tenths are not exact.
        return wanted.cpus <= self.cpus + 1e-6 and wanted.memory_bytes <= self.memory_bytes and wanted.gpus <= self.gpus + 1e-6

    def take(self, wanted: Resources) -> None:
        self.cpus -= wanted.cpus
        self.memory_bytes -= wanted.memory_bytes
        self.gpus -= wanted.gpus


def admit(
    waiting: Sequence[Job], active: Iterable[Job], nodes: Sequence[Resources], *, starting: int, max_starting: int
) -> list[Job]:
    """The waiting jobs that the cluster can hold now, in the order they were given.

    Args:
        waiting: queued jobs, the most deserving first.
        active: jobs that hold resources already.
        nodes: what each node has for jobs in total (the serving reserve taken off).
        starting: how many of the active jobs are still on their way into Ray.
        max_starting: how many may be on their way at a time.

    The first job that does not fit gets a reservation: the node that can hold it and has most room is set aside, so that
    smaller jobs behind it may use the others but cannot starve it. A job that no node could ever hold reserves nothing.
    """
    rooms = [_Room(node.cpus, node.memory_bytes, node.gpus) for node in nodes]
    for job in sorted(active, key=_size, reverse=True):
        _place(job.spec.resources, rooms)
    admitted: list[Job] = []
    reserved = False
    for job in waiting:
        if starting + len(admitted) >= max_starting:
            break
        wanted = job.spec.resources
        room = _tightest(wanted, rooms)
        if room is not None:
            room.take(wanted)
            admitted.append(job)
        elif not reserved:
            reserved = _reserve(wanted, nodes, rooms)
    return admitted


def can_ever_hold(wanted: Resources, nodes: Iterable[Resources]) -> bool:
    """Whether some node, empty, could hold the request."""
    return any(_Room(node.cpus, node.memory_bytes, node.gpus).holds(wanted) for node in nodes)


def _size(job: Job) -> tuple[float, float, float]:
    wanted = job.spec.resources
    return (wanted.gpus, wanted.cpus, wanted.memory_bytes)


def _tightest(wanted: Resources, rooms: list[_Room]) -> _Room | None:
    fitting = [room for room in rooms if room.holds(wanted)]
    return min(fitting, key=lambda room: (room.gpus, room.cpus, room.memory_bytes), default=None)


def _place(wanted: Resources, rooms: list[_Room]) -> None:
    """Take a running job's share from the node it most likely sits on; never fails, since it does run somewhere."""
    room = _tightest(wanted, rooms) or max(rooms, key=lambda room: room.cpus, default=None)
    if room is not None:
        room.take(wanted)


def _reserve(wanted: Resources, nodes: Sequence[Resources], rooms: list[_Room]) -> bool:
    """Set the roomiest node that could ever hold the job aside for it. False when there is none."""
    able = [room for node, room in zip(nodes, rooms, strict=True) if can_ever_hold(wanted, [node])]
    if not able:
        return False
    able.sort(key=lambda room: (room.cpus, room.memory_bytes), reverse=True)
    rooms.remove(able[0])
    return True
