"""The script of a project that its upload names."""

from __future__ import annotations

import difflib
from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Final

from raylift.domain.errors import FieldError
from raylift.domain.project import UnsafePath, checked_path

FIELD: Final = "entrypoint"


def find_entrypoint(name: str | None, paths: Collection[str]) -> str | FieldError:
    """The path of the entrypoint in the project, or what is wrong with ``name``."""
    if not name:
        return FieldError(FIELD, f"is required with a project: the path of the script in it{_suggestion('train.py', paths)}")
    try:
        path = checked_path(name)
    except UnsafePath as error:
        return FieldError(FIELD, str(error))
    if not path.endswith((".py", ".ipynb")):
        return FieldError(FIELD, f"is {path!r}, which is neither a Python file nor a notebook")
    if path not in paths:
        return FieldError(FIELD, f"is {path!r}, which is not in the project{_suggestion(path, paths)}")
    return path


def _suggestion(wanted: str, paths: Collection[str]) -> str:
    """The script that may be meant: one of that name deeper down (archives often have one folder around everything)."""
    scripts = sorted((path for path in paths if path.endswith(".py")), key=lambda path: (path.count("/"), path))
    named = [path for path in scripts if PurePosixPath(path).name == PurePosixPath(wanted).name]
    close = named or difflib.get_close_matches(wanted, scripts, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
