"""Locks that were resolved before: who asks for the same again waits neither for uv nor for a package index.

Exact pins mean the same next week. Ranges ask for the newest that there is, so their lock is believed for ten minutes only: as
long as installers believe the pages of PyPI. What a direct reference points to may be another file or commit any time, so
that is looked up each time.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from packaging.requirements import InvalidRequirement, Requirement

from raylift.domain.job import AUTO_TORCH_BACKEND
from raylift.engines.environments.base import base_site_directories
from raylift.engines.environments.locking.resolve import resolve
from raylift.engines.environments.overlays.overlay import download_cache, environment_hash
from raylift.engines.environments.uv.process import Cancelled

_LOG: Final = logging.getLogger(__name__)
_FOLDER: Final = ".resolved"
_FORMAT: Final = 2
"""Goes up when requirements are resolved in another way."""
_PINS_LIFE: Final = timedelta(days=30)
_RANGES_LIFE: Final = timedelta(minutes=10)
_INDEX_SETTINGS: Final = ("UV_", "PIP_")
"""How the variables begin that say where packages come from."""


def lock_of(
    requirements: Sequence[str],
    root: Path,
    *,
    torch_backend: str = AUTO_TORCH_BACKEND,
    afresh: bool = False,
    cancelled: Cancelled = lambda: False,
) -> tuple[str, ...]:
    """As ``resolve``, from memory where that is as good.

    Args:
        requirements: PEP 508 lines, in any order.
        root: The directory of all overlays.
        torch_backend: Which build of PyTorch is taken.
        afresh: Ask the index whatever is remembered.
        cancelled: Asked while uv resolves; once true, it is ended.

    Raises:
        EnvironmentUnresolvable: no packages meet them, or the index cannot be asked.
        BuildCancelled: ``cancelled`` said so.
    """
    life = _life(requirements)
    path = root / _FOLDER / f"{_key(requirements, torch_backend)}.json"
    remembered = None if afresh or life is None else _read(path)
    if remembered is not None:
        return tuple(remembered["lock"])
    lock = resolve(requirements, cache_dir=download_cache(root), torch_backend=torch_backend, cancelled=cancelled)
    if lock and life is not None:
        _write(path, lock, datetime.now(UTC) + life)
    return lock


def forget_lock_of(directory: Path) -> None:
    """Forget whatever led to the overlay in ``directory``: who removes one wants the next to be looked up."""
    for path, record in _records(directory.parent):
        if record["environment"] == directory.name:
            path.unlink(missing_ok=True)


def forget_expired(root: Path) -> None:
    """Delete what is no longer believed."""
    for path, record in _records(root):
        if _is_over(record):
            path.unlink(missing_ok=True)


def _life(requirements: Sequence[str]) -> timedelta | None:
    """How long a lock of these is good for; None: not at all."""
    try:
        wanted = [Requirement(line) for line in requirements]
    except InvalidRequirement:
        return None  # resolve() says what is wrong.
    if any(requirement.url for requirement in wanted):
        return None
    return _PINS_LIFE if all(map(_is_pin, wanted)) else _RANGES_LIFE


def _is_pin(requirement: Requirement) -> bool:
    return any(part.operator in {"==", "==="} and not part.version.endswith(".*") for part in requirement.specifier)


def _key(requirements: Sequence[str], torch_backend: str) -> str:
    # Whatever is installed into the base, or removed from it, is an entry more or less in one of its directories.
    base = [directory.stat().st_mtime_ns for directory in base_site_directories()]
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith(_INDEX_SETTINGS))
    content = [_FORMAT, environment_hash(requirements), torch_backend, base, settings]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _records(root: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(path, record) for path in (root / _FOLDER).glob("*.json") if (record := _load(path)) is not None]


def _read(path: Path) -> dict[str, Any] | None:
    record = _load(path)
    return None if record is None or _is_over(record) else record


def _load(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.warning("%s cannot be read: %s", path, error)
        return None


def _is_over(record: dict[str, Any]) -> bool:
    return datetime.fromisoformat(record["until"]) <= datetime.now(UTC)


def _write(path: Path, lock: Sequence[str], until: datetime) -> None:
    record = {"lock": list(lock), "environment": environment_hash(lock), "until": until.isoformat()}
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(record))
        unfinished.replace(path)
    except OSError as error:
        # It is only slower next time.
        _LOG.warning("%s cannot be written: %s", path, error)
