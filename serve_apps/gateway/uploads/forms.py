"""Reads an upload as multipart/form-data: the script is a file part, other fields are text."""

from __future__ import annotations

import base64
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Final

from fastapi import Request
from pydantic_core import from_json
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException, MultiPartParser

from raylift.domain.errors import FieldError
from raylift.services.requirements.sources import read_uploaded
from raylift.services.uploads.scripts import encoding_of
from serve_apps.gateway.http.bodies import bounded_stream
from serve_apps.gateway.http.errors import MalformedBody

SCHEDULE: Final = "schedule"
"""JSON part of a form that makes a schedule (schedule_bodies.py)."""
MULTIPART: Final = "multipart/form-data"

_MAX_PARTS: Final = 2000
_SCRIPT: Final = "script"
_REQUIREMENTS_FILE: Final = "requirements_file"
_JSON_OBJECTS: Final = frozenset({"environment", "tags", "resources", "sweep", "params", "data", "promote"})
_LISTS: Final = frozenset({"requirements", "args", "secrets", "after"})
_PROJECT: Final = "project"
_OF_SINGLE_SCRIPTS: Final = ("script_content", "script_name", "script_encoding")


@dataclass(slots=True)
class UploadForm:
    """Fields as in the JSON body, read from the parts of a form."""

    fields: dict[str, Any] = field(default_factory=dict[str, Any])
    errors: list[FieldError] = field(default_factory=list[FieldError])
    project: bytes | None = None
    """Archive of a project, in place of ``script_content``."""

    def refuse(self, name: str, detail: str) -> None:
        self.errors.append(FieldError(name, detail))


async def read_form(request: Request, *, max_bytes: int, http_hosts: Collection[str]) -> UploadForm:
    """Read all parts. Errors of single parts are in ``errors``.

    Raises:
        MalformedBody: the body is not multipart/form-data.
        TooLarge: it is larger than ``max_bytes``.
    """
    parser = MultiPartParser(
        request.headers,
        bounded_stream(request, max_bytes),
        max_files=_MAX_PARTS,
        max_fields=_MAX_PARTS,
        max_part_size=max_bytes,
    )
    try:
        data = await parser.parse()
    except (MultiPartException, HTTPException, KeyError) as error:
        raise MalformedBody(f"The body is not a form: {getattr(error, 'message', error)}") from error
    try:
        return await _collect(data, http_hosts)
    finally:
        await data.close()


async def _collect(data: FormData, http_hosts: Collection[str]) -> UploadForm:
    parts: defaultdict[str, list[str]] = defaultdict(list)
    form = UploadForm()
    from_files: list[str] = []
    for name, part in data.multi_items():
        if name == _PROJECT:
            await _take_project(part, form)
            continue
        if name == _REQUIREMENTS_FILE:
            from_files += await _requirements_of(part, form, http_hosts)
            continue
        text = await _part_text(part, name, form)
        if text is not None:
            parts[name].append(text)
    for name, values in parts.items():
        _take(name, values, form)
    if from_files:
        form.fields.setdefault("requirements", []).extend(from_files)
    if form.project is not None:
        _take_no_script(form)
    return form


async def _part_text(part: UploadFile | str, name: str, form: UploadForm) -> str | None:
    if isinstance(part, str):
        return part
    if name != _SCRIPT:
        return await _text(part, name, form)
    file_name = PurePosixPath((part.filename or "").replace("\\", "/")).name
    if file_name.endswith((".py", ".ipynb")):  # Else it is a stream: "-" or "/dev/fd/63".
        form.fields["script_name"] = file_name
    return await _script_text(part, form)


async def _take_project(part: UploadFile | str, form: UploadForm) -> None:
    if isinstance(part, str):
        form.refuse(_PROJECT, "must be a file part: a .zip or .tar.gz")
    elif form.project is not None:
        form.refuse(_PROJECT, "is given twice")
    else:
        form.project = await part.read()


