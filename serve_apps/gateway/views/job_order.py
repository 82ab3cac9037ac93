"""The order of jobs in the REST API."""

from __future__ import annotations

from collections.abc import Mapping

from raylift.api import paths
from raylift.api.order.jobs import DatasetReferenceView, GraphEdge, GraphJob, JobGraph, OrderedJob, OrderedStatus
from raylift.domain.job import Job
from raylift.domain.job_data import DatasetReference
from raylift.domain.jobs_order import Graph


def ordered(jobs: Mapping[str, Job | None]) -> list[OrderedJob]:
    """Return the jobs by id; None is one that was deleted."""
    return [OrderedJob(job_id=job_id, status=_status(job), links=_links(job_id, job)) for job_id, job in jobs.items()]


def output_view(output: DatasetReference | None) -> DatasetReferenceView | None:
    if output is None:
        return None
    links = {"version": paths.dataset_version(output.name, output.version), "dataset": paths.dataset(output.name)}
    return DatasetReferenceView(name=output.name, version=output.version, links=links)


def job_graph(job_id: str, graph: Graph, jobs: Mapping[str, Job | None]) -> JobGraph:
    return JobGraph(
        job_id=job_id,
        jobs=[_graph_job(each, jobs[each]) for each in graph.job_ids],
        edges=[GraphEdge(before=edge.before, after=edge.after) for edge in graph.edges],
        is_cut=graph.is_cut,
    )


def _graph_job(job_id: str, job: Job | None) -> GraphJob:
    spec = job.spec if job is not None else None
    batch = spec.batch if spec is not None else None
    return GraphJob(
        job_id=job_id,
        status=_status(job),
        links=_links(job_id, job),
        kind=None if spec is None else "train" if batch is None else "batch",
        script_name=spec.script_name if spec is not None else None,
        model_name=batch.model_name if batch is not None else spec.model_name if spec is not None else None,
        model_version=(batch.version or None) if batch is not None else job.model_version if job is not None else None,
        output=output_view(job.output) if job is not None else None,
        message=job.message if job is not None else None,
    )


def _status(job: Job | None) -> OrderedStatus:
    return "deleted" if job is None else job.status.value


def _links(job_id: str, job: Job | None) -> dict[str, str]:
    return {} if job is None else {"self": paths.job(job_id)}
