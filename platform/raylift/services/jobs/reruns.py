"""Reruns of a job, with changes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from raylift.domain.errors import FieldError
from raylift.domain.job import Isolation, Job, JobSpec, Network, Origin, Resources, Workers
from raylift.services.cluster.capacity import Capacity
from raylift.services.uploads.environment_variables import check_arguments, check_params, check_total, check_variables
from raylift.services.uploads.resources import check_fit, check_memory, check_workers


@dataclass(frozen=True, slots=True)
class RerunChanges:
    """Changes for a rerun. None keeps the value of the first job."""

    args: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables to set; the others stay."""
    secrets: Sequence[str] | None = None
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters to set; the others stay."""
    data: Mapping[str, str] = field(default_factory=dict[str, str])
    """Datasets to set by alias, as ``name`` or ``name@3``; the others stay."""
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: float | None = None
    workers: Workers | None = None
    deploy: bool | None = None
    isolation: Isolation | None = None
    network: Network | None = None
    after: Sequence[str] = ()
    """Jobs that have to complete before it starts. Those of the first job do not count."""
    take_traffic: bool = False
    """Let the new version answer requests that name only the model."""
    output: str | None = None
    """Output of a batch. None: the place of the first one, or a file that the platform keeps."""


def rerun_spec(first: Job, changes: RerunChanges, owner: str | None = None) -> JobSpec:
    """Return the spec of a job that runs ``first`` again, in the same locked environment. None keeps its owner."""
    spec, asked = first.spec, first.spec.resources
    # A rerun that was never admitted has its lock in the spec alone.
    lock = spec.environment_lock if first.environment_lock is None else first.environment_lock
    return replace(
        spec,
        environment_lock=lock,
        origin=Origin.PLATFORM,
        owner=spec.owner if owner is None else owner,
        sweep=None,
        schedule=None,
        after=tuple(changes.after),
        # A submission id that a client chose belongs to its first job.
        ray=None if spec.ray is None else replace(spec.ray, submission_id=None),
        args=spec.args if changes.args is None else tuple(changes.args),
        environment={**spec.environment, **changes.environment, **changes.params},
        secrets=spec.secrets if changes.secrets is None else tuple(changes.secrets),
        params={**spec.params, **changes.params},
        resources=Resources(
            asked.cpus if changes.cpus is None else changes.cpus,
            asked.memory_bytes if changes.memory_bytes is None else changes.memory_bytes,
            asked.gpus if changes.gpus is None else changes.gpus,
            asked.workers if changes.workers is None else changes.workers,
        ),
        deploy=spec.deploy if changes.deploy is None else changes.deploy,
        take_traffic=changes.take_traffic,
        isolation=changes.isolation or spec.isolation,
        network=changes.network or spec.network,
    )


def check_rerun(
    first: JobSpec, changes: RerunChanges, spec: JobSpec, capacity: Capacity, least_memory_bytes: int
) -> Iterator[FieldError]:
    """Yield an error for each invalid change. Values that the first job had are not checked again."""
    yield from _check_kind(first, changes)
    yield from check_variables(changes.environment)
    for name in changes.environment.keys() & first.params.keys():
        yield FieldError(f"environment.{name}", "is a parameter of the job: set it in params")
    secrets = {name: value for name, value in first.environment.items() if name not in first.params}
    yield from check_params(changes.params, {**secrets, **changes.environment})
    if changes.args is not None:
        if first.command is not None:
            yield FieldError("args", "belongs to a script; this job runs a shell command")
        yield from check_arguments(changes.args)
    yield from check_total(spec.args, spec.environment)
    if changes.memory_bytes is not None:
        yield from check_memory(changes.memory_bytes, least_memory_bytes)
    yield from check_workers(spec.resources, spec.isolation, least_memory_bytes)
    if (changes.cpus, changes.memory_bytes, changes.gpus, changes.workers) != (None, None, None, None):
        yield from check_fit(spec.resources, capacity)


def _check_kind(first: JobSpec, changes: RerunChanges) -> Iterator[FieldError]:
    """Yield an error for each change that jobs of this kind do not have."""
    if first.batch is None:
        if changes.output is not None:
            yield FieldError("output", "is for a batch; this job has none")
        return
    names = ("args", "environment", "params", "data", "workers", "deploy", "isolation", "network", "take_traffic")
    for name in names:
        if getattr(changes, name) not in (None, False, {}):
            yield FieldError(name, "is not for a batch: change its output, its secrets, cpus, memory or gpus")
