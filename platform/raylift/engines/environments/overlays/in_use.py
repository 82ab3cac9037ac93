"""Detection of overlays in use, by two independent signs. An overlay in use is not removed.

1. Every Python of an overlay holds a shared lock on its file ``last_used`` (mark.py). The lock is visible across containers,
   and across nodes where the file system supports that.
2. A process of this machine names the overlay in its command line or environment: other programs of the overlay, scripts that
   have closed all files, and workers that Ray is starting.

``expected`` covers the time between the plugin's call and the start of the worker, when there is no process yet.
"""

from __future__ import annotations

import fcntl
import inspect
import logging
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from raylift.engines.environments.overlays import mark as overlay_mark

_LOG: Final = logging.getLogger(__name__)

LAST_USED: Final = "last_used"
_EXPECTED: Final = ".expected"
_EXPECTED_SECONDS: Final = 600.0
"""Maximum time between a built overlay and the start of its worker."""
_MODULE: Final = "_raylift_overlay_mark"

_LOCK_ATTEMPTS: Final = 3
_LOCK_PAUSE_SECONDS: Final = 0.003


def install_mark(directory: Path) -> None:
    """Make every Python of the overlay in ``directory`` hold the lock from its start."""
    (directory / LAST_USED).touch()
    line = f"import {_MODULE}; {_MODULE}.hold({str(directory / LAST_USED)!r})\n"
    for packages in sorted({path.resolve() for path in directory.glob("lib*/python*/site-packages")}):
        (packages / f"{_MODULE}.py").write_text(inspect.getsource(overlay_mark))
        (packages / f"{_MODULE}.pth").write_text(line)


@contextmanager
def shared(directory: Path) -> Iterator[None]:
    """Block the removal of the overlay. It may be absent: check after entering."""
    with _descriptor(directory, os.O_RDONLY) as file:
        if file is not None:
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def note_use(directory: Path, *, expected: bool = False) -> None:
    """Record a use of the overlay now; ``expected``: a worker will start in it. No effect in a read-only directory."""
    path = directory / (_EXPECTED if expected else LAST_USED)
    try:
        if expected:
            path.touch()
        # The kernel's own time of a touch may be ten milliseconds old, which could change the order.
        now = time.time_ns()
        os.utime(path, ns=(now, now))
    except OSError as error:
        _LOG.debug("could not mark %s as used: %s", directory, error)


def last_used(directory: Path) -> float:
    """Return the time of the last start in the overlay or request for it, in seconds since the epoch."""
    return max(_modified(directory / LAST_USED), _modified(directory / _EXPECTED))


@contextmanager
def exclusive(directory: Path) -> Iterator[bool]:
    """Yield True where the overlay is not in use; its use is then blocked until the block ends."""
    with _descriptor(directory, os.O_RDWR) as file:
        if file is not None and not _lock_alone(file):
            yield False
        else:
            yield not is_expected(directory) and directory.name not in named_by_processes(directory.parent)


def is_locked(directory: Path) -> bool:
    """Return True where a process holds the overlay's lock."""
    with _descriptor(directory, os.O_RDWR) as file:
        return file is not None and not _lock_alone(file)


def is_expected(directory: Path) -> bool:
    """Return True where a worker will start in the overlay."""
    expected = _modified(directory / _EXPECTED)
    return expected > _modified(directory / LAST_USED) and time.time() - expected < _EXPECTED_SECONDS


def named_by_processes(root: Path) -> set[str]:
    """Return the overlays below ``root`` that a process of this machine names in its command line or environment.

    Environments of other users' processes cannot be read; their lock covers them.
    """
    roots = {os.fsencode(path) for path in (root, root.resolve())}
    pattern = re.compile(rb"(?:%s)/([0-9a-f]{24})" % b"|".join(map(re.escape, sorted(roots))))
    found: set[bytes] = set()
    for file in (file for name in ("cmdline", "environ") for file in Path("/proc").glob(f"[0-9]*/{name}")):
        with suppress(OSError):
            found.update(pattern.findall(file.read_bytes()))
    return {name.decode() for name in found}


def processes_in(directory: Path) -> dict[int, str]:
    """Return the processes of this machine that use the overlay: pid and command line."""
    mark, named = str(directory / LAST_USED), re.compile(rb"(?:%s)(?![0-9a-f])" % re.escape(os.fsencode(directory)))
    found: dict[int, str] = {}
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            if named.search(command + (process / "environ").read_bytes()) or mark in _open_files(process):
                found[int(process.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace").strip()
    return found


def _open_files(process: Path) -> set[str]:
    names: set[str] = set()
    for file in (process / "fd").iterdir():
        with suppress(OSError):
            names.add(str(file.readlink()))
    return names


@contextmanager
def _descriptor(directory: Path, mode: int) -> Iterator[int | None]:
    # NFS requires a file opened for writing for an exclusive lock, and for reading for a shared one.
    try:
        file = os.open(directory / LAST_USED, mode | os.O_CLOEXEC)
    except FileNotFoundError:
        yield None
        return
    try:
        yield file
    finally:
        os.close(file)


def _lock_alone(file: int) -> bool:
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Another check holds the lock for microseconds; a worker holds it for its whole life.
            time.sleep(_LOCK_PAUSE_SECONDS)
        else:
            return True
    return False


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
