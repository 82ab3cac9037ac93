"""Reads the body of ``POST /mlops/training/upload``: JSON, or multipart/form-data with the same fields."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import to_json

from raylift.api.training import TrainingUpload
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.settings import JobSettings
from serve_apps.gateway.http.bodies import JSON, field_errors, media_type, parse_object, read_body
from serve_apps.gateway.http.errors import UnsupportedMediaType
from serve_apps.gateway.uploads.forms import MULTIPART, read_form

# JSON may escape each byte of a script as \u00xx, and there are other fields.
_ESCAPED: Final = 6
_OTHER_FIELDS_BYTES: Final = 4 * 1024 * 1024
_NEWER_FIELDS: Final = (
    "entrypoint",
    "sweep",
    "params",
    "take_traffic",
    "registers",
    "torch_backend",
    "isolation",
    "network",
    "secrets",
    "promote",
)
_DEFAULTS: Final = {name: TrainingUpload.model_fields[name].get_default(call_default_factory=True) for name in _NEWER_FIELDS}
"""Left out of the fingerprint at their default: idempotency keys of an older release keep their meaning."""


@dataclass(frozen=True, slots=True)
class ReadUpload:
    """A body whose fields have the right types."""

    upload: TrainingUpload
    project: bytes | None = None
    """Archive of a project, unchecked."""

    def fingerprint(self, project_sha256: str | None) -> str:
        """Return a hash that ignores spaces, the order of fields and the boundary of a form."""
        fields = self.upload.model_dump(mode="json").items()
        asked = {name: value for name, value in fields if name not in _DEFAULTS or value != _DEFAULTS[name]}
        canonical = json.dumps(asked | ({"project_sha256": project_sha256} if project_sha256 else {}), sort_keys=True)
        return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()


async def read_upload(request: Request, settings: JobSettings, http_hosts: Collection[str]) -> ReadUpload:
    """Read the body. Requirements may name files of ``http_hosts`` by http.

    Raises:
        UnsupportedMediaType: it is neither JSON nor a form.
        MalformedBody: it is not what its Content-Type says.
        TooLarge: it is larger than any script, project and their fields could be.
        InvalidRequest: fields are missing, unknown or of another type; ``errors`` names all of them.
    """
    limit = max_upload_bytes(settings)
    match media_type(request):
        case "application/json":
            fields = parse_object(await read_body(request, max_bytes=limit))
            return ReadUpload(upload_of(fields, strict=True))
        case "multipart/form-data":
            form = await read_form(request, max_bytes=limit + settings.max_project_bytes, http_hosts=http_hosts)
            return ReadUpload(upload_of(form.fields, form.errors, strict=False), form.project)
        case other:
            raise UnsupportedMediaType(f"Send {JSON} or {MULTIPART}, not {other or 'a body without Content-Type'}.")


def max_upload_bytes(settings: JobSettings) -> int:
    """Return the limit of a body without a project."""
    return settings.max_script_bytes * _ESCAPED + _OTHER_FIELDS_BYTES


def upload_of(fields: Mapping[str, Any], unreadable: Sequence[FieldError] = (), *, strict: bool) -> TrainingUpload:
    """Build the wire model. ``unreadable`` are errors of parts of a form that could not be read."""
    try:
        # Through JSON: Pydantic's strictness about Python objects would refuse a dict where a model is meant.
        upload = TrainingUpload.model_validate_json(to_json(fields), strict=strict)
    except ValidationError as error:
        known = {_top_level(found.field) for found in unreadable}
        others = [found for found in field_errors(TrainingUpload, error) if _top_level(found.field) not in known]
        raise InvalidRequest.of(*unreadable, *others) from error
    if unreadable:
        raise InvalidRequest.of(*unreadable)
    return upload


def _top_level(field: str) -> str:
    return re.split(r"[.\[]", field, maxsplit=1)[0]
