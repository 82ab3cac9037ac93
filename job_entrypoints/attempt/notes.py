"""Reads and writes script.json: notes of the script's process for its monitor. Most scripts have none."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

ERROR = "error"
"""Type and text of the exception that ended the script, or the text of ``sys.exit``."""
ENDED_AT = "ended_at"
"""End of the main thread while others kept the process, in seconds since the epoch."""
HELD_BY = "held_by"
"""Names of those threads and processes."""
TRACKING_URI = "tracking_uri"
"""Address at which the script tracks its runs, if that is not the job's MLflow."""
LIBRARY = "library"
"""The training library of the script, by the name of its module."""
AUTOLOG_FAILURE = "autolog_failure"
"""MLflow's sentence on an autologging that failed."""

_LIMIT = 1 << 16


def add_notes(path: str, notes: Mapping[str, Any]) -> None:
    """Add to the notes in the file."""
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    temporary = f"{path}.{os.getpid()}.tmp"
    with open(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "w", encoding="utf-8") as file:
        json.dump({**read_notes(path), **notes}, file)
    os.replace(temporary, path)


def read_notes(path: str) -> dict[str, Any]:
    """Read the notes; {} if there are none or the script damaged the file."""
    try:
        notes = json.loads(read_small(path))
    except (OSError, ValueError, RecursionError):
        return {}
    return notes if isinstance(notes, dict) else {}


def read_small(path: str) -> bytes:
    """Read the beginning of a file that a script may have replaced. Does not wait for a pipe or follow a link."""
    with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW), "rb") as file:
        return file.read(_LIMIT) or b""


def text_of(notes: Mapping[str, Any], name: str, limit: int = 2000) -> str | None:
    """One note as printable text of at most ``limit`` characters; None if there is none."""
    value = notes.get(name)
    if not isinstance(value, str):
        return None
    shown = "".join(letter if letter.isprintable() else " " for letter in value).strip()
    return f"{shown[:limit]}…" if len(shown) > limit else shown or None
