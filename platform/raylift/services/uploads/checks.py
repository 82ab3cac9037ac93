"""Validates an upload before its job is stored, and reports every problem in one response."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.job import JobSpec, Network
from raylift.domain.job_data import DataInput
from raylift.domain.project import PackedProject, pack
from raylift.domain.rollouts.gate import gate_problems
from raylift.domain.sweep import SweepSpec
from raylift.services.cluster.capacity import Capacity
from raylift.services.datasets.datasets import check_name
from raylift.services.datasets.job_data import JobData
from raylift.services.order.job_order import JobOrder
from raylift.services.requirements.sources import Sourced, find_requirements, with_packages
from raylift.services.uploads.archives import UNPACKING
from raylift.services.uploads.environment_variables import check_arguments, check_params, check_total, check_variables
from raylift.services.uploads.request import UploadRequest
from raylift.services.uploads.resources import check_fit, check_memory, check_owner, check_workers
from raylift.services.uploads.script_warnings import script_warnings
from raylift.services.uploads.sources import Source, read_source, script_name
from raylift.services.uploads.sweeps import check_sweep, sweep_spec
from raylift.settings import JobSettings

# MLflow's limits: the tags become tags of the run and of the model version.
_TAG_NAME: Final = re.compile(r"[\w./ :-]{1,250}")
_MAX_FILE_NAME_BYTES: Final = 255
_MAX_TAG_VALUE: Final = 5000
_MAX_TAGS: Final = 50
_RESERVED_TAG_PREFIX: Final = "raylift."


@dataclass(frozen=True, slots=True)
class CheckedUpload:
    """A valid upload."""

    spec: JobSpec
    script: bytes
    project: PackedProject | None = None
    sweep: SweepSpec | None = None
    """Set for a sweep; then ``spec`` has what its jobs share."""
    notes: Sequence[str] = ()
    """Sentences for the user who uploaded it."""


class UploadChecks:
    """Validates content; the types of the fields are right already. Nothing of the script is executed."""

    def __init__(
        self,
        settings: JobSettings,
        capacity: Capacity,
        check_secrets: Callable[[str, Sequence[str]], Iterable[FieldError]],
        http_hosts: Collection[str] = (),
        *,
        data: JobData,
        order: JobOrder,
        check_script: Callable[[bytes], Iterable[FieldError]] = lambda _: (),
    ) -> None:
        self._check_script = check_script
        self._data = data
        self._order = order
        self._settings = settings
        self._http_hosts = http_hosts
        self._capacity = capacity
        self._check_secrets = check_secrets

    def check(self, request: UploadRequest) -> CheckedUpload:
        """Return the job that the request asks for.

        Raises:
            TooLarge: the script or the project is over its limit.
            JobNotFound: a job that it comes after does not exist in the workspace.
            InvalidRequest: anything else is wrong; ``errors`` names every field.
        """
        if request.project is None:
            return self._checked(request)
        with UNPACKING:
            return self._checked(request)

    def _checked(self, request: UploadRequest) -> CheckedUpload:
        source = read_source(request, self._settings)
        name = source.entrypoint or script_name(request, source)
        found = find_requirements(request.requirements, source.script, name, source.files, self._http_hosts)
        sourced = with_packages(found, source.packages, self._http_hosts)
        data, unknown = self._data.resolve(request.workspace, request.data)
        after, wrong = self._order.check(request.workspace, request.after, data)
        errors = [
            *unknown,
            *wrong,
            *check_owner(request.owner, request.workspace, request.resources, self._settings.quotas),
            *source.errors,
            *sourced.errors,
            *self._plain_fields(request),
        ]
        if not errors and request.command is None:
            errors += self._check_script(source.script)
        if errors:
            raise InvalidRequest.of(*errors)
        packed = pack(source.files.values()) if source.files is not None else None
        spec = _spec(request, source, sourced, packed, data=data, after=after, default_network=Network(self._settings.network))
        warnings = (
            [] if request.command is not None else script_warnings(source.script, name, source.files or (), spec.requirements)
        )
        return CheckedUpload(spec, source.script, packed, sweep_spec(request.sweep, spec), [*sourced.notes, *warnings])

    def _plain_fields(self, request: UploadRequest) -> Iterator[FieldError]:
        if "\0" in request.experiment_name or not request.experiment_name.strip():
            yield FieldError("experiment_name", "is blank or holds a null byte")
        if len(request.script_name.encode()) > _MAX_FILE_NAME_BYTES:
            yield FieldError("script_name", f"is longer than {_MAX_FILE_NAME_BYTES} bytes, the most that a file name may have")
        yield from check_variables(request.environment)
        yield from check_params(request.params, request.environment, request.sweep.parameters if request.sweep else ())
        yield from check_arguments(request.args)
        yield from check_total(request.args, {**request.environment, **request.params})
        yield from self._check_secrets(request.workspace, request.secrets)
        yield from self._timeout(request.timeout_seconds)
        yield from check_memory(request.resources.memory_bytes, self._settings.min_memory_bytes)
        yield from check_workers(request.resources, request.isolation, self._settings.min_memory_bytes)
        yield from check_fit(request.resources, self._capacity)
        if request.register is not None and request.model_name is None:
            yield FieldError("register", "chooses the model to register, but there is no model_name to register it as")
        yield from check_tags(request.tags)
        if request.output_dataset is not None:
            yield from check_name(request.output_dataset, "output_dataset")
        if request.promote is not None:
            deploys, is_sweep = request.deploy, request.sweep is not None
            has_model = request.model_name is not None
            yield from gate_problems(request.promote, has_model=has_model, deploys=deploys, is_sweep=is_sweep)
        yield from check_sweep(request, self._settings.max_sweep_jobs)

    def _timeout(self, seconds: int) -> Iterator[FieldError]:
        least, most = self._settings.min_timeout_seconds, self._settings.max_timeout_seconds
        if not least <= seconds <= most:
            yield FieldError("timeout_seconds", f"is {seconds}; it must be from {least} to {most} seconds")


def check_tags(tags: Mapping[str, str]) -> Iterator[FieldError]:
    if len(tags) > _MAX_TAGS:
        yield FieldError("tags", f"has {len(tags)} tags; at most {_MAX_TAGS} are taken")
    for name, value in tags.items():
        field = f"tags.{name}"
        if not _TAG_NAME.fullmatch(name) or name.startswith("/") or ".." in name:
            yield FieldError(field, "is not a tag's name: use up to 250 letters, digits, and any of _ - . / : and space")
        elif name.startswith(_RESERVED_TAG_PREFIX):
            yield FieldError(field, f"begins with {_RESERVED_TAG_PREFIX!r}, which the platform's own tags do")
        elif "\0" in value or len(value) > _MAX_TAG_VALUE:
            yield FieldError(field, f"is longer than {_MAX_TAG_VALUE} characters or holds a null byte")


def _spec(
    request: UploadRequest,
    source: Source,
    sourced: Sourced,
    project: PackedProject | None,
    *,
    data: tuple[DataInput, ...],
    after: tuple[str, ...],
    default_network: Network,
) -> JobSpec:
    return JobSpec(
        script_sha256=hashlib.sha256(source.script).hexdigest(),
        script_name=script_name(request, source),
        experiment_name=request.experiment_name,
        model_name=request.model_name,
        requirements=sourced.requirements,
        torch_backend=request.torch_backend,
        environment={**request.environment, **request.params},
        secrets=request.secrets,
        data=data,
        after=after,
        output_dataset=request.output_dataset,
        args=request.args,
        timeout_seconds=request.timeout_seconds,
        resources=request.resources,
        max_retries=request.max_retries,
        priority=request.priority,
        autolog=request.autolog,
        deploy=request.deploy,
        register=request.register,
        take_traffic=request.take_traffic,
        promote=request.promote,
        isolation=request.isolation,
        network=request.network or default_network,
        params=request.params,
        tags=request.tags,
        owner=request.owner,
        workspace=request.workspace,
        project_sha256=project.sha256 if project else None,
        entrypoint=source.entrypoint,
        requirements_source=sourced.source,
        command=request.command,
    )
