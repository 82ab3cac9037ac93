"""List of overlays, and their removal: least recently used first, never while in use."""

from __future__ import annotations

import logging
import os
import re
import shutil
import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from packaging.requirements import Requirement

from raylift.engines.environments.errors import EnvironmentBuildFailed, EnvironmentInUse
from raylift.engines.environments.locking.lock_cache import forget_expired, forget_lock_of
from raylift.engines.environments.overlays.build_record import BuildRecord, drop_record, read_records
from raylift.engines.environments.overlays.in_use import (
    exclusive,
    is_expected,
    is_locked,
    last_used,
    named_by_processes,
    note_use,
)
from raylift.engines.environments.overlays.overlay import build_lock, download_cache, environment_hash, read_ready
from raylift.engines.environments.overlays.sizes import Package, built_wheel_bytes, duplicate_bytes, packages_from, shared_bytes
from raylift.engines.environments.uv.commands import InstallerFailure, own_cache_is_used, run_uv
from raylift.engines.environments.uv.process import Downloads

_LOG: Final = logging.getLogger(__name__)
_NAME: Final = re.compile(r"[0-9a-f]{24}")
_TRASH: Final = ".trash"
_CACHE_SECONDS: Final = 600.0
_LONGEST_BUILD: Final = timedelta(hours=1)
_RECORD_LIFE: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Overlay:
    """An overlay on this machine: finished, being built, or failed."""

    hash: str
    lock: tuple[str, ...]
    created_at: datetime
    last_used_at: datetime | None = None
    size_bytes: int | None = None
    """Bytes of its files, and of uv's cache entries for packages built from source."""
    shared_bytes: int = 0
    """Part of ``size_bytes`` that other overlays also have."""
    packages: tuple[Package, ...] = ()
    in_use: bool = False
    built: bool = True
    message: str | None = None
    """Reason of a failed build."""
    downloads: Downloads | None = None
    """Progress of the downloads of a running build."""
    note: str | None = None
    """Hint for users who wait for the build."""


def list_overlays(root: Path) -> list[Overlay]:
    """Return the overlays below ``root``: unfinished and failed ones first, then by last use, oldest first."""
    built = _with_shares(_built(root))
    finished = {overlay.hash for overlay in built}
    unbuilt = [
        Overlay(
            record.hash,
            record.lock,
            record.at,
            built=False,
            message=_outcome(record),
            downloads=record.downloads,
            note=record.note,
        )
        for record in read_records(root)
        if record.hash not in finished
    ]
    return unbuilt + sorted(built, key=lambda overlay: overlay.last_used_at or overlay.created_at)


def disk_bytes(overlays: Sequence[Overlay]) -> int:
    """Return the bytes that the overlays occupy together. Shared files count once."""
    return sum(each.size_bytes or 0 for each in overlays) - duplicate_bytes([each.packages for each in overlays])


def remove_overlay(root: Path, name: str, *, wait: bool = True) -> bool:
    """Remove the overlay ``name`` and its downloads. Returns False if it does not exist.

    Args:
        root: directory of all overlays.
        name: its hash.
        wait: also wait for the removal of downloads, which uv delays while another uv process runs.

    Raises:
        EnvironmentInUse: a job, a replica or a build uses it.
    """
    if not _NAME.fullmatch(name):
        return False
    directory = root / name
    if not directory.is_dir():
        return drop_record(directory)
    record = read_ready(directory)
    lock = () if record is None else tuple(record["lock"])
    _remove(directory)
    dropping = threading.Thread(target=_drop_downloads, args=(root, [lock]), name=f"drop-{name}", daemon=True)
    dropping.start()
    if wait:
        dropping.join()
    return True


def make_room(root: Path, max_bytes: int, *, keep: str | None = None) -> list[str]:
    """Remove broken builds, then the least recently used overlays until the others occupy at most ``max_bytes``.

    Args:
        root: directory of all overlays.
        max_bytes: limit of their size together.
        keep: name of an overlay that is not removed.

    Returns:
        Names of the removed ones, broken ones included.
    """
    _empty_trash(root)
    overlays = [overlay for overlay in list_overlays(root) if overlay.built]
    finished = {overlay.hash for overlay in overlays}
    gone = [name for name in _names(root) if name not in finished and _try_to_remove(root / name)]
    locks: list[tuple[str, ...]] = []
    left = list(overlays)
    for overlay in overlays:
        if disk_bytes(left) <= max_bytes:
            break
        if overlay.hash != keep and not overlay.in_use and _try_to_remove(root / overlay.hash):
            gone.append(overlay.hash)
            locks.append(overlay.lock)
            left.remove(overlay)
    _drop_downloads(root, locks)
    for record in read_records(root):
        if datetime.now(UTC) - record.at > _RECORD_LIFE:
            drop_record(root / record.hash)
    forget_expired(root)
    if gone:
        _LOG.info("removed the environments %s; %d bytes are left", ", ".join(gone), disk_bytes(left))
    return gone


