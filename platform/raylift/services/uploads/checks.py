"""Everything that is looked at before a job is stored. What is wrong is told at once, all of it."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import PurePosixPath
from typing import Final

from raylift.api.training import ResourceRequest, TrainingUpload
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.identifiers import DEFAULT_OWNER
from raylift.domain.job import JobSpec, Resources
from raylift.domain.project import PackedProject, ProjectFile, pack
from raylift.domain.quantities import format_bytes, parse_bytes
from raylift.domain.sweep import SweepSpec
from raylift.services.cluster.capacity import Capacity
from raylift.services.requirements.sources import Sourced, find_requirements, with_packages
from raylift.services.uploads.archives import UNPACKING, read_project
from raylift.services.uploads.entrypoints import FIELD as ENTRYPOINT_FIELD
from raylift.services.uploads.entrypoints import find_entrypoint
from raylift.services.uploads.environment_variables import check_arguments, check_total, check_variables
from raylift.services.uploads.magics import translate_exported
from raylift.services.uploads.notebooks import SUFFIX as NOTEBOOK
from raylift.services.uploads.notebooks import read_notebook
from raylift.services.uploads.owners import check_owner
from raylift.services.uploads.parameters import check_params, texts_of
from raylift.services.uploads.scripts import FIELD as SCRIPT_FIELD
from raylift.services.uploads.scripts import check_size, decode_script, script_error
from raylift.services.uploads.sweeps import check_sweep, sweep_spec
from raylift.settings import JobSettings

# MLflow's limits: the tags become tags of the run and of the model version.
_TAG_NAME: Final = re.compile(r"[\w./ :-]{1,250}")
_MAX_FILE_NAME_BYTES: Final = 255
_MAX_TAG_VALUE: Final = 5000
_MAX_TAGS: Final = 50
_RESERVED_TAG_PREFIX: Final = "raylift."

COMMAND_SCRIPT_NAME: Final = "entrypoint.sh"
"""Under which a command is stored as the script."""


@dataclass(frozen=True, slots=True)
class _Source:
    """What was uploaded to run, and what is wrong with it."""

    script: bytes = b""
    files: Mapping[str, ProjectFile] | None = None
    entrypoint: str | None = None
    errors: Sequence[FieldError] = ()
    command: str | None = None
    packages: Sequence[str] = ()
    """Packages that the script itself installs: requirements of a notebook's ``%pip install``."""


@dataclass(frozen=True, slots=True)
class CheckedUpload:
    """An upload that nothing is wrong with."""

    spec: JobSpec
    script: bytes
    project: PackedProject | None = None
    sweep: SweepSpec | None = None
    """Set where it is a sweep; then ``spec`` is what its jobs have in common."""
    notes: Sequence[str] = ()
    """Sentences for whoever uploaded it."""


