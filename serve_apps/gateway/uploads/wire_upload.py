"""Translates the wire model of an upload into the ``UploadRequest`` that services validate."""

from __future__ import annotations

import json
from collections.abc import Mapping

from raylift.api.resources import WorkersRequest
from raylift.api.rollouts.gates import PromoteRequest
from raylift.api.sweeps import SweepRequest, Value
from raylift.api.training import TrainingUpload
from raylift.domain.identifiers import DEFAULT_OWNER, DEFAULT_WORKSPACE
from raylift.domain.job import Isolation, Network, Resources, Workers, WorkerStrategy
from raylift.domain.quantities import parse_bytes
from raylift.domain.rollouts.gate import First, Gate
from raylift.domain.sweep import SweepMode, SweepPassing, SweepRegistration
from raylift.services.uploads.request import RequestedSweep, UploadRequest
from serve_apps.gateway.views.rollouts import plan_of


def upload_request(
    upload: TrainingUpload,
    *,
    project: bytes | None = None,
    command: str | None = None,
    owner: str | None = None,
    default_isolation: Isolation = Isolation.SANDBOX,
    workspace: str = DEFAULT_WORKSPACE,
) -> UploadRequest:
    """Build the request of an upload.

    Args:
        upload: the fields.
        project: the archive of a project; then ``upload.entrypoint`` names its script.
        command: a shell command to run in place of a script.
        default_isolation: of an upload that names none.
        owner: the name of the caller; None: the default owner.
        workspace: the caller's workspace.
    """
    asked = upload.resources
    if asked.workers is not None:
        default_isolation = Isolation.CLUSTER
    return UploadRequest(
        experiment_name=upload.experiment_name,
        script_content=upload.script_content,
        script_encoding=upload.script_encoding,
        script_name=upload.script_name,
        project=project,
        entrypoint=upload.entrypoint,
        command=command,
        model_name=upload.model_name,
        requirements=tuple(upload.requirements),
        torch_backend=upload.torch_backend,
        environment=upload.environment,
        secrets=tuple(upload.secrets),
        data=upload.data,
        after=tuple(upload.after),
        output_dataset=upload.output_dataset,
        args=tuple(upload.args),
        timeout_seconds=upload.timeout_seconds,
        resources=Resources(asked.cpus, parse_bytes(asked.memory), asked.gpus, workers_of(asked.workers)),
        max_retries=upload.max_retries,
        priority=upload.priority,
        autolog=upload.autolog,
        deploy=upload.deploy,
        register=upload.registers,
        take_traffic=upload.take_traffic,
        promote=_gate(upload.promote) if upload.promote else None,
        isolation=Isolation(upload.isolation) if upload.isolation else default_isolation,
        network=Network(upload.network) if upload.network else None,
        params=texts_of(upload.params),
        tags=upload.tags,
        sweep=_sweep(upload.sweep) if upload.sweep else None,
        owner=DEFAULT_OWNER if owner is None else owner,
        workspace=workspace,
    )


def workers_of(asked: WorkersRequest | None) -> Workers | None:
    """Return the workers of a request."""
    if asked is None:
        return None
    return Workers(asked.count, asked.cpus, parse_bytes(asked.memory), asked.gpus, WorkerStrategy(asked.strategy))


def texts_of(params: Mapping[str, Value]) -> dict[str, str]:
    """Return the values as text: strings as they are, others in JSON."""
    return {name: _text(value) for name, value in params.items()}


def _gate(asked: PromoteRequest) -> Gate:
    plan = None if asked.rollout is None else plan_of(asked.rollout, asked.alias)
    return Gate(asked.alias, asked.when, First(asked.first), plan)


def _sweep(asked: SweepRequest) -> RequestedSweep:
    return RequestedSweep(
        parameters={name: tuple(map(_text, values)) for name, values in asked.parameters.items()},
        passed_as=SweepPassing(asked.passed_as),
        metric=asked.metric,
        mode=SweepMode(asked.mode),
        registration=SweepRegistration(asked.registration),
        max_parallel=asked.max_parallel,
    )


def _text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
