"""A submission of one of Ray's clients, in the platform's words. Pure."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, cast

from pydantic import ValidationError

from raylift.api.ray_jobs import JobSubmitRequest
from raylift.api.training import TrainingUpload
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.engines.environments.translation import translate_runtime_env
from raylift.services.ray_api.entrypoints import PythonScript, python_script
from raylift.services.ray_api.packages import PY_MODULES, WORKING_DIR

METADATA_PREFIX: Final = "raylift."
TAG_PREFIX: Final = "raylift.tag."
METADATA_FIELDS: Final = (
    "experiment_name",
    "model_name",
    "timeout_seconds",
    "priority",
    "max_retries",
    "autolog",
    "deploy",
    "register",
    "torch_backend",
)
"""Fields of an upload that metadata keys choose, each as ``raylift.<field>``."""

ENV_VARS: Final = "env_vars"
_IGNORED: Final = frozenset({"excludes", "config", "_ray_commit", "_ray_release"})
"""They are the client's own, or say how Ray would build what is built by other means here."""
_HONOURED: Final = (WORKING_DIR, PY_MODULES, "pip", "uv", ENV_VARS)

_COMMAND_EXPERIMENT: Final = "Default"
"""MLflow's own experiment: of commands that name no script."""

_NAMES: Final = {
    "resources.cpus": "entrypoint_num_cpus",
    "resources.memory": "entrypoint_memory",
    "resources.gpus": "entrypoint_num_gpus",
    "project": f"runtime_env.{WORKING_DIR}",
    "requirements": "runtime_env.pip",
    "script_content": "entrypoint",
    "args": "entrypoint",
    **{name: f"metadata.{METADATA_PREFIX}{name}" for name in METADATA_FIELDS},
}
_PREFIXES: Final = {"environment.": f"runtime_env.{ENV_VARS}.", "tags.": f"metadata.{TAG_PREFIX}"}


@dataclass(frozen=True, slots=True)
class TranslatedRequest:
    """What to check as if it had been uploaded."""

    upload: TrainingUpload
    command: str | None
    """What a shell has to run; None where the entrypoint plainly is a script of the working_dir."""
    runtime_env: Mapping[str, Any]
    """As it was sent, without ``env_vars``."""


def translate(request: JobSubmitRequest, *, default_timeout_seconds: int) -> TranslatedRequest:
    """The upload that asks for the same as ``request``.

    Raises:
        InvalidRequest: it asks for what the platform does not have; each error names the field in Ray's words.
    """
    runtime_env = request.runtime_env or {}
    requirements, rest = translate_runtime_env(runtime_env)
    metadata, errors = _of_metadata(request.metadata or {})
    errors = [*_unsupported(request, rest), *errors]
    if errors:
        raise refusal(errors)
    script = python_script(request.entrypoint)
    fields: dict[str, Any] = {
        "timeout_seconds": default_timeout_seconds,
        "script_content": "",
        "experiment_name": metadata.get("model_name") or _experiment(script),
        "requirements": list(requirements),
        "environment": rest.get(ENV_VARS) or {},
        "resources": _resources(request),
        **metadata,
    }
    if script:
        fields |= {"entrypoint": script.path, "args": list(script.args)}
    kept = {name: value for name, value in runtime_env.items() if name != ENV_VARS}
    return TranslatedRequest(_upload(fields), None if script else request.entrypoint, kept)


def refusal(errors: Sequence[FieldError]) -> InvalidRequest:
    """All of ``errors`` in Ray's names; its clients show the text alone."""
    told = [FieldError(_rays_name(error.field), error.detail, error.line, error.column) for error in errors]
    return InvalidRequest("\n".join(f"{error.field} {error.detail}{_place(error)}" for error in told), told)


def _of_metadata(metadata: Mapping[str, str]) -> tuple[dict[str, Any], list[FieldError]]:
    fields: dict[str, Any] = {"tags": {}}
    errors: list[FieldError] = []
    for key, value in metadata.items():
        name = key.removeprefix(METADATA_PREFIX)
        if key.startswith(TAG_PREFIX):
            fields["tags"][key.removeprefix(TAG_PREFIX)] = value
        elif not key.startswith(METADATA_PREFIX):
            continue
        elif name in METADATA_FIELDS:
            fields[name] = value
        else:
            close = difflib.get_close_matches(name, METADATA_FIELDS, n=1)
            known = f"did you mean {METADATA_PREFIX}{close[0]}?" if close else f"there are {', '.join(METADATA_FIELDS)}, tag.*"
            errors.append(FieldError(f"metadata.{key}", f"is not a key of the platform; {known}"))
    return fields, errors


def _unsupported(request: JobSubmitRequest, rest: Mapping[str, Any]) -> Iterator[FieldError]:
    for name, value in rest.items():
        if name not in _HONOURED and name not in _IGNORED and value:
            yield FieldError(f"runtime_env.{name}", f"is not taken; there are {', '.join(_HONOURED)}")
    if not _is_of_strings(rest.get(ENV_VARS) or {}):
        yield FieldError(f"runtime_env.{ENV_VARS}", "has to be an object of strings")
    if request.entrypoint_resources:
        yield FieldError("entrypoint_resources", "is not taken: jobs are admitted by CPUs, memory and GPUs")
    if request.entrypoint_label_selector:
        yield FieldError("entrypoint_label_selector", "is not taken: jobs are admitted by CPUs, memory and GPUs")


def _is_of_strings(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in cast("dict[Any, Any]", value).values())


def _resources(request: JobSubmitRequest) -> dict[str, Any]:
    # To Ray 0 means that nothing is reserved; here it means the default, since what is asked for is the limit, too.
    asked = {"cpus": request.entrypoint_num_cpus, "gpus": request.entrypoint_num_gpus, "memory": request.entrypoint_memory}
    return {name: value for name, value in asked.items() if value}


def _experiment(script: PythonScript | None) -> str:
    return PurePosixPath(script.path).stem if script else _COMMAND_EXPERIMENT


def _upload(fields: Mapping[str, Any]) -> TrainingUpload:
    try:
        return TrainingUpload.model_validate(fields)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        raise refusal([FieldError(".".join(map(str, item["loc"])), _detail(item["msg"])) for item in found]) from error


def _detail(message: str) -> str:
    detail = message.removeprefix("Value error, ")
    return detail[:1].lower() + detail[1:]


def _rays_name(field: str) -> str:
    for prefix, name in _PREFIXES.items():
        if field.startswith(prefix):
            return name + field.removeprefix(prefix)
    stem, bracket, rest = field.partition("[")
    return _NAMES.get(stem, stem) + bracket + rest


def _place(error: FieldError) -> str:
    return "" if error.line is None else f" (line {error.line}, column {error.column or 1})"