class UploadChecks:
    """The checks of ``POST /mlops/training/upload``. Nothing of the script is executed."""

    def __init__(self, settings: JobSettings, capacity: Capacity) -> None:
        self._settings = settings
        self._capacity = capacity

    def check(
        self,
        upload: TrainingUpload,
        *,
        known: Sequence[FieldError] = (),
        project: bytes | None = None,
        command: str | None = None,
        owner: str | None = None,
    ) -> CheckedUpload:
        """The job that was asked for.

        Args:
            upload: the fields; those that ``known`` errors name hold stand-ins.
            known: errors that reading the body has found; they are told together with the ones found here.
            project: the archive of the project that the script is in; its content stands in the place of ``script_content``.
            command: a shell command to run in the place of a script, in the project if there is one.
            owner: for whom it is to run, as the caller says; None: ``local``.

        Raises:
            TooLarge: the script or the project is over the limit.
            InvalidRequest: anything else is wrong; ``errors`` names every field.
        """
        owner = DEFAULT_OWNER if owner is None else owner
        known = [*known, *check_owner(owner, upload.resources, self._settings.quotas)]
        if project is None:
            return self._checked(upload, self._single(upload) if command is None else _of_command(command), known, owner)
        with UNPACKING:
            source = self._of_project(upload, project) if command is None else self._command_in_project(command, project)
            return self._checked(upload, source, known, owner)

    def _checked(self, upload: TrainingUpload, source: _Source, known: Sequence[FieldError], owner: str) -> CheckedUpload:
        path = source.entrypoint or _script_name(upload, source)
        sourced = with_packages(find_requirements(upload.requirements, source.script, path, source.files), source.packages)
        found = [*source.errors, *sourced.errors, *self._plain_fields(upload)]
        errors = [*known, *_not_known_yet(found, known)]
        if errors:
            raise InvalidRequest(_summary(errors), errors)
        packed = pack(source.files.values()) if source.files is not None else None
        spec = replace(_spec(upload, source, sourced, packed), owner=owner)
        return CheckedUpload(spec, source.script, packed, sweep_spec(upload, spec), sourced.notes)

    def _single(self, upload: TrainingUpload) -> _Source:
        if upload.entrypoint is not None:
            return _Source(errors=[FieldError("entrypoint", "names a script in a project; there is no part 'project'")])
        script = decode_script(upload.script_content, upload.script_encoding, max_bytes=self._settings.max_script_bytes)
        if isinstance(script, FieldError):
            return _Source(errors=[script])
        return _compiled(_Source(script), upload.script_name, SCRIPT_FIELD)

    def _of_project(self, upload: TrainingUpload, archive: bytes) -> _Source:
        try:
            files = read_project(archive, self._settings)
        except InvalidRequest as error:
            return _Source(errors=error.errors)
        entrypoint = find_entrypoint(upload.entrypoint, files)
        if isinstance(entrypoint, FieldError):
            return _Source(errors=[entrypoint])
        script = files[entrypoint].content
        check_size(len(script), self._settings.max_script_bytes)
        return _compiled(_Source(script, files, entrypoint), entrypoint, ENTRYPOINT_FIELD)

    def _command_in_project(self, command: str, archive: bytes) -> _Source:
        try:
            return _of_command(command, read_project(archive, self._settings))
        except InvalidRequest as error:
            return _Source(errors=error.errors)

    def _plain_fields(self, upload: TrainingUpload) -> Iterator[FieldError]:
        if "\0" in upload.experiment_name or not upload.experiment_name.strip():
            yield FieldError("experiment_name", "is blank or holds a null byte")
        if len(upload.script_name.encode()) > _MAX_FILE_NAME_BYTES:
            yield FieldError(
                "script_name", f"is longer than {_MAX_FILE_NAME_BYTES} bytes, the most that a file's name may have"
            )
        params = texts_of(upload.params)
        yield from check_variables(upload.environment)
        yield from check_params(params, upload.environment, upload.sweep.parameters if upload.sweep else ())
        yield from check_arguments(upload.args)
        yield from check_total(upload.args, {**upload.environment, **params})
        yield from self._timeout(upload.timeout_seconds)
        yield from self._resources(upload.resources)
        if upload.registers is not None and upload.model_name is None:
            yield FieldError("register", "chooses the model to register, but there is no model_name to register it as")
        yield from _tags(upload.tags)
        yield from check_sweep(upload, self._settings.max_sweep_jobs)

    def _timeout(self, seconds: int) -> Iterator[FieldError]:
        least, most = self._settings.min_timeout_seconds, self._settings.max_timeout_seconds
        if not least <= seconds <= most:
            yield FieldError("timeout_seconds", f"is {seconds}; it must be from {least} to {most} seconds")

    def _resources(self, asked: ResourceRequest) -> Iterator[FieldError]:
        memory, least = parse_bytes(asked.memory), self._settings.min_memory_bytes
        if memory < least:
            yield FieldError("resources.memory", f"is {format_bytes(memory)}; it must be at least {format_bytes(least)}")
        shortfall = self._capacity.shortfall(cpus=asked.cpus, memory_bytes=memory, gpus=asked.gpus)
        if shortfall:
            yield FieldError(f"resources.{shortfall.resource}", shortfall.detail)


