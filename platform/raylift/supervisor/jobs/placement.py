"""Where admitted jobs run, and which node is set aside: what admission knows beyond the store. All of it may be lost."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from raylift.domain.job import Job, Resources
from raylift.supervisor.jobs.admission import Decision, can_ever_hold
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot


class Placement:
    """Ray says where a job runs once it does; until then it is where admission took it to go."""

    def __init__(self) -> None:
        self._assumed: dict[str, str] = {}
        self._just_decided: Mapping[str, str] = {}
        self._set_aside: frozenset[str] = frozenset()
        self._nodes: Mapping[str, Resources] = {}

    def places(self, active: Iterable[Job], snapshot: RaySnapshot) -> Mapping[str, str]:
        """Node ids by the ids of active jobs, as far as they are known."""
        found: dict[str, str] = {}
        for job in active:
            seen = snapshot.jobs.get(job.submission_id) if job.submission_id else None
            node = (seen.node_id if seen else None) or self._assumed.get(job.job_id)
            if node is not None:
                found[job.job_id] = node
        return found

    def follow(self, places: Mapping[str, str], decision: Decision, nodes: Mapping[str, Resources]) -> None:
        """Remember what was decided, on top of the places and nodes that it was decided by; what is over is forgotten."""
        # The last decision's jobs may be on their way: no longer waiting, and not seen as active yet.
        self._assumed = {**self._just_decided, **places, **decision.placed}
        self._just_decided = decision.placed
        self._set_aside = decision.set_aside
        self._nodes = nodes

    def to_avoid(self, job_id: str, wanted: Resources) -> list[str]:
        """The nodes that this job is not to be started on: those that are set aside for others, and those too small for it.

        Ray sees more on the head than jobs may have of it: what is kept for serving.
        """
        place = self._assumed.get(job_id)
        # One that counts there already was admitted before, and may have room nowhere else; so may one that nobody knows of.
        avoided = self._set_aside - {place} if place is not None else frozenset[str]()
        too_small = {node_id for node_id, node in self._nodes.items() if not can_ever_hold(wanted, [node])}
        return sorted(avoided | too_small) if len(too_small) < len(self._nodes) else sorted(avoided)
