"""What is to be built, is being built, or could not be: one small file beside the overlays, until the overlay is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

_FOLDER: Final = ".builds"


@dataclass(frozen=True, slots=True)
class BuildRecord:
    """A build that has not come to its end, or that failed."""

    hash: str
    lock: tuple[str, ...]
    at: datetime
    message: str | None
    """Why it failed; None while it goes on."""


def write_record(directory: Path, lock: Sequence[str], message: str | None = None) -> None:
    """Say that the overlay in ``directory`` is being built, or with a ``message`` that it could not be."""
    path = _path(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".tmp")
    unfinished.write_text(json.dumps({"lock": list(lock), "at": datetime.now(UTC).isoformat(), "message": message}))
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
        try:
            content: dict[str, Any] = json.loads(path.read_text())
        except (FileNotFoundError, ValueError):
            continue  # Done meanwhile; or the machine lost its power before it was on the disk.
        at = datetime.fromisoformat(content["at"])
        records.append(BuildRecord(path.stem, tuple(content["lock"]), at, content["message"]))
    return sorted(records, key=lambda record: record.at)


def _path(directory: Path) -> Path:
    return directory.parent / _FOLDER / f"{directory.name}.json"
