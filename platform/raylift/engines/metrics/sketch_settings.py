"""Directory of sketches, and the file there in which the supervisor tells the processes of a version what to sketch."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

_FILE: Final = "settings.json"


def sketches_directory(state_dir: Path) -> Path:
    """Directory of all sketches: files as those of the counters (counter_files.py)."""
    return state_dir / "sketches"


@dataclass(frozen=True, slots=True)
class SketchSettings:
    enabled: bool = True
    segment_column: str | None = None


def write_sketch_settings(directory: Path, settings: SketchSettings) -> None:
    """Write the file at once. The version's own code may write there, too: a link is replaced, not followed."""
    temporary = directory / f"{_FILE}.new"
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(asdict(settings), file)
    temporary.replace(directory / _FILE)


def read_sketch_settings(directory: Path) -> SketchSettings:
    """Read the file; the defaults where there is none that is readable."""
    try:
        found: Any = json.loads((directory / _FILE).read_text(encoding="utf-8"))
        return SketchSettings(bool(found["enabled"]), found["segment_column"])
    except (OSError, ValueError, KeyError, TypeError):
        return SketchSettings()
