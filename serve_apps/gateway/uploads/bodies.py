"""The body of ``POST /mlops/training/upload``: JSON, or multipart/form-data with the same fields."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Final

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import to_json

from raylift.api.training import TrainingUpload
from raylift.domain.errors import FieldError
from raylift.services.uploads.checks import top_level_fields
from raylift.settings import JobSettings
from serve_apps.gateway.http.bodies import JSON, field_errors, media_type, parse_object, read_body
from serve_apps.gateway.http.errors import UnsupportedMediaType
from serve_apps.gateway.uploads.forms import MULTIPART, read_form

# JSON may escape each byte of a script as \u00xx, and there are other fields.
_ESCAPED: Final = 6
_OTHER_FIELDS_BYTES: Final = 4 * 1024 * 1024
_NEWER_FIELDS: Final = ("entrypoint", "sweep", "params", "take_traffic", "registers", "torch_backend")
_UNASKED: Final = {name: TrainingUpload.model_fields[name].get_default(call_default_factory=True) for name in _NEWER_FIELDS}
"""Left out where they ask for nothing: keys of an older release keep their meaning."""
_STAND_INS: Final[Mapping[str, Any]] = {"script_content": "pass", "experiment_name": "stand-in"}


@dataclass(frozen=True, slots=True)
class ReadUpload:
    """An upload as far as it could be read."""

    upload: TrainingUpload
    errors: list[FieldError]
    """About fields that could not be read; ``upload`` holds stand-ins in their place."""

    project: bytes | None = None
    """The archive of a project, as it came."""

    def fingerprint(self, project_sha256: str | None) -> str:
        """The same for two bodies that ask for the same, whatever their spaces, their order or their form's boundary."""
        fields = self.upload.model_dump(mode="json").items()
        asked = {name: value for name, value in fields if name not in _UNASKED or value != _UNASKED[name]}
        canonical = json.dumps(asked | ({"project_sha256": project_sha256} if project_sha256 else {}), sort_keys=True)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


async def read_upload(request: Request, settings: JobSettings) -> ReadUpload:
    """Read the body.

    Raises:
        UnsupportedMediaType: it is neither JSON nor a form.
        MalformedBody: it is not what its Content-Type says.
        TooLarge: it is larger than any script, project and their fields could be.
    """
    limit = settings.max_script_bytes * _ESCAPED + _OTHER_FIELDS_BYTES
    match media_type(request):
        case "application/json":
            fields = parse_object(await read_body(request, max_bytes=limit))
            return _validated(fields, [], strict=True)
        case "multipart/form-data":
            form = await read_form(request, max_bytes=limit + settings.max_project_bytes)
            read = _validated(form.fields, form.errors, strict=False)
            return replace(read, project=form.project)
        case other:
            raise UnsupportedMediaType(f"Send {JSON} or {MULTIPART}, not {other or 'a body without Content-Type'}.")


def _validated(fields: dict[str, Any], errors: list[FieldError], *, strict: bool) -> ReadUpload:
    if not errors:
        try:
            return ReadUpload(_upload(fields, strict=strict), [])
        except ValidationError as error:
            errors = field_errors(TrainingUpload, error)
    else:
        try:
            _upload(_readable(fields, errors), strict=strict)
        except ValidationError as error:
            errors = [*errors, *field_errors(TrainingUpload, error)]
    return ReadUpload(_upload(_readable(fields, errors), strict=strict), errors)


def _readable(fields: Mapping[str, Any], errors: list[FieldError]) -> dict[str, Any]:
    """``fields`` without those that cannot be read, and with stand-ins where they are required."""
    unread = top_level_fields(errors)
    rest = {name: value for name, value in fields.items() if name not in unread}
    return {**{name: value for name, value in _STAND_INS.items() if name in unread}, **rest}


def _upload(fields: Mapping[str, Any], *, strict: bool) -> TrainingUpload:
    # Through JSON: Pydantic's strictness about Python objects would refuse a dict where a model is meant.
    return TrainingUpload.model_validate_json(to_json(fields), strict=strict)
