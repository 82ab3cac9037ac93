"""Placement groups of attempts: made before the submission, removed after the end.

Each attempt whose script may use Ray has one. Its tasks and actors run in it, and use nothing that admission gave to others.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol

from raylift.domain.job import Job, JobState, Origin, Resources
from raylift.domain.lease import Lease
from raylift.domain.nodes.gangs import Place
from raylift.engines.attempts.directory import is_sandboxed
from raylift.engines.ray_engine.groups import NODE_ID, Group
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.jobs.placement import Placement

log = logging.getLogger(__name__)

_SOON_SECONDS: Final = 0.5
"""Time in which Ray places a group for which there is room."""
_PRESCRIBED_SECONDS: Final = 15.0
"""Time after which Ray may choose the nodes: one that admission chose has probably left."""
_LEFT_BEHIND_SECONDS: Final = 10.0
"""Time for the tasks and actors of an ended attempt to end by themselves."""
_IDLE_SWEEP_SECONDS: Final = 30.0
_HOLDING: Final = frozenset({JobState.STARTING, JobState.SCRIPT})


class GroupNotPlaced(Exception):
    """Ray did not place the group of an attempt in time."""


class Groups(Protocol):
    """Ray's placement groups. Every method raises EngineUnavailable when Ray does not answer."""

    def all(self) -> dict[str, Group]: ...

    def make(self, submission_id: str, wanted: Resources, *, selectors: Sequence[Mapping[str, str]]) -> None: ...

    def is_free(self, group: Group) -> bool: ...

    def remove(self, group: Group) -> None: ...


class Gangs:
    """Makes, finds and removes the placement groups of attempts."""

    def __init__(
        self,
        settings: PlatformSettings,
        store: Store,
        groups: Groups,
        placement: Placement,
        *,
        monotonic: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings = settings
        self._store = store
        self._groups = groups
        self._placement = placement
        self._monotonic = monotonic
        self._pause = pause
        self._asked_at: dict[str, float] = {}
        """Times of the first request for groups that Ray has not placed yet, by submission."""
        self._ended_at: dict[str, float] = {}
        """Times since which groups belong to no attempt."""
        self._swept_at = float("-inf")
        self._exist = True
        """False after a sweep that found no group, until one is made."""

    def are_needed(self, job: Job) -> bool:
        """Return True where the job's script may use Ray."""
        return job.spec.origin is Origin.PLATFORM and not is_sandboxed(job.spec, self._settings.jobs)

    def ready(self, job: Job) -> Group | None:
        """Return the group of the present attempt; None while Ray has not placed it. Makes it where there is none.

        Raises:
            GroupNotPlaced: Ray did not place it in time. It is removed.
            EngineUnavailable: Ray does not answer.
        """
        name = job.submission_id or ""
        group = self._groups.all().get(name)
        asked_at = self._asked_at.setdefault(name, self._monotonic())
        waited = self._monotonic() - asked_at
        if group is None:
            self._exist = True
            self._groups.make(name, job.spec.resources, selectors=self._selectors(job, prescribe=waited < _PRESCRIBED_SECONDS))
            group = self._placed_soon(name)
        if group is not None and group.place is not None:
            del self._asked_at[name]
            return group
        if waited >= self._settings.jobs.start_timeout_seconds:
            self._forget(name, group)
            raise GroupNotPlaced(f"Ray had no place for it within {self._settings.jobs.start_timeout_seconds:.0f} s.")
        if group is not None and waited >= _PRESCRIBED_SECONDS and self._prescribed(job) is not None:
            self._placement.forget(job.job_id)
            self._groups.remove(group)
        return None

    def places(self, active: Sequence[Job]) -> Mapping[str, Place]:
        """Return the places of jobs with workers, by submission. Asks Ray only where there is such a job."""
        if not any(job.spec.resources.workers is not None and job.state in _HOLDING for job in active):
            return {}
        return {name: group.place for name, group in self._groups.all().items() if group.place is not None}

    def are_due(self) -> bool:
        """Return True where groups exist that may have to be removed. A former supervisor may have left some."""
        return self._exist or self._monotonic() - self._swept_at >= _IDLE_SWEEP_SECONDS

    def sweep(self, _: Lease) -> None:
        """Remove the groups of attempts that have ended, once nothing runs in them, or ten seconds later."""
        # The groups first: an attempt is in the store before its group is made.
        groups = self._groups.all()
        kept = {job.submission_id for job in self._store.jobs.in_states(_HOLDING)} if groups else set[str | None]()
        now = self._swept_at = self._monotonic()
        ended = {name: group for name, group in groups.items() if name not in kept}
        self._ended_at = {name: self._ended_at.get(name, now) for name in ended}
        for name, group in ended.items():
            if group.place is None or now - self._ended_at[name] >= _LEFT_BEHIND_SECONDS or self._groups.is_free(group):
                self._groups.remove(group)
                log.info("%s: its placement group is removed", name)
        self._exist = bool(groups)

    def _placed_soon(self, name: str) -> Group | None:
        give_up = self._monotonic() + _SOON_SECONDS
        while True:
            group = self._groups.all().get(name)
            if (group is not None and group.place is not None) or self._monotonic() >= give_up:
                return group
            self._pause(0.02)

    def _forget(self, name: str, group: Group | None) -> None:
        del self._asked_at[name]
        if group is not None:
            self._groups.remove(group)

    def _prescribed(self, job: Job) -> Place | None:
        """Return the nodes that admission chose for a gang. For other jobs it only names nodes to avoid."""
        return self._placement.place_of(job.job_id) if job.spec.resources.workers is not None else None

    def _selectors(self, job: Job, *, prescribe: bool) -> list[dict[str, str]]:
        wanted, place, labels = job.spec.resources, self._prescribed(job), self._settings.node_labels or {}
        its = wanted.workers
        if prescribe and place is not None and its is not None and len(place.workers) == its.count:
            return [{**labels, NODE_ID: f"in({node})"} for node in (*place.workers, place.script)]
        parts = [Resources(its.cpus, its.memory_bytes, its.gpus)] * its.count if its is not None else []
        parts.append(Resources(wanted.cpus, wanted.memory_bytes, wanted.gpus))
        return [{**labels, **self._avoiding(job, part)} for part in parts]

    def _avoiding(self, job: Job, part: Resources) -> dict[str, str]:
        nodes = self._placement.to_avoid(job.job_id, part)
        return {NODE_ID: f"!in({','.join(nodes)})"} if nodes else {}