def make_room_after_build(root: Path, max_bytes: int, lock: Sequence[str], logger: logging.Logger) -> None:
    """Call ``make_room`` and keep the overlay of ``lock``. An OSError is logged: the next build tries again."""
    try:
        make_room(root, max_bytes, keep=environment_hash(lock))
    except OSError:
        logger.exception("could not make room in %s", root)


def _names(root: Path) -> list[str]:
    return sorted(path.name for path in root.glob("*") if _NAME.fullmatch(path.name))


def _built(root: Path) -> list[Overlay]:
    named = named_by_processes(root)
    wheels = built_wheel_bytes(download_cache(root)) if own_cache_is_used(os.environ) else {}
    return [overlay for name in _names(root) if (overlay := _read(root / name, named, wheels)) is not None]


def _with_shares(overlays: Sequence[Overlay]) -> list[Overlay]:
    shares = shared_bytes([overlay.packages for overlay in overlays])
    return [replace(overlay, shared_bytes=share) for overlay, share in zip(overlays, shares, strict=True)]


def _read(directory: Path, named: set[str], wheels: Mapping[str, int]) -> Overlay | None:
    record = read_ready(directory)
    if record is None:
        return None  # Unfinished, or removed meanwhile.
    running = directory.name in named or is_locked(directory)
    if running and not is_expected(directory):
        note_use(directory)  # A process that started days ago still uses the overlay now.
    created, packages = datetime.fromisoformat(record["created"]), packages_from(record)
    return Overlay(
        hash=directory.name,
        lock=tuple(record["lock"]),
        created_at=created,
        # A file's time may be up to ten milliseconds old (the kernel's last tick).
        last_used_at=max(created, datetime.fromtimestamp(last_used(directory), UTC)),
        size_bytes=record["size"] + sum(wheels.get(package.name, 0) for package in packages),
        packages=tuple(replace(package, size=package.size + wheels.get(package.name, 0)) for package in packages),
        in_use=running or is_expected(directory),
    )


def _outcome(record: BuildRecord) -> str | None:
    if record.message is None and datetime.now(UTC) - record.at > _LONGEST_BUILD:
        return "The build was interrupted."
    return record.message


def _try_to_remove(directory: Path) -> bool:
    try:
        _remove(directory)
    except EnvironmentInUse:
        return False
    return True


def _remove(directory: Path) -> None:
    """Move an unused overlay aside atomically, then delete it, so that no process sees a part of one."""
    busy = EnvironmentInUse(f"The environment {directory.name} is in use: a job, a replica or a build needs it.")
    trash = directory.parent / _TRASH
    trash.mkdir(exist_ok=True)
    try:
        with build_lock(directory, timeout=0), exclusive(directory) as free:
            if not free:
                raise busy
            aside = Path(tempfile.mkdtemp(prefix=f"{directory.name}.", dir=trash))
            if directory.exists():
                directory.replace(aside)
            drop_record(directory)
            forget_lock_of(directory)
    except EnvironmentBuildFailed:
        raise busy from None
    shutil.rmtree(aside, ignore_errors=True)


def _empty_trash(root: Path) -> None:
    """Delete the rest of interrupted removals."""
    for left in (root / _TRASH).glob("*"):
        shutil.rmtree(left, ignore_errors=True)  # Another process may be deleting it too.


def _drop_downloads(root: Path, locks: Iterable[tuple[str, ...]]) -> None:
    """Remove the packages from uv's cache, whose hard links would keep their disk space. Other overlays keep their links.

    A cache that uv's own variables name is not touched, because others may use it.
    """
    names = sorted({Requirement(pin).name for lock in locks for pin in lock})
    if not names or not own_cache_is_used(os.environ):
        return
    try:
        run_uv(["cache", "clean", *names], cache_dir=download_cache(root), timeout=_CACHE_SECONDS)
    except InstallerFailure as failure:
        _LOG.warning("uv's cache could not be cleaned of %s: %s", ", ".join(names), failure.message)
