"""Order of jobs: which may come after which, and the graph around a job."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from raylift.domain.errors import FieldError, JobNotFound
from raylift.domain.job import ENDED_BADLY, Job
from raylift.domain.job_data import DataInput
from raylift.domain.jobs_order import MAX_AFTER, MAX_GRAPH, Edge, Graph, sorted_graph
from raylift.store import Store


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Jobs directly before and after one. None in place of a job that was deleted."""

    before: dict[str, Job | None]
    after: dict[str, Job | None]


class JobOrder:
    """An order has no circles: a job can only come after jobs that exist."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def check(
        self, workspace: str, after: Iterable[str], data: Sequence[DataInput] = ()
    ) -> tuple[tuple[str, ...], list[FieldError]]:
        """Return the jobs that come before a new one, those that make its data included, and an error for each invalid one.

        Raises:
            JobNotFound: the workspace has no such job.
        """
        found = tuple(dict.fromkeys([*after, *(each.of_job for each in data if each.of_job is not None)]))
        if len(found) > MAX_AFTER:
            return (), [FieldError("after", f"has {len(found)} jobs; a job may come after {MAX_AFTER}")]
        errors: list[FieldError] = []
        for job_id in found:
            job = self._store.jobs.get(job_id)
            if job.spec.workspace != workspace:
                raise JobNotFound(f"There is no job {job_id}.", job_id=job_id)
            if job.status in ENDED_BADLY:
                errors.append(FieldError("after", f"names {job_id}, which is {job.status}: this job would never start"))
        return found, errors

    def neighbours(self, job_id: str) -> Neighbours:
        """Return the jobs directly before and after one, oldest first; of those after it ``MAX_GRAPH`` at most."""
        edges = self._store.order.edges_of([job_id])
        followers = [edge.after for edge in edges if edge.before == job_id]
        return Neighbours(
            {edge.before: self._find(edge.before) for edge in edges if edge.after == job_id},
            {each: self._find(each) for each in followers[:MAX_GRAPH]},
        )

    def graph(self, job_id: str) -> tuple[Graph, dict[str, Job | None]]:
        """Return all jobs that come before or after one, in any number of steps, itself included."""
        known, edges, frontier = [job_id], set[Edge](), {job_id}
        while frontier and len(known) <= MAX_GRAPH:
            new = set(self._store.order.edges_of(frontier)) - edges
            edges |= new
            frontier = {end for edge in new for end in edge}.difference(known)
            known += sorted(frontier)
        graph = sorted_graph(known, edges)
        return graph, {each: self._find(each) for each in graph.job_ids}

    def _find(self, job_id: str) -> Job | None:
        try:
            return self._store.jobs.get(job_id)
        except JobNotFound:
            return None
