"""Overlays: a virtual environment per lock, on top of the base, built once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from filelock import FileLock, Timeout

from raylift.engines.environments.base import base_site_directories
from raylift.engines.environments.errors import BuildCancelled, EnvironmentBuildFailed
from raylift.engines.environments.overlays.build_record import ProgressFile, drop_record, read_record, write_record
from raylift.engines.environments.overlays.in_use import install_mark, note_use, shared
from raylift.engines.environments.overlays.sizes import as_record, packages_in, size_of
from raylift.engines.environments.runtime_env import READY
from raylift.engines.environments.uv.commands import InstallerFailure, run_uv
from raylift.engines.environments.uv.process import Cancelled, Report

_BUILD_SECONDS: Final = 1800.0
_NEEDS_A_BUILD: Final = re.compile(r"building (from source|source distributions).{0,200} is disabled", re.IGNORECASE)
"""uv's words, with ``--no-build``, for a package that has no wheel."""
_FORMAT: Final = 2
"""Changes with the way of building, so that overlays of older releases are not used."""
_LOCKS: Final = ".locks"


def environment_hash(lock: Sequence[str]) -> str:
    """Return the name of the overlay of ``lock``.

    It includes the interpreter and the base's path, because an overlay has compiled code and that path.
    """
    base = [str(directory) for directory in base_site_directories()]
    content = [_FORMAT, sorted(set(lock)), sys.implementation.cache_tag, os.path.realpath(sys.executable), base]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:24]


def overlay_directory(lock: Sequence[str], root: Path) -> Path:
    """Return the directory of the overlay of ``lock``, which may not exist yet."""
    return root / environment_hash(lock)


def overlay_python(directory: Path) -> Path:
    """Return the interpreter of the overlay in ``directory``."""
    return directory / "bin" / "python"


def download_cache(root: Path) -> Path:
    """Return uv's cache for the overlays below ``root``: on their file system, so that packages are linked, not copied."""
    return root / ".cache"


def resolver_cache(root: Path) -> Path:
    """Return uv's cache for resolutions, which may run code of packages: nothing is installed from it."""
    return root / ".cache-resolve"


def is_built(directory: Path) -> bool:
    """Return True where the overlay in ``directory`` is complete and its interpreter exists."""
    return read_ready(directory) is not None and overlay_python(directory).exists()


def read_ready(directory: Path) -> dict[str, Any] | None:
    """Return the record of a complete overlay (lock, created, size, packages); None for an incomplete one.

    A record that is damaged by a power failure counts as incomplete, because the packages may be damaged too.
    """
    try:
        return json.loads((directory / READY).read_bytes())
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None


def ensure_overlay(lock: Sequence[str], root: Path, *, expected: bool = False, cancelled: Cancelled = lambda: False) -> Path:
    """Return the Python of the overlay of ``lock``, and build it first if needed. Concurrent callers share one build.

    Args:
        lock: pins, in any order.
        root: directory of all overlays.
        expected: a worker will start in it, so it must not be removed before that.
        cancelled: polled during the build; True stops it and leaves only uv's cache.

    Raises:
        EnvironmentBuildFailed: a package could not be fetched, built or installed.
        BuildCancelled: ``cancelled`` returned True.
    """
    directory = overlay_directory(lock, root)
    with shared(directory):
        built = is_built(directory)
        if built:
            note_use(directory, expected=expected)
    if not built:
        # Removal takes this lock too, so the overlay cannot disappear between its build and the note.
        with build_lock(directory, cancelled=cancelled):
            if not is_built(directory):
                _build(sorted(set(lock)), directory, cancelled)
            note_use(directory, expected=expected)
    return overlay_python(directory)


@contextmanager
def build_lock(directory: Path, *, timeout: float = _BUILD_SECONDS, cancelled: Cancelled = lambda: False) -> Iterator[None]:
    """Lock out other builds and removals of the overlay.

    Raises:
        EnvironmentBuildFailed: another process has held the lock for ``timeout`` seconds.
        BuildCancelled: ``cancelled`` returned True during the wait.
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
    # A virtual environment cannot be moved, so it is built in place. The rest of a killed build has no .ok and is deleted.
    _clear(directory)
    announced = read_record(directory)
    note = announced.note if announced else None
    write_record(directory, lock, note=note)
    cache = download_cache(directory.parent)
    try:
        _make_empty(directory, cache)
        report = ProgressFile(directory, lock, note).report
        try:
            # Wheels alone run no code. So uv is not confined, and links files from the common cache.
            _install(lock, directory, cache, cancelled, report, options=["--no-build"])
        except InstallerFailure as failure:
            if not _NEEDS_A_BUILD.search(str(failure)):
                raise
            # uv takes packages of a failed installation for installed ones.
            _make_empty(directory, cache)
            # The code of the package that is built sees a cache of its own: others install from the common one.
            with tempfile.TemporaryDirectory(prefix=".build-", dir=directory.parent) as own:
                confined = {"UV_CACHE_DIR": own}
                _install(lock, directory, Path(own), cancelled, report, defaults=confined, writes=[directory])
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


def _install(
    lock: Sequence[str],
    directory: Path,
    cache: Path,
    cancelled: Cancelled,
    report: Report,
    *,
    options: Sequence[str] = (),
    defaults: Mapping[str, str] | None = None,
    writes: Sequence[Path] | None = None,
) -> None:
    run_uv(
        # The lock is complete, hence --no-deps. uv does not see the base and would install it again.
        ["pip", "install", "--python", str(overlay_python(directory)), "--no-deps", *options, "--requirements", "-"],
        stdin="\n".join(lock) + "\n",
        cache_dir=cache,
        timeout=_BUILD_SECONDS,
        # uv copies files that it cannot link.
        defaults={"UV_LINK_MODE": "hardlink", **(defaults or {})},
        cancelled=cancelled,
        report=report,
        writes=writes,
    )


def _make_empty(directory: Path, cache: Path) -> None:
    """Make the virtual environment anew, with the base's packages only."""
    run_uv(["venv", "--clear", "--python", sys.executable, str(directory)], cache_dir=cache, timeout=_BUILD_SECONDS)
    _see_base(directory)


def _see_base(directory: Path) -> None:
    """Append the base's packages and the entries of its .pth files to the overlay's sys.path."""
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


def _clear(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)
