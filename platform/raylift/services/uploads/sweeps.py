"""The ``sweep`` of an upload: what may be wrong with it, and the jobs that it stands for."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from raylift.api.sweeps import SweepRequest, Value
from raylift.api.training import TrainingUpload
from raylift.domain.errors import FieldError
from raylift.domain.job import JobSpec, SweepPart
from raylift.domain.sweep import SweepMode, SweepPassing, SweepRegistration, SweepSpec, grid
from raylift.services.uploads.environment_variables import check_variables

_ARGUMENT: Final = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*")
_MAX_NAME: Final = 100
_MAX_VALUE: Final = 500
"""Characters: a value is a tag and a parameter of an MLflow run, and a cell of a table."""


def text_of(value: Value) -> str:
    """A value as its user would type it: JSON's own words, and strings as they are."""
    return value if isinstance(value, str) else json.dumps(value)


def check_sweep(upload: TrainingUpload, max_jobs: int) -> Iterator[FieldError]:
    """What is wrong with the sweep, if there is one."""
    asked = upload.sweep
    if asked is None:
        return
    if not asked.parameters:
        yield FieldError("sweep.parameters", 'is empty; give at least one, such as {"lr": [0.01, 0.1]}')
    for name, values in asked.parameters.items():
        yield from _name(name, asked, upload.environment)
        yield from _values(f"sweep.parameters.{name}", values)
    count = math.prod(len(values) for values in asked.parameters.values())
    if count > max_jobs:
        yield FieldError("sweep.parameters", f"make {count} jobs; at most {max_jobs} are taken (setting jobs.max_sweep_jobs)")
    if asked.registration == SweepRegistration.BEST:
        if asked.metric is None:
            yield FieldError("sweep.metric", "is needed to register the best: name a metric that the script logs")
        if upload.model_name is None:
            yield FieldError("sweep.register", "is 'best', but model_name is null: name the model to register")


def _name(name: str, asked: SweepRequest, environment: Mapping[str, str]) -> Iterator[FieldError]:
    field = f"sweep.parameters.{name}"
    if len(name) > _MAX_NAME:
        yield FieldError(field, f"is longer than {_MAX_NAME} characters")
    elif asked.passed_as == SweepPassing.ARGUMENTS:
        if not _ARGUMENT.fullmatch(name):
            detail = "is not an option's name: use letters, digits, dots, dashes and underscores, beginning with a letter"
            yield FieldError(field, detail)
    elif name in environment:
        yield FieldError(field, "is in environment, too: give it in one place")
    else:
        yield from (FieldError(field, error.detail) for error in check_variables({name: ""}))


def _values(field: str, values: Sequence[Value]) -> Iterator[FieldError]:
    if not values:
        yield FieldError(field, "has no values")
    seen: dict[str, int] = {}
    for index, text in enumerate(map(text_of, values)):
        here = f"{field}[{index}]"
        if "\0" in text or len(text) > _MAX_VALUE:
            yield FieldError(here, f"is longer than {_MAX_VALUE} characters or holds a null byte")
        elif (first := seen.setdefault(text, index)) != index:
            yield FieldError(here, f"is the same as value {first}: {text!r}")


def sweep_spec(upload: TrainingUpload, spec: JobSpec) -> SweepSpec | None:
    """The sweep of an upload that nothing is wrong with; None where it asks for a single job."""
    asked = upload.sweep
    if asked is None:
        return None
    return SweepSpec(
        parameters={name: tuple(map(text_of, values)) for name, values in asked.parameters.items()},
        script_name=spec.script_name,
        experiment_name=spec.experiment_name,
        model_name=spec.model_name,
        passed_as=SweepPassing(asked.passed_as),
        metric=asked.metric,
        mode=SweepMode(asked.mode),
        registration=SweepRegistration(asked.registration),
        max_parallel=asked.max_parallel,
        tags=spec.tags,
    )


def job_specs(sweep: SweepSpec, sweep_id: str, spec: JobSpec) -> list[JobSpec]:
    """What each job runs: ``spec`` with the parameters of its own."""
    return [_with_parameters(sweep, sweep_id, spec, parameters) for parameters in grid(sweep.parameters)]


def _with_parameters(sweep: SweepSpec, sweep_id: str, spec: JobSpec, parameters: Mapping[str, str]) -> JobSpec:
    part = SweepPart(sweep_id, parameters, registers=sweep.registration is SweepRegistration.ALL)
    if sweep.passed_as is SweepPassing.ENVIRONMENT:
        return replace(spec, sweep=part, environment={**spec.environment, **parameters})
    arguments = [text for name, value in parameters.items() for text in (f"--{name}", value)]
    return replace(spec, sweep=part, args=(*spec.args, *arguments))