def _compiled(source: _Source, name: str, field: str) -> _Source:
    """Return a script as it is to run, with what is wrong with it; a notebook as the script of its cells."""
    if name.endswith(NOTEBOOK):
        notebook = read_notebook(source.script, PurePosixPath(name).name, field_name=field)
        script, packages, errors = notebook.script, notebook.packages, notebook.errors
        if source.entrypoint is None or source.files is None:
            return replace(source, script=script, packages=packages, errors=errors)
        path = f"{source.entrypoint}.py"
        if path in source.files:
            errors = [*errors, FieldError(field, f"is run as {path!r}, which the project has already: rename that")]
        files = {**source.files, path: ProjectFile(path, script)}
        return replace(source, script=script, files=files, entrypoint=path, packages=packages, errors=errors)
    exported = translate_exported(source.script.decode("utf-8", "surrogateescape"))
    error = script_error(source.script, name, field=field)
    if error is not None or not (exported.problems or exported.packages or b"get_ipython()" in source.script):
        return replace(source, errors=[error] if error else [])
    errors = [FieldError(field, f"line {line}: {said}", line=line) for line, said in exported.problems]
    script = "\n".join(exported.lines).encode("utf-8", "surrogateescape")
    files = source.files
    if source.entrypoint is not None and files is not None:
        files = {**files, source.entrypoint: replace(files[source.entrypoint], content=script)}
    return replace(source, script=script, files=files, packages=exported.packages, errors=errors)


def _of_command(command: str, files: Mapping[str, ProjectFile] | None = None) -> _Source:
    errors = [FieldError(ENTRYPOINT_FIELD, error.detail) for error in check_arguments([command])]
    return _Source(command.encode(), files, errors=errors, command=command)


def _tags(tags: Mapping[str, str]) -> Iterator[FieldError]:
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


def _not_known_yet(found: Sequence[FieldError], known: Sequence[FieldError]) -> Iterator[FieldError]:
    # A field that could not be read was given a stand-in: what is found in that is not the user's.
    unread = top_level_fields(known)
    return (error for error in found if error.field.split(".")[0].split("[")[0] not in unread)


def top_level_fields(errors: Sequence[FieldError]) -> Collection[str]:
    """The fields of the upload that ``errors`` are about."""
    names = {re.split(r"[.\[]", error.field, maxsplit=1)[0] for error in errors}
    # The content cannot be judged without knowing how it is encoded.
    return names | {SCRIPT_FIELD} if "script_encoding" in names else names


def _summary(errors: Sequence[FieldError]) -> str:
    first = f"{errors[0].field} {errors[0].detail}"
    rest = len(errors) - 1
    return f"{first}, and {rest} more" if rest else first


def _spec(upload: TrainingUpload, source: _Source, sourced: Sourced, project: PackedProject | None) -> JobSpec:
    params = texts_of(upload.params)
    return JobSpec(
        script_sha256=hashlib.sha256(source.script).hexdigest(),
        script_name=_script_name(upload, source),
        experiment_name=upload.experiment_name,
        model_name=upload.model_name,
        requirements=sourced.requirements,
        torch_backend=upload.torch_backend,
        environment={**upload.environment, **params},
        args=tuple(upload.args),
        timeout_seconds=upload.timeout_seconds,
        resources=Resources(upload.resources.cpus, parse_bytes(upload.resources.memory), upload.resources.gpus),
        max_retries=upload.max_retries,
        priority=upload.priority,
        autolog=upload.autolog,
        deploy=upload.deploy,
        register=upload.registers,
        take_traffic=upload.take_traffic,
        params=params,
        tags=dict(upload.tags),
        project_sha256=project.sha256 if project else None,
        entrypoint=source.entrypoint,
        requirements_source=sourced.source,
        command=source.command,
    )


def _script_name(upload: TrainingUpload, source: _Source) -> str:
    if source.command is not None:
        return COMMAND_SCRIPT_NAME
    if source.entrypoint:
        return PurePosixPath(source.entrypoint).name
    return f"{upload.script_name}.py" if upload.script_name.endswith(NOTEBOOK) else upload.script_name
