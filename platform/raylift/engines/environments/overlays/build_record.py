"""What is to be built, is being built, or could not be: one small file beside the overlays, until the overlay is there."""

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
    """A build that has not come to its end, or that failed."""

    hash: str
    lock: tuple[str, ...]
    at: datetime
    message: str | None
    """Why it failed; None while it goes on."""
    downloads: Downloads | None = None
    """Bytes downloaded so far; None before the first download has begun."""
    note: str | None = None
    """A sentence for whoever waits for it."""


class ProgressFile:
    """Writes into the record of a build how far its downloads are."""

    def __init__(self, directory: Path, lock: Sequence[str], note: str | None) -> None:
        self._directory = directory
        self._lock = lock
        self._note = note
        self._written_at = float("-inf")

    def report(self, downloads: Downloads) -> None:
        """Write it down, but not more often than somebody looks."""
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
    """Say that the overlay in ``directory`` is being built, or with a ``message`` that it could not be."""
    path = _path(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    content: dict[str, Any] = {"lock": list(lock), "at": datetime.now(UTC).isoformat(), "message": message, "note": note}
    if downloads is not None:
        content["downloads"] = asdict(downloads)
    unfinished.write_text(json.dumps(content))
    unfinished.replace(path)


def drop_record(directory: Path) -> bool:
    """Forget the build of the overlay in ``directory``; False when there is nothing to forget."""
    try:
        _path(directory).unlink()
    except FileNotFoundError:
        return False
    return True


def read_records(root: Path) -> list[BuildRecord]:
    """All there are below ``root``, the oldest first."""
    records: list[BuildRecord] = []
    for path in (root / _FOLDER).glob("*.json"):
        record = _read(path)
        if record is not None:
            records.append(record)
    return sorted(records, key=lambda record: record.at)


def read_record(directory: Path) -> BuildRecord | None:
    """The one of the overlay in ``directory``."""
    return _read(_path(directory))


def _read(path: Path) -> BuildRecord | None:
    try:
        content: dict[str, Any] = json.loads(path.read_text())
    except (FileNotFoundError, ValueError):
        return None  # Done meanwhile; or the machine lost its power before it was on the disk.
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
