"""Overlays: one small virtual environment per lock, above the base, built once and kept."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from raylift.engines.environments.base import base_site_directories
from raylift.engines.environments.errors import BuildCancelled, EnvironmentBuildFailed
from raylift.engines.environments.overlays.build_record import ProgressFile, drop_record, read_record, write_record
from raylift.engines.environments.overlays.in_use import install_mark, kept, note_use
from raylift.engines.environments.overlays.sizes import as_record, packages_in, size_of
from raylift.engines.environments.runtime_env import READY
from raylift.engines.environments.uv.commands import InstallerFailure, run_uv
from raylift.engines.environments.uv.process import Cancelled

_LOG: Final = logging.getLogger(__name__)
_BUILD_SECONDS: Final = 1800.0
_FORMAT: Final = 2
"""Goes up when overlays are built in another way, so that older ones are not taken for the new kind."""
_LOCKS: Final = ".locks"


def environment_hash(lock: Sequence[str]) -> str:
    """The name of the overlay of ``lock`` on this interpreter.

    The interpreter and the base's place are part of it: an overlay holds compiled code and the base's path.
    """
    base = [str(directory) for directory in base_site_directories()]
    content = [_FORMAT, sorted(set(lock)), sys.implementation.cache_tag, os.path.realpath(sys.executable), base]
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
    return read_ready(directory) is not None and overlay_python(directory).exists()


def read_ready(directory: Path) -> dict[str, Any] | None:
    """What the build wrote last of all: lock, created, size. None where it did not come to that.

    Nor where the machine lost its power before that was on the disk: then the packages may not be, either.
    """
    try:
        return json.loads((directory / READY).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def ensure_overlay(lock: Sequence[str], root: Path, *, expected: bool = False, cancelled: Cancelled = lambda: False) -> Path:
    """The Python executable of the overlay of ``lock``, built first if need be: once, however many ask.

    Args:
        lock: Pins, in any order.
        root: The directory of all overlays.
        expected: A worker is going to start in it, so it must not be removed before that.
        cancelled: Asked while it is built; once true, the build is ended and leaves nothing but uv's cache.

    Raises:
        EnvironmentBuildFailed: a package could not be fetched, built or installed.
        BuildCancelled: ``cancelled`` said so.
    """
    directory = overlay_directory(lock, root)
    with kept(directory):
        built = is_built(directory)
        if built:
            _note_use(directory, expected=expected)
    if not built:
        # Who removes overlays takes this lock too: none goes away between its building and the note.
        with build_lock(directory, cancelled=cancelled):
            if not is_built(directory):
                _build(sorted(set(lock)), directory, cancelled)
            _note_use(directory, expected=expected)
    return overlay_python(directory)


@contextmanager
def build_lock(directory: Path, *, timeout: float = _BUILD_SECONDS, cancelled: Cancelled = lambda: False) -> Iterator[None]:
    """Nobody else builds or removes the overlay meanwhile.

    Raises:
        EnvironmentBuildFailed: another process has held it for ``timeout`` seconds.
        BuildCancelled: ``cancelled`` said so before it was free.
    """
    locks = directory.parent / _LOCKS
    locks.mkdir(parents=True, exist_ok=True)
    try:
        lock = FileLock(locks / f"{directory.name}.lock").acquire(timeout, cancel_check=cancelled)
    except Timeout:
        if cancelled():
            raise BuildCancelled from None
        raise EnvironmentBuildFailed(
            f"Another process has been building the environment {directory.name} for over {timeout:.0f} seconds."
        ) from None
    with lock:
        yield


def _build(lock: Sequence[str], directory: Path, cancelled: Cancelled) -> None:
    # A virtual environment cannot be moved, so it is made in its place; what a killed build left there has no .ok.
    _clear(directory)
    announced = read_record(directory)
    note = announced.note if announced else None
    write_record(directory, lock, note=note)
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
            cancelled=cancelled,
            report=ProgressFile(directory, lock, note).report,
        )
        _finish(lock, directory)
    except BuildCancelled:
        _clear(directory)
        drop_record(directory)
        raise
    except (InstallerFailure, OSError) as failure:
        _clear(directory)
        message = f"The environment of {', '.join(lock)} could not be built: {failure}"
        write_record(directory, lock, message)
        raise EnvironmentBuildFailed(message, lock=tuple(lock)) from None
    drop_record(directory)


def _see_base(directory: Path) -> None:
    """Put the base's packages behind the overlay's own on sys.path, with what the base's own .pth files add."""
    lines = "".join(f"import site; site.addsitedir({str(path)!r})\n" for path in base_site_directories())
    for packages in sorted({path.resolve() for path in directory.glob("lib*/python*/site-packages")}):
        (packages / "_base.pth").write_text(lines)


def _finish(lock: Sequence[str], directory: Path) -> None:
    install_mark(directory)
    record = {
        "lock": list(lock),
        "created": datetime.now(UTC).isoformat(),
        "size": size_of(directory),
        "packages": as_record(packages_in(directory)),
    }
    unfinished = directory / f"{READY}.tmp"
    unfinished.write_text(json.dumps(record))
    unfinished.replace(directory / READY)


def _note_use(directory: Path, *, expected: bool) -> None:
    try:
        note_use(directory, expected=expected)
    except OSError as error:
        # On a node that mounts the environments read-only they are used all the same.
        _LOG.debug("could not mark %s as used: %s", directory, error)


def _clear(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
