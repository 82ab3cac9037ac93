"""Order of jobs: which come after which, as a graph."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from graphlib import TopologicalSorter
from typing import Final, NamedTuple

JOB_PREFIX: Final = "job:"
"""Begins a reference to what a job makes: ``job:job_…`` for data, or for a version."""
MAX_AFTER: Final = 50
"""Jobs that one job may come after."""
MAX_GRAPH: Final = 200
"""Jobs of a graph."""


class Edge(NamedTuple):
    """Two jobs of which the second comes after the first."""

    before: str
    after: str


@dataclass(frozen=True, slots=True)
class Graph:
    """Jobs around one, and their order."""

    job_ids: tuple[str, ...]
    """Each after those before it."""
    edges: tuple[Edge, ...]
    is_cut: bool = False
    """True where it has more than ``MAX_GRAPH`` jobs."""


def job_of_reference(text: str) -> str | None:
    """Return the job of ``job:ID``; None for other texts."""
    return text.removeprefix(JOB_PREFIX) if text.startswith(JOB_PREFIX) else None


def sorted_graph(job_ids: Sequence[str], edges: Collection[Edge]) -> Graph:
    """Return a graph whose jobs are in an order in which they can run. Equal ones are by id, and so by age.

    Of too many jobs the first ones of ``job_ids`` stay, which are the nearest.
    """
    sorter = TopologicalSorter[str]({job_id: set() for job_id in job_ids})
    for edge in sorted(edges):
        sorter.add(edge.after, edge.before)
    sorter.prepare()
    ordered: list[str] = []
    while sorter.is_active():
        ready = sorted(sorter.get_ready())
        ordered += ready
        sorter.done(*ready)
    inside = set(job_ids[:MAX_GRAPH])
    shown = [job_id for job_id in ordered if job_id in inside]
    kept = tuple(sorted(edge for edge in edges if edge.before in inside and edge.after in inside))
    return Graph(tuple(shown), kept, is_cut=len(ordered) > MAX_GRAPH)
