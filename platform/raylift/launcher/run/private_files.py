"""Files that only the platform's user may read: the store, runs, models, logs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

PRIVATE_UMASK: Final = 0o077
"""Mask of the files of started servers."""


def make_private(directory: Path) -> None:
    """Create a directory that only its owner may enter, or close an existing one for others."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    directory.chmod(0o700)


def make_files_private(directory: Path, pattern: str) -> None:
    """Close the existing files of a directory for others."""
    for path in directory.glob(pattern):
        path.chmod(0o600)


def write_private(path: Path, text: str) -> None:
    """Replace a file with one that only its owner may read."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    draft.replace(path)
