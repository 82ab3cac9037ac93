"""Options and body of an upload."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from os import PathLike
from typing import Any, Literal, TypedDict

from raylift.client.http.connection import Form
from raylift.client.jobs.script import Project, Script, read_requirements


class TrainOptions(TypedDict, total=False):
    """Options of ``Client.train`` for a job, for type checkers."""

    script_content: str | None
    script_name: str | None
    model: str | None
    experiment: str | None
    requirements: Iterable[str] | str | PathLike[str]
    torch_backend: str | None
    env: Mapping[str, str] | None
    secrets: Iterable[str]
    data: Mapping[str, str] | None
    after: Iterable[str] | str
    output_dataset: str | None
    args: Iterable[str]
    cpus: float
    memory: int | str
    gpus: float
    workers: int | Mapping[str, Any] | None
    timeout: int
    max_retries: int
    priority: int
    autolog: bool
    deploy: bool
    register: str | None
    take_traffic: bool
    promote: Mapping[str, Any] | str | None
    isolation: Literal["sandbox", "cluster"] | None
    network: Literal["full", "mlflow-only", "none"] | None
    params: Mapping[str, str | float] | None
    tags: Mapping[str, str] | None
    idempotency_key: str | None
    entrypoint: str | None


class SweepOptions(TrainOptions, total=False):
    """Options of ``Client.train`` for a sweep, for type checkers."""

    sweep_as: Literal["environment", "arguments"]
    metric: str | None
    mode: Literal["max", "min"]
    register_best: bool
    max_parallel: int | None


def training_fields(
    source: Script | Project,
    *,
    model: str | None = None,
    experiment: str | None = None,
    requirements: Iterable[str] | str | PathLike[str] = (),
    torch_backend: str | None = None,
    env: Mapping[str, str] | None = None,
    secrets: Iterable[str] = (),
    data: Mapping[str, str] | None = None,
    after: Iterable[str] | str = (),
    output_dataset: str | None = None,
    args: Iterable[str] = (),
    cpus: float = 1.0,
    memory: int | str = "2GiB",
    gpus: float = 0.0,
    workers: int | Mapping[str, Any] | None = None,
    timeout: int = 600,
    max_retries: int = 0,
    priority: int = 50,
    autolog: bool = True,
    deploy: bool = True,
    register: str | None = None,
    take_traffic: bool = True,
    promote: Mapping[str, Any] | str | None = None,
    isolation: Literal["sandbox", "cluster"] | None = None,
    network: Literal["full", "mlflow-only", "none"] | None = None,
    params: Mapping[str, str | float] | None = None,
    tags: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """The fields of an upload besides its source, as the API names them. Those at their default may be left out."""
    fields: dict[str, Any] = {
        "experiment_name": experiment or model or source.script_stem,
        "model_name": model,
        "requirements": read_requirements(requirements),
        "environment": {name: str(value) for name, value in (env or {}).items()},
        "args": [str(arg) for arg in args],
        "timeout_seconds": timeout,
        "resources": {"cpus": cpus, "memory": memory, "gpus": gpus, **workers_field(workers)},
        "max_retries": max_retries,
        "priority": priority,
        "autolog": autolog,
        "deploy": deploy,
        "tags": {name: str(value) for name, value in (tags or {}).items()},
    }
    optional = {
        "take_traffic": None if take_traffic else False,
        "promote": {"alias": promote} if isinstance(promote, str) else promote and dict(promote),
        "isolation": isolation,
        "network": network,
        "params": dict(params) if params else None,
        "secrets": list(secrets) or None,
        "data": dict(data) if data else None,
        "after": ids_of(after) or None,
        "output_dataset": output_dataset,
        "register": register,
        "torch_backend": torch_backend,
    }
    return fields | {name: value for name, value in optional.items() if value is not None}


def ids_of(jobs: Iterable[str] | str) -> list[str]:
    """Return the ids of jobs as a list; one may be given alone."""
    return [jobs] if isinstance(jobs, str) else list(jobs)


def workers_field(workers: int | Mapping[str, Any] | None) -> dict[str, Any]:
    """The field of a request for resources; {} for a job without workers."""
    if workers is None:
        return {}
    return {"workers": {"count": workers} if isinstance(workers, int) else dict(workers)}


def upload_body(source: Script | Project, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The body as keyword arguments of ``Connection.send``: JSON for a script, a form for a project."""
    if isinstance(source, Script):
        script = {"script_content": source.content, "script_encoding": source.encoding, "script_name": source.name}
        return {"json": {**script, **fields}}
    texts = {name: _text(value) for name, value in fields.items() if value is not None}
    archive = ("project", source.archive, "application/octet-stream")
    return {"form": Form({**texts, "entrypoint": source.entrypoint}, {"project": archive})}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
