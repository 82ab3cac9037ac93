"""Whether anybody runs in an overlay: asked before one is removed, answered by two marks that do not need each other.

1. Every Python of an overlay holds a shared lock on its ``last_used`` from its first moment on (overlay_mark.py). It is seen
   across containers, and across nodes where the file system has locks that are.
2. On this machine, a process whose command line or environment names the overlay counts as well: other programs of it, scripts
   that have closed all their files, and workers that Ray is about to start.

Between Ray's being told of an overlay and the start of the worker there is no process yet. That gap is bridged by ``expected``.
"""

from __future__ import annotations

import fcntl
import inspect
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from raylift.engines.environments.overlays import mark as overlay_mark

LAST_USED: Final = "last_used"
_EXPECTED: Final = ".expected"
_EXPECTED_SECONDS: Final = 600.0
"""How long Ray may take from the built overlay to a worker that runs in it."""
_MODULE: Final = "_raylift_overlay_mark"
_FILES: Final = ("cmdline", "environ")
_LOOKS: Final = 3
_LOOK_SECONDS: Final = 0.003


def install_mark(directory: Path) -> None:
    """Make every Python of the overlay in ``directory`` hold the lock."""
    (directory / LAST_USED).touch()
    line = f"import {_MODULE}; {_MODULE}.hold({str(directory / LAST_USED)!r})\n"
    for packages in sorted({path.resolve() for path in directory.glob("lib*/python*/site-packages")}):
        (packages / f"{_MODULE}.py").write_text(inspect.getsource(overlay_mark))
        (packages / f"{_MODULE}.pth").write_text(line)


@contextmanager
def kept(directory: Path) -> Iterator[None]:
    """Nobody removes the overlay meanwhile. One that is not there cannot be kept: look after entering."""
    with _descriptor(directory, os.O_RDONLY) as file:
        if file is not None:
            fcntl.flock(file, fcntl.LOCK_SH)
        yield


def note_use(directory: Path, *, expected: bool = False) -> None:
    """Write down that the overlay is used now; ``expected``: a worker is going to start in it.

    Raises:
        OSError: it cannot be written, as on a node that mounts the environments read-only.
    """
    if expected:
        (directory / _EXPECTED).touch()
    # Not the kernel's own time of a touch: that one is up to ten milliseconds old, and order is what matters here.
    now = time.time_ns()
    os.utime(directory / (_EXPECTED if expected else LAST_USED), ns=(now, now))


def last_used(directory: Path) -> float:
    """When somebody last started in the overlay, or asked for it: seconds since the epoch."""
    return max(_modified(directory / LAST_USED), _modified(directory / _EXPECTED))


@contextmanager
def claimed(directory: Path) -> Iterator[bool]:
    """Whether nobody uses the overlay; while this is entered with True, nobody can begin to."""
    with _descriptor(directory, os.O_RDWR) as file:
        if file is not None and not _lock_alone(file):
            yield False
        else:
            yield not is_expected(directory) and directory.name not in named_by_processes(directory.parent)


def is_locked(directory: Path) -> bool:
    """Whether a process holds the overlay's lock."""
    with _descriptor(directory, os.O_RDWR) as file:
        return file is not None and not _lock_alone(file)


def is_expected(directory: Path) -> bool:
    """Whether a worker is on its way into the overlay."""
    expected = _modified(directory / _EXPECTED)
    return expected > _modified(directory / LAST_USED) and time.time() - expected < _EXPECTED_SECONDS


def named_by_processes(root: Path) -> set[str]:
    """The names of the overlays below ``root`` that a process of this machine names on its command line or in its environment.

    Another user's environment cannot be read; the lock tells of it.
    """
    roots = {os.fsencode(path) for path in (root, root.resolve())}
    pattern = re.compile(rb"(?:%s)/([0-9a-f]{24})" % b"|".join(map(re.escape, sorted(roots))))
    found: set[bytes] = set()
    for process in Path("/proc").glob("[0-9]*"):
        for name in _FILES:
            with suppress(OSError):
                found.update(pattern.findall((process / name).read_bytes()))
    return {name.decode() for name in found}


def processes_in(directory: Path) -> dict[int, str]:
    """The processes of this machine that keep the overlay from being removed: number and command line."""
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
    # NFS wants a file to be open for writing by whoever locks it for themselves alone, and open for reading by the others.
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
    for _ in range(_LOOKS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            # Somebody else may be just looking, which takes microseconds; a worker stays.
            time.sleep(_LOOK_SECONDS)
        else:
            return True
    return False


def _modified(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0
