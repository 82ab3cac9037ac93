"""A job that runs again, and what of it is to be different."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from raylift.domain.errors import FieldError
from raylift.domain.job import Job, JobSpec, Origin, Resources
from raylift.domain.quantities import format_bytes
from raylift.services.cluster.capacity import Capacity
from raylift.services.uploads.environment_variables import check_arguments, check_total, check_variables
from raylift.services.uploads.parameters import check_params


@dataclass(frozen=True, slots=True)
class RerunChanges:
    """Changes that a rerun asks for. None: as in the first job."""

    args: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict[str, str])
    """Variables to set; the others stay."""
    params: Mapping[str, str] = field(default_factory=dict[str, str])
    """Parameters to set; the others stay."""
    cpus: float | None = None
    memory_bytes: int | None = None
    gpus: float | None = None
    deploy: bool | None = None
    take_traffic: bool = False
    """Let the new version answer for the model's name."""


def rerun_spec(first: Job, changes: RerunChanges) -> JobSpec:
    """Return the spec of a job that runs ``first`` again, in the same locked environment."""
    spec, asked = first.spec, first.spec.resources
    # A rerun that was never admitted has its lock in the spec alone.
    lock = spec.environment_lock if first.environment_lock is None else first.environment_lock
    return replace(
        spec,
        environment_lock=lock,
        origin=Origin.PLATFORM,
        sweep=None,
        # A submission id that a client chose stands for its first job.
        ray=None if spec.ray is None else replace(spec.ray, submission_id=None),
        args=spec.args if changes.args is None else tuple(changes.args),
        environment={**spec.environment, **changes.environment, **changes.params},
        params={**spec.params, **changes.params},
        resources=Resources(
            asked.cpus if changes.cpus is None else changes.cpus,
            asked.memory_bytes if changes.memory_bytes is None else changes.memory_bytes,
            asked.gpus if changes.gpus is None else changes.gpus,
        ),
        deploy=spec.deploy if changes.deploy is None else changes.deploy,
        take_traffic=changes.take_traffic,
    )


def check_rerun(
    first: JobSpec, changes: RerunChanges, spec: JobSpec, capacity: Capacity, least_memory_bytes: int
) -> Iterator[FieldError]:
    """Yield what is wrong with the changes. What was accepted before is not judged again."""
    yield from check_variables(changes.environment)
    for name in changes.environment.keys() & first.params.keys():
        yield FieldError(f"environment.{name}", "is a parameter of the job: set it in params")
    secrets = {name: value for name, value in first.environment.items() if name not in first.params}
    yield from check_params(changes.params, {**secrets, **changes.environment})
    if changes.args is not None:
        if first.command is not None:
            yield FieldError("args", "is of a script; this job runs a shell command")
        yield from check_arguments(changes.args)
    yield from check_total(spec.args, spec.environment)
    if changes.memory_bytes is not None and changes.memory_bytes < least_memory_bytes:
        asked, least = format_bytes(changes.memory_bytes), format_bytes(least_memory_bytes)
        yield FieldError("resources.memory", f"is {asked}; it must be at least {least}")
    if (changes.cpus, changes.memory_bytes, changes.gpus) != (None, None, None):
        wanted = spec.resources
        shortfall = capacity.shortfall(cpus=wanted.cpus, memory_bytes=wanted.memory_bytes, gpus=wanted.gpus)
        if shortfall:
            yield FieldError(f"resources.{shortfall.resource}", shortfall.detail)
