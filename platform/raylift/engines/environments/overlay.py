"""Overlays: one small virtual environment per lock, above the base, built once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from raylift.engines.environments.base import base_site_directories
from raylift.engines.environments.errors import EnvironmentBuildFailed
from raylift.engines.environments.installer import InstallerFailure, run_uv

_LOG: Final = logging.getLogger(__name__)
_BUILD_SECONDS: Final = 1800.0
_READY: Final = ".ok"
_LAST_USED: Final = "last_used"
_LOCKS: Final = ".locks"


@dataclass(frozen=True, slots=True)
class Overlay:
    """A finished overlay."""

    hash: str
    lock: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime
    size_bytes: int
    """Sum of its files' sizes. Files hard-linked from uv's cache take no further space."""


def environment_hash(lock: Sequence[str]) -> str:
    """The name of the overlay of ``lock`` on this interpreter.

    The interpreter and the base's place are part of it: an overlay holds compiled code and the base's path.
    """
    base = [str(directory) for directory in base_site_directories()]
    content = [sorted(set(lock)), sys.implementation.cache_tag, os.path.realpath(sys.executable), base]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def overlay_directory(lock: Sequence[str], root: Path) -> Path:
    """Where the overlay of ``lock`` is, or will be."""
    return root / environment_hash(lock)


def overlay_python(directory: Path) -> Path:
    """The interpreter of the overlay in ``directory``."""
    return directory / "bin" / "python"


def download_cache(root: Path) -> Path:
    """The cache of uv for the overlays below ``root``: on the same file system, so that packages are linked and not copied."""
    return root / ".cache"


def is_built(directory: Path) -> bool:
    """Whether the overlay in ``directory`` is complete, and the interpreter it was built on still there."""
    return (directory / _READY).is_file() and overlay_python(directory).exists()


def ensure_overlay(lock: Sequence[str], root: Path) -> Path:
    """The Python executable of the overlay of ``lock``, built first if need be: once, however many ask.

    Raises:
        EnvironmentBuildFailed: a package could not be fetched, built or installed.
    """
    directory = overlay_directory(lock, root)
    if not is_built(directory):
        with _locked(directory):
            if not is_built(directory):
                _build(sorted(set(lock)), directory)
    _mark_used(directory)
    return overlay_python(directory)


def list_overlays(root: Path) -> list[Overlay]:
    """The finished overlays below ``root``, the longest unused first."""
    found = [_read(ready.parent) for ready in root.glob(f"*/{_READY}")]
    return sorted(found, key=lambda overlay: overlay.last_used_at)


def remove_overlay(root: Path, name: str) -> bool:
    """Remove the overlay ``name``; False when there is none. Processes that run in it lose files they have not loaded."""
    directory = root / name
    if directory.parent != root or not (directory / _READY).is_file():
        return False
    with _locked(directory):
        (directory / _READY).unlink(missing_ok=True)
        shutil.rmtree(directory)
    return True


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    locks = directory.parent / _LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(locks / f"{directory.name}.lock", timeout=_BUILD_SECONDS):
            yield
    except Timeout:
        raise EnvironmentBuildFailed(
            f"Another process has been building the environment {directory.name} for over {_BUILD_SECONDS:.0f} seconds."
        ) from None


def _build(lock: Sequence[str], directory: Path) -> None:
    # A virtual environment cannot be moved, so it is made in its place; what a killed build left there has no .ok.
    _clear(directory)
    cache = download_cache(directory.parent)
    try:
        run_uv(["venv", "--python", sys.executable, str(directory)], cache_dir=cache, timeout=_BUILD_SECONDS)
        python = overlay_python(directory)
        _see_base(directory)
        run_uv(
            # --no-deps: the lock is complete, and uv, which does not see the base, would install it once more.
            ["pip", "install", "--python", str(python), "--no-deps", "--requirements", "-"],
            stdin="\n".join(lock) + "\n",
            cache_dir=cache,
            timeout=_BUILD_SECONDS,
            # uv copies where it cannot link.
            defaults={"UV_LINK_MODE": "hardlink"},
        )
    except InstallerFailure as failure:
        _clear(directory)
        raise EnvironmentBuildFailed(
            f"The environment of {', '.join(lock)} could not be built: {failure.message}", lock=tuple(lock)
        ) from None
    _finish(lock, directory)


def _see_base(directory: Path) -> None:
    """Put the base's packages behind the overlay's own on sys.path, with what the base's own .pth files add."""
    lines = "".join(f"import site; site.addsitedir({str(path)!r})\n" for path in base_site_directories())
    for packages in sorted({path.resolve() for path in directory.glob("lib*/python*/site-packages")}):
        (packages / "_base.pth").write_text(lines)


def _finish(lock: Sequence[str], directory: Path) -> None:
    record = {"lock": list(lock), "created": datetime.now(UTC).isoformat(), "size": _size(directory)}
    (directory / _LAST_USED).touch()
    unfinished = directory / f"{_READY}.tmp"
    unfinished.write_text(json.dumps(record))
    unfinished.replace(directory / _READY)


def _mark_used(directory: Path) -> None:
    try:
        now = time.time_ns()
        os.utime(directory / _LAST_USED, ns=(now, now))
    except OSError as error:
        # On a node that mounts the environments read-only they are used all the same.
        _LOG.debug("could not mark %s as used: %s", directory, error)


def _read(directory: Path) -> Overlay:
    record = json.loads((directory / _READY).read_text())
    return Overlay(
        hash=directory.name,
        lock=tuple(record["lock"]),
        created_at=datetime.fromisoformat(record["created"]),
        last_used_at=datetime.fromtimestamp((directory / _LAST_USED).stat().st_mtime, UTC),
        size_bytes=record["size"],
    )


def _size(directory: Path) -> int:
    return sum(path.lstat().st_size for path in directory.rglob("*") if not path.is_dir())


def _clear(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