async def _requirements_of(part: UploadFile | str, form: UploadForm, http_hosts: Collection[str]) -> list[str]:
    raw, name = (part.encode(), None) if isinstance(part, str) else (await part.read(), part.filename)
    file_name = PurePosixPath((name or "requirements.txt").replace("\\", "/")).name
    lines, problems = read_uploaded(file_name, raw, http_hosts)
    for problem in problems:
        form.refuse("requirements", problem)
    return lines


def _take_no_script(form: UploadForm) -> None:
    for name in _OF_SINGLE_SCRIPTS:
        if form.fields.pop(name, None) is not None:
            form.refuse(name, "cannot be given with a project, whose script the field 'entrypoint' names")
    form.fields["script_content"] = ""


async def _script_text(part: UploadFile, form: UploadForm) -> str:
    """Return the script as in the JSON field: text, or base64 where it declares another encoding (PEP 263)."""
    content = await part.read()
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError:
        text = None
    if text is not None and encoding_of(content) == "utf-8":
        return text
    form.fields["script_encoding"] = "base64"
    return base64.b64encode(content).decode()


async def _text(part: UploadFile, name: str, form: UploadForm) -> str | None:
    try:
        return (await part.read()).decode("utf-8")
    except UnicodeDecodeError as error:
        form.refuse(name, f"is not UTF-8: {error.reason} at byte {error.start}")
        return None


def _take(name: str, values: Sequence[str], form: UploadForm) -> None:
    if name in _LISTS:
        _take_list(name, values, form)
    elif len(values) > 1:
        form.refuse(name, f"is given {len(values)} times")
    elif name == _SCRIPT:
        if form.fields.setdefault("script_content", values[0]) is not values[0]:
            form.refuse("script_content", "is given twice: as the part 'script' and as the field 'script_content'")
    elif name in _JSON_OBJECTS or name == SCHEDULE:
        form.fields[name] = _json(name, values[0], form)
    elif name == "script_content" and name in form.fields:
        form.refuse(name, "is given twice: as the part 'script' and as the field 'script_content'")
    elif not (
        name in {"model_name", "register", "torch_backend", "isolation", "network"} and not values[0]
    ):  # An empty field of a form is null.
        form.fields[name] = values[0]


def _take_list(name: str, values: Sequence[str], form: UploadForm) -> None:
    items: list[Any] = form.fields.setdefault(name, [])
    if len(values) == 1 and values[0].lstrip().startswith("["):
        parsed = _json(name, values[0], form)
        items.extend(parsed if isinstance(parsed, list) else [])
    else:
        items.extend(values)


def _json(name: str, text: str, form: UploadForm) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        form.refuse(name, f"is not JSON: {error}")
        return None


FORM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["experiment_name"],
    "description": "The fields of the JSON body; objects and lists as JSON text.",
    "properties": {
        "script": {
            "type": "string",
            "format": "binary",
            "description": "The script; its file name is script_name unless given.",
        },
        "project": {
            "type": "string",
            "format": "binary",
            "description": "Instead of script: a .zip or .tar.gz, recognised by its content.",
        },
        "entrypoint": {"type": "string", "description": "With project: the path of the script in it."},
        "experiment_name": {"type": "string"},
        "model_name": {"type": "string"},
        "register": {"type": "string"},
        "torch_backend": {"type": "string"},
        "isolation": {"type": "string", "enum": ["sandbox", "cluster"]},
        "network": {"type": "string", "enum": ["full", "mlflow-only", "none"]},
        "requirements": {"type": "array", "items": {"type": "string"}, "description": "Repeated, or one JSON list."},
        "requirements_file": {"type": "string", "format": "binary", "description": "A requirements.txt."},
        "args": {"type": "array", "items": {"type": "string"}, "description": "Repeated, or one JSON list."},
        "secrets": {"type": "array", "items": {"type": "string"}, "description": "Repeated, or one JSON list."},
        "after": {"type": "array", "items": {"type": "string"}, "description": "Repeated, or one JSON list."},
        **{name: {"type": "string", "description": "A JSON object."} for name in sorted(_JSON_OBJECTS)},
        **{name: {"type": "integer"} for name in ("timeout_seconds", "max_retries", "priority")},
        **{name: {"type": "boolean"} for name in ("autolog", "deploy", "take_traffic")},
    },
}
