"""The ends of log files, for error messages."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_TAIL_BYTES = 16 * 1024


def tail(path: Path, lines: int = 20) -> str:
    """The last lines of a file; empty when there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def tail_of_any(paths: Iterable[Path], lines: int = 10) -> str:
    """The ends of those that say anything, each under its name."""
    return "\n".join(f"{path.name}:\n{text}" for path in paths if (text := tail(path, lines).strip()))
