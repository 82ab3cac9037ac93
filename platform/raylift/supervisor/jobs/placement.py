"""Nodes of admitted jobs, and the node that is set aside. Kept in memory only: all of it may be lost."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from raylift.domain.job import Job, Resources
from raylift.domain.nodes.fit import fits
from raylift.domain.nodes.gangs import Place
from raylift.supervisor.jobs.admission import Decision
from raylift.supervisor.jobs.ray_snapshot import RaySnapshot

_AVOIDED_SECONDS: Final = 600.0
"""Time for which jobs avoid a node that could not run one. It may be mended without a restart."""


class Placement:
    """Ray names the node of a running job; until then the job counts on the node that admission chose."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._avoided_until: dict[str, float] = {}
        """By the ids of nodes that are not prepared."""
        self._assumed: dict[str, Place] = {}
        self._just_decided: Mapping[str, Place] = {}
        self._set_aside: frozenset[str] = frozenset()
        self._nodes: Mapping[str, Resources] = {}

    def places(
        self, active: Iterable[Job], snapshot: RaySnapshot, gangs: Mapping[str, Place] | None = None
    ) -> Mapping[str, Place]:
        """Return the known places of active jobs, by their ids. ``gangs``: those of placement groups, by submission."""
        found: dict[str, Place] = {}
        jobs, assumed = snapshot.jobs, self._assumed
        for job in active:
            place, name = assumed.get(job.job_id), job.submission_id
            if name:
                ray_job = jobs.get(name)
                if ray_job is not None and (node := ray_job.node_id) is not None and (place is None or place.script != node):
                    place = Place(node)
                if gangs:
                    place = gangs.get(name, place)
            if place is not None:
                found[job.job_id] = place
        return found

    def place_of(self, job_id: str) -> Place | None:
        """Return the nodes that admission chose for the job, or that Ray named since."""
        return self._assumed.get(job_id)

    def forget(self, job_id: str) -> None:
        """Forget the nodes that admission chose for the job."""
        self._assumed.pop(job_id, None)

    def follow(self, places: Mapping[str, Place], decision: Decision, nodes: Mapping[str, Resources]) -> None:
        """Remember a decision, with the places and nodes that it was made on. Older ones are dropped."""
        # Jobs of the last decision may be neither waiting any more nor active yet.
        self._assumed = {**self._just_decided, **places, **decision.placed}
        self._just_decided = decision.placed
        self._set_aside = decision.set_aside
        self._nodes = nodes

    def avoid(self, node_id: str) -> None:
        """Let jobs avoid a node that is not prepared for them, for ten minutes."""
        self._avoided_until[node_id] = self._monotonic() + _AVOIDED_SECONDS

    def to_avoid(self, job_id: str, wanted: Resources) -> list[str]:
        """Return the nodes that the job must not start on: set aside for other jobs, too small, or not prepared.

        On the head, Ray counts the resources that are reserved for serving, too.
        """
        place = self._assumed.get(job_id)
        # A job that counts there already was admitted before, and may have room nowhere else. So may one without a known place.
        avoided = self._set_aside - {place.script, *place.workers} if place is not None else frozenset[str]()
        too_small = {node_id for node_id, node in self._nodes.items() if not fits(wanted, node)}
        unusable = too_small | {node_id for node_id, until in self._avoided_until.items() if self._monotonic() < until}
        # Where no node is left, Ray chooses: a job that no node may take would wait for ever.
        for nodes in (unusable, too_small):
            if not nodes.issuperset(self._nodes):
                return sorted(avoided | nodes)
        return sorted(avoided)
