"""Translates a submission of Ray's clients into the ``UploadRequest`` that services validate. Pure."""

from __future__ import annotations

import difflib
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any, Final, cast

from pydantic import ValidationError

from raylift.api.ray_jobs import JobSubmitRequest
from raylift.api.training import TrainingUpload
from raylift.domain.errors import FieldError
from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.domain.job import Isolation, RayRequest
from raylift.engines.environments.translation import translate_runtime_env
from raylift.services.ray_api.field_names import ENV_VARS, METADATA_FIELDS, METADATA_PREFIX, SECRETS, TAG_PREFIX, refusal
from raylift.services.ray_api.jobs import RaySubmission
from raylift.services.ray_api.packages import PY_MODULES, WORKING_DIR
from serve_apps.gateway.uploads.wire_upload import upload_request

_IGNORED: Final = frozenset({"excludes", "config", "_ray_commit", "_ray_release"})
"""Fields for the client itself, or for the way in which Ray builds an environment."""
_HONOURED: Final = (WORKING_DIR, PY_MODULES, "pip", "uv", ENV_VARS)
_COMMAND_EXPERIMENT: Final = "Default"
"""MLflow's default experiment, for commands that name no script."""
_RAYS_CLIENTS: Final = Isolation.CLUSTER
"""Scripts of Ray's clients expect Ray."""
_INTERPRETERS: Final = frozenset({"python", "python3"})
_UNBUFFERED: Final = "-u"
"""Interpreter option without effect here: output is never buffered."""

# Characters without meaning to a shell, and quotes in which nothing is expanded.
_WORD: Final = r"""(?:[\w@%+=:,./-]|'[^']*'|"[^"$`\\!]*")+"""
_PLAIN: Final = re.compile(rf"[ \t]*{_WORD}(?:[ \t]+{_WORD})*[ \t]*")


@dataclass(frozen=True, slots=True)
class PythonScript:
    """``python path args…``."""

    path: str
    args: tuple[str, ...]


def ray_submission(
    request: JobSubmitRequest,
    *,
    default_timeout_seconds: int,
    owner: str | None = None,
    workspace: str = DEFAULT_WORKSPACE,
) -> RaySubmission:
    """Translate a submission.

    Raises:
        InvalidRequest: the platform does not support a field, or a value has another type; each error has Ray's field name.
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
    upload = upload_request(
        _upload(fields),
        command=None if script else request.entrypoint,
        owner=owner,
        workspace=workspace,
        default_isolation=_RAYS_CLIENTS,
    )
    shown = {name: value for name, value in runtime_env.items() if name != ENV_VARS}
    chosen_id = request.submission_id or request.job_id
    return RaySubmission(upload, RayRequest(request.entrypoint, chosen_id, dict(request.metadata or {}), shown))


def _of_metadata(metadata: Mapping[str, str]) -> tuple[dict[str, Any], list[FieldError]]:
    """Return the upload fields that metadata keys set, and an error for each unknown ``raylift.`` key."""
    fields: dict[str, Any] = {"tags": {}}
    errors: list[FieldError] = []
    for key, value in metadata.items():
        name = key.removeprefix(METADATA_PREFIX)
        if key.startswith(TAG_PREFIX):
            fields["tags"][key.removeprefix(TAG_PREFIX)] = value
        elif not key.startswith(METADATA_PREFIX):
            continue
        elif name == SECRETS:
            fields[name] = [part.strip() for part in value.split(",") if part.strip()]
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
    # For Ray, 0 reserves nothing. Here it gives the default, because a request is also a limit.
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


def python_script(entrypoint: str) -> PythonScript | None:
    """Return the script of a plain entrypoint; None where a shell is needed."""
    if not _PLAIN.fullmatch(entrypoint):
        return None
    interpreter, *words = shlex.split(entrypoint)
    if words[:1] == [_UNBUFFERED]:
        words = words[1:]
    if interpreter not in _INTERPRETERS or not words:
        return None
    path, *args = words
    if path.startswith(("-", "/")) or not path.endswith(".py"):
        return None
    return PythonScript(path, tuple(args))
