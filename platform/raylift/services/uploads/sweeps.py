"""Checks the ``sweep`` of an upload and makes its jobs."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from raylift.domain.errors import FieldError
from raylift.domain.job import JobSpec, SweepPart
from raylift.domain.sweep import SweepPassing, SweepRegistration, SweepSpec, grid
from raylift.services.uploads.environment_variables import check_variables
from raylift.services.uploads.request import RequestedSweep, UploadRequest

_ARGUMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_MAX_NAME: Final = 100
_MAX_VALUE: Final = 500
"""Characters: a value is a tag and a parameter of an MLflow run and a cell of a table."""


def check_sweep(request: UploadRequest, max_jobs: int) -> Iterator[FieldError]:
    """Yield what is wrong with the sweep of a request, if it has one."""
    sweep = request.sweep
    if sweep is None:
        return
    if not sweep.parameters:
        yield FieldError("sweep.parameters", 'is empty; give at least one, such as {"lr": [0.01, 0.1]}')
    for name, values in sweep.parameters.items():
        yield from _name(name, sweep, request.environment)
        yield from _values(f"sweep.parameters.{name}", values)
    count = math.prod(len(values) for values in sweep.parameters.values())
    if count > max_jobs:
        yield FieldError("sweep.parameters", f"make {count} jobs; at most {max_jobs} are taken (setting jobs.max_sweep_jobs)")
    if sweep.registration is SweepRegistration.BEST:
        if sweep.metric is None:
            yield FieldError("sweep.metric", "is needed to register the best: name a metric that the script logs")
        if request.model_name is None:
            yield FieldError("sweep.register", "is 'best', but model_name is null: name the model to register")


def _name(name: str, sweep: RequestedSweep, environment: Mapping[str, str]) -> Iterator[FieldError]:
    field = f"sweep.parameters.{name}"
    if len(name) > _MAX_NAME:
        yield FieldError(field, f"is longer than {_MAX_NAME} characters")
    elif sweep.passed_as is SweepPassing.ARGUMENTS:
        if not _ARGUMENT.fullmatch(name):
            detail = "is not an option's name: use letters, digits, dots, dashes and underscores, beginning with a letter"
            yield FieldError(field, detail)
    elif name in environment:
        yield FieldError(field, "is in environment, too: give it in one place")
    else:
        yield from (FieldError(field, error.detail) for error in check_variables({name: ""}))


def _values(field: str, values: Sequence[str]) -> Iterator[FieldError]:
    if not values:
        yield FieldError(field, "has no values")
    seen: dict[str, int] = {}
    for index, text in enumerate(values):
        here = f"{field}[{index}]"
        if "\0" in text or len(text) > _MAX_VALUE:
            yield FieldError(here, f"is longer than {_MAX_VALUE} characters or holds a null byte")
        elif (first := seen.setdefault(text, index)) != index:
            yield FieldError(here, f"is the same as value {first}: {text!r}")


def sweep_spec(sweep: RequestedSweep | None, spec: JobSpec) -> SweepSpec | None:
    """Build the sweep of a valid upload. ``spec`` has what its jobs share."""
    if sweep is None:
        return None
    return SweepSpec(
        parameters=sweep.parameters,
        script_name=spec.script_name,
        experiment_name=spec.experiment_name,
        model_name=spec.model_name,
        passed_as=sweep.passed_as,
        metric=sweep.metric,
        mode=sweep.mode,
        registration=sweep.registration,
        max_parallel=sweep.max_parallel,
        tags=spec.tags,
    )


def job_specs(sweep: SweepSpec, sweep_id: str, spec: JobSpec) -> list[JobSpec]:
    """Return one spec for each combination of the parameters: ``spec`` with that combination."""
    return [_with_parameters(sweep, sweep_id, spec, parameters) for parameters in grid(sweep.parameters)]


def _with_parameters(sweep: SweepSpec, sweep_id: str, spec: JobSpec, parameters: Mapping[str, str]) -> JobSpec:
    part = SweepPart(sweep_id, parameters, registers=sweep.registration is SweepRegistration.ALL)
    if sweep.passed_as is SweepPassing.ENVIRONMENT:
        return replace(spec, sweep=part, environment={**spec.environment, **parameters})
    arguments = [text for name, value in parameters.items() for text in (f"--{name}", value)]
    return replace(spec, sweep=part, args=(*spec.args, *arguments))
