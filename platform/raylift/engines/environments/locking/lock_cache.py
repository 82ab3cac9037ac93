"""Cache of locks, so that repeated requirements need neither uv nor a package index.

Locks of exact pins are valid for 30 days. Locks of ranges are valid for ten minutes, as long as installers cache the pages of
PyPI, because a newer release may match. Direct references are never cached, because their file or commit may change.
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
from raylift.engines.environments.overlays.overlay import environment_hash, resolver_cache
from raylift.engines.environments.uv.process import Cancelled

_LOG: Final = logging.getLogger(__name__)
_FOLDER: Final = ".resolved"
_FORMAT: Final = 2
"""Changes with the way of resolving requirements."""
_PINS_LIFE: Final = timedelta(days=30)
_RANGES_LIFE: Final = timedelta(minutes=10)
_INDEX_SETTINGS: Final = ("UV_", "PIP_")
"""Prefixes of the variables that configure package indexes."""


def lock_of(
    requirements: Sequence[str],
    root: Path,
    *,
    torch_backend: str = AUTO_TORCH_BACKEND,
    refresh: bool = False,
    cancelled: Cancelled = lambda: False,
) -> tuple[str, ...]:
    """Resolve requirements like ``resolve``, or return a valid cached lock.

    Args:
        requirements: PEP 508 lines, in any order.
        root: directory of all overlays.
        torch_backend: build of PyTorch.
        refresh: ignore the cache.
        cancelled: polled while uv resolves; True stops it.

    Raises:
        EnvironmentUnresolvable: no packages meet them, or the index is unreachable.
        BuildCancelled: ``cancelled`` returned True.
    """
    life = _life(requirements)
    path = root / _FOLDER / f"{_key(requirements, torch_backend)}.json"
    cached = None if refresh or life is None else _load(path)
    if cached is not None and not _is_expired(cached):
        return tuple(cached["lock"])
    lock = resolve(requirements, cache_dir=resolver_cache(root), torch_backend=torch_backend, cancelled=cancelled)
    if lock and life is not None:
        _write(path, lock, datetime.now(UTC) + life)
    return lock


def forget_lock_of(directory: Path) -> None:
    """Delete cached locks of the overlay in ``directory``, so that the next resolution asks the index."""
    for path, record in _records(directory.parent):
        if record["environment"] == directory.name:
            path.unlink(missing_ok=True)


def forget_expired(root: Path) -> None:
    """Delete expired locks."""
    for path, record in _records(root):
        if _is_expired(record):
            path.unlink(missing_ok=True)


def _life(requirements: Sequence[str]) -> timedelta | None:
    """Return the validity of a lock of these; None: it must not be cached."""
    try:
        wanted = [Requirement(line) for line in requirements]
    except InvalidRequirement:
        return None  # resolve() reports it.
    if any(requirement.url for requirement in wanted):
        return None
    return _PINS_LIFE if all(map(_is_pin, wanted)) else _RANGES_LIFE


def _is_pin(requirement: Requirement) -> bool:
    return any(part.operator in {"==", "==="} and not part.version.endswith(".*") for part in requirement.specifier)


def _key(requirements: Sequence[str], torch_backend: str) -> str:
    # An installation into the base or a removal changes the time of one of its directories.
    base = [directory.stat().st_mtime_ns for directory in base_site_directories()]
    settings = sorted((name, value) for name, value in os.environ.items() if name.startswith(_INDEX_SETTINGS))
    content = [_FORMAT, environment_hash(requirements), torch_backend, base, settings]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def _records(root: Path) -> list[tuple[Path, dict[str, Any]]]:
    return [(path, record) for path in (root / _FOLDER).glob("*.json") if (record := _load(path)) is not None]


def _load(path: Path) -> dict[str, Any] | None:
    try:
        return json.loads(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        _LOG.warning("%s cannot be read: %s", path, error)
        return None


def _is_expired(record: dict[str, Any]) -> bool:
    return datetime.fromisoformat(record["until"]) <= datetime.now(UTC)


def _write(path: Path, lock: Sequence[str], until: datetime) -> None:
    record = {"lock": list(lock), "environment": environment_hash(lock), "until": until.isoformat()}
    unfinished = path.with_suffix(f".{os.getpid()}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished.write_text(json.dumps(record))
        unfinished.replace(path)
    except OSError as error:
        # Only the next resolution is slower.
        _LOG.warning("%s cannot be written: %s", path, error)
