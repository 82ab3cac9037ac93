"""The body of an upload: JSON for a script, a form for a project."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from raylift.client.http.connection import Form
from raylift.client.jobs.script import Project, Script


def upload_body(source: Script | Project, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Named arguments of ``Connection.send``."""
    if isinstance(source, Script):
        script = {"script_content": source.content, "script_encoding": source.encoding, "script_name": source.name}
        return {"json": {**script, **fields}}
    texts = {name: _text(value) for name, value in fields.items() if value is not None}
    archive = ("project", source.archive, "application/octet-stream")
    return {"form": Form({**texts, "entrypoint": source.entrypoint}, {"project": archive})}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
