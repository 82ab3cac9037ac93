"""Reads the body of ``POST /mlops/batches``: JSON, or a form with the part ``batch`` and files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from raylift.api.jobs.batches import BatchRequest
from raylift.domain.batches.batch import Format, OnError
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.job import Resources
from raylift.domain.quantities import parse_bytes
from raylift.services.batches.request import BatchRequest as WantedBatch
from raylift.services.batches.request import UploadedFile
from serve_apps.gateway.http.bodies import bounded_stream, media_type, parse_model, read_body, require_json
from serve_apps.gateway.http.errors import MalformedBody
from serve_apps.gateway.uploads.forms import MULTIPART

BATCH: Final = "batch"
FILE: Final = "file"
_MOST_FILES: Final = 1000
_JSON_BYTES: Final = 4 * 1024 * 1024
_PIECE: Final = 1 << 20

FORM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": [BATCH, FILE],
    "properties": {
        BATCH: {"type": "string", "description": "JSON of BatchRequest, without input."},
        FILE: {"type": "array", "items": {"type": "string", "format": "binary"}, "description": "The input files."},
    },
}


@dataclass(slots=True)
class ReadBatch:
    """A body whose fields have the right types."""

    asked: BatchRequest
    files: list[UploadedFile] = field(default_factory=list[UploadedFile])
    form: FormData | None = None

    def fingerprint(self) -> str:
        """Return a hash of the fields and the files."""
        digest = hashlib.sha256(self.asked.model_dump_json().encode())
        for file in self.files:
            digest.update(f"\0{file.name}\0".encode())
            while piece := file.content.read(_PIECE):
                digest.update(piece)
            file.content.seek(0)
        return digest.hexdigest()

    async def close(self) -> None:
        """Remove temporary files of the form."""
        if self.form is not None:
            await self.form.close()


async def read_batch(request: Request, *, max_bytes: int) -> ReadBatch:
    """Read the body. Large files of a form are on disk until ``close``.

    Raises:
        UnsupportedMediaType, MalformedBody, TooLarge, InvalidRequest.
    """
    if media_type(request) != MULTIPART:
        require_json(request)
        return ReadBatch(parse_model(BatchRequest, await read_body(request, max_bytes=_JSON_BYTES)))
    parser = MultiPartParser(
        request.headers,
        bounded_stream(request, max_bytes),
        max_files=_MOST_FILES,
        max_fields=1,
        max_part_size=_JSON_BYTES,
    )
    try:
        form = await parser.parse()
    except (MultiPartException, HTTPException, KeyError) as error:
        raise MalformedBody(f"The body is not a form: {getattr(error, 'message', error)}") from error
    try:
        return _collected(form)
    except InvalidRequest:
        await form.close()
        raise


def batch_of(asked: BatchRequest, uploads: Sequence[UploadedFile], *, owner: str, workspace: str) -> WantedBatch:
    """Translate a request for the service."""
    return WantedBatch(
        model_name=asked.model_name,
        version=asked.model_version,
        alias=asked.alias,
        after=asked.after,
        input=asked.input,
        uploads=uploads,
        output=asked.output,
        input_format=Format(asked.input_format) if asked.input_format else None,
        output_format=Format(asked.output_format) if asked.output_format else None,
        columns=asked.columns,
        keep=asked.keep,
        probabilities=asked.return_probabilities,
        on_error=OnError(asked.on_error),
        stamp=asked.stamp,
        params=asked.params,
        secrets=asked.secrets,
        resources=Resources(asked.resources.cpus, parse_bytes(asked.resources.memory), asked.resources.gpus),
        timeout_seconds=asked.timeout_seconds,
        max_retries=asked.max_retries,
        priority=asked.priority,
        tags=asked.tags,
        owner=owner,
        workspace=workspace,
    )


def _collected(form: FormData) -> ReadBatch:
    text = form.get(BATCH)
    if not isinstance(text, str):
        raise InvalidRequest.of(FieldError(BATCH, "is required: the fields of the batch as JSON"))
    files: list[UploadedFile] = []
    for name, part in form.multi_items():
        if name == BATCH:
            continue
        if not isinstance(part, UploadFile):
            raise InvalidRequest.of(FieldError(name, "is no file: give the fields as JSON in the part batch"))
        files.append(UploadedFile(PurePosixPath((part.filename or "").replace("\\", "/")).name, part.file))
    return ReadBatch(parse_model(BatchRequest, text.encode()), files, form)
