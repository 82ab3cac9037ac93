"""Files of batches on the caller's machine: what is uploaded, and what is downloaded."""

from __future__ import annotations

import glob
import re
from pathlib import Path
from typing import Final

from raylift.client.http.connection import Connection
from raylift.domain.batches.batch import format_of

_REMOTE: Final = ("s3://", "file://")
_PATTERN: Final = re.compile(r"[*?\[]")
_SILENCE_SECONDS: Final = 60.0


def is_remote(location: str) -> bool:
    """Return True for a place that the platform reads or writes itself."""
    return location.startswith(_REMOTE)


def without_scheme(location: str) -> str:
    """Return a path of the platform's machine without ``file://``."""
    return location.removeprefix("file://")


def local_files(path: Path) -> list[Path]:
    """Return the files of a file, a folder, or a pattern.

    Raises:
        ValueError: There are none, or two have one name.
    """
    text = str(path)
    if path.is_dir():
        found = [each for each in path.rglob("*") if each.is_file() and format_of(each.name) and each.name[0] not in "._"]
    elif _PATTERN.search(text) and not path.exists():
        found = [Path(each) for each in glob.glob(text, recursive=True) if Path(each).is_file()]  # noqa: PTH207 - any path
    else:
        found = [path] if path.is_file() else []
    if not found:
        raise ValueError(f"{text} is no file here: write file:///… for a path on the platform's machine, or s3://…")
    names = [each.name for each in found]
    if repeated := next((name for name in names if names.count(name) > 1), None):
        raise ValueError(f"two files are named {repeated}: rename one, or let the platform read them (file:///…, s3://…)")
    return sorted(found)


def save(connection: Connection, path: str, target: Path) -> Path:
    """Download to a file, which appears whole or not at all."""
    draft = target.with_name(f".{target.name}.part")
    how = {"params": {}, "headers": {"Accept": "*/*"}}
    with connection.stream(path, **how, silence=_SILENCE_SECONDS) as response, draft.open("wb") as file:
        for piece in response.iter_bytes():
            file.write(piece)
    draft.replace(target)
    return target
