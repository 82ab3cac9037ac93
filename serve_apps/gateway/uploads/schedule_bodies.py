"""Reads the bodies of ``/mlops/schedules``: JSON with an upload in ``train``, or a form of an upload and ``schedule``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final, TypeVar

from fastapi import Request
from pydantic import ValidationError
from pydantic_core import to_json

from raylift.api.jobs.schedules import SchedulePatch, ScheduleRequest
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.settings import JobSettings
from serve_apps.gateway.http.bodies import field_errors, media_type, parse_model, read_body, require_json
from serve_apps.gateway.uploads.bodies import ReadUpload, max_upload_bytes, upload_of
from serve_apps.gateway.uploads.forms import MULTIPART, SCHEDULE, UploadForm, read_form

M = TypeVar("M", ScheduleRequest, SchedulePatch)

_NOT_AN_OBJECT: Final = "must be a JSON object"


async def read_schedule(
    request: Request, model: type[M], settings: JobSettings, http_hosts: Collection[str]
) -> tuple[M, ReadUpload | None]:
    """Return the schedule, and the upload of its template if there is one.

    Raises:
        UnsupportedMediaType, MalformedBody, TooLarge, InvalidRequest: as for an upload.
    """
    limit = max_upload_bytes(settings)
    if media_type(request) == MULTIPART:
        form = await read_form(request, max_bytes=limit + settings.max_project_bytes, http_hosts=http_hosts)
        asked = _schedule_of(form, model)
        return asked, ReadUpload(upload_of(form.fields, form.errors, strict=False), form.project)
    require_json(request)
    asked = parse_model(model, await read_body(request, max_bytes=limit))
    return asked, None if asked.train is None else ReadUpload(asked.train)


def _schedule_of(form: UploadForm, model: type[M]) -> M:
    fields = form.fields.pop(SCHEDULE, None)
    if not isinstance(fields, dict):
        raise InvalidRequest.of(FieldError(SCHEDULE, _NOT_AN_OBJECT), *form.errors)
    try:
        asked = model.model_validate_json(to_json(fields), strict=True)
    except ValidationError as error:
        found = [FieldError(f"{SCHEDULE}.{each.field}", each.detail) for each in field_errors(model, error)]
        raise InvalidRequest.of(*form.errors, *found) from error
    if asked.train is not None:
        raise InvalidRequest.of(FieldError(f"{SCHEDULE}.train", "is the rest of the form: leave it out"))
    return asked
