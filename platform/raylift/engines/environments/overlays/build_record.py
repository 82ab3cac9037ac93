"""Records of announced, running and failed builds: a small file per overlay until it is complete."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from raylift.engines.environments.uv.process import Downloads

_FOLDER: Final = ".builds"
_REPORT_SECONDS: Final = 0.5


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """An unfinished or failed build."""

    hash: str
    lock: tuple[str, ...]
    at: datetime
    message: str | None
    """Reason of the failure; None while it is unfinished."""
    downloads: Downloads | None = None
    """None before the first download."""
    note: str | None = None
    """Hint for users who wait for the build."""


class ProgressFile:
    """Writes the progress of downloads into the record of a build."""

    def __init__(self, directory: Path, lock: Sequence[str], note: str | None) -> None:
        self._directory = directory
        self._lock = lock
        self._note = note
        self._written_at = float("-inf")

    def report(self, downloads: Downloads) -> None:
        """Write the progress, at most every half second."""
        if time.monotonic() - self._written_at >= _REPORT_SECONDS or downloads.done == downloads.size:
            write_record(self._directory, self._lock, downloads=downloads, note=self._note)
            self._written_at = time.monotonic()


def write_record(
    directory: Path,
    lock: Sequence[str],
    message: str | None = None,
    *,
    downloads: Downloads | None = None,
    note: str | None = None,
) -> None:
    """Record a build of the overlay in ``directory``, with ``message`` as a failed one."""
    path = _path(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    content: dict[str, Any] = {"lock": list(lock), "at": datetime.now(UTC).isoformat(), "message": message, "note": note}
    if downloads is not None:
        content["downloads"] = asdict(downloads)
    unfinished.write_text(json.dumps(content))
    unfinished.replace(path)


def drop_record(directory: Path) -> bool:
    """Delete the record of the overlay in ``directory``. Returns False if it has none."""
    try:
        _path(directory).unlink()
    except FileNotFoundError:
        return False
    return True


def read_records(root: Path) -> list[BuildRecord]:
    """Return all records below ``root``, oldest first."""
    records = map(_read, (root / _FOLDER).glob("*.json"))
    return sorted((record for record in records if record is not None), key=lambda record: record.at)


def read_record(directory: Path) -> BuildRecord | None:
    """Return the record of the overlay in ``directory``; None without one."""
    return _read(_path(directory))


def _read(path: Path) -> BuildRecord | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None  # Finished meanwhile, or incomplete after a power failure.
    at, downloads = datetime.fromisoformat(content["at"]), content.get("downloads")
    return BuildRecord(
        path.stem,
        tuple(content["lock"]),
        at,
        content["message"],
        Downloads(**downloads) if downloads else None,
        content.get("note"),
    )


def _path(directory: Path) -> Path:
    return directory.parent / _FOLDER / f"{directory.name}.json"
