"""Counters of model versions in memory-mapped files, one for each process (docs/adr/0019).

A file has a line of JSON, which names its process and the counters, and then the counters as doubles. Its process maps it into
memory: an increment needs no system call, and the counts survive the process. The process holds a lock on the file until it
ends. The supervisor adds the files of dead processes to a file of totals for each version, and removes them. Readers need no
lock.

Each version has a directory of its own for its processes, which run code of others and may write nowhere else.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import mmap
import os
import uuid
from array import array
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from raylift.domain.models.counters import NAMES, ProcessCounts, ProcessKind, VersionCounts, counts_of

log = logging.getLogger(__name__)

LIVE: Final = ".live"
REMOTE: Final = ".remote"
"""Copy of the file of a live process on another node (other_nodes.py)."""
_TOTALS: Final = ".totals"
_NEW: Final = ".new"
_LOCK: Final = "folding.lock"
_DOUBLE: Final = "d"
_ITEM: Final = 8
_NAMES_IN_TOTALS: Final = 256
"""Names of merged files that a totals file lists. Readers may have read some of them before their removal."""


class CounterFile:
    """The file of this process. ``values`` are the counters, in the order of their names: ``values[3] += 1`` increments one."""

    def __init__(
        self,
        directory: Path,
        model_name: str,
        version: str,
        process: ProcessKind,
        *,
        started_at: datetime,
        names: Sequence[str] = NAMES,
    ) -> None:
        """Make the file. Raises OSError if the directory cannot be written, or its file system has no locks."""
        header = {
            "model_name": model_name,
            "version": version,
            "process": process.value,
            "started_at": started_at.isoformat(),
            "pid": os.getpid(),
            "names": names,
        }
        directory = counters_directory(directory, model_name, version)
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = f"{_key(model_name, version)}.{uuid.uuid4().hex}"
        line = _line(header)
        size = len(line) + _ITEM * len(names)
        new = directory / (name + _NEW)
        # O_CLOEXEC: programs that the model starts must not inherit the lock, which shows that this process is alive.
        self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(self._descriptor, line + bytes(_ITEM * len(names)), 0)
            self._map = mmap.mmap(self._descriptor, size)
            # Readers find it only when it is complete and locked.
            new.rename(directory / (name + LIVE))
        except OSError:
            os.close(self._descriptor)
            new.unlink(missing_ok=True)
            raise
        self.values = memoryview(self._map)[len(line) :].cast(_DOUBLE)

    def sync(self) -> None:
        """Write the counts to storage, for readers on other nodes."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Release the file, as the end of the process does."""
        self.values.release()
        self._map.close()
        os.close(self._descriptor)


def counters_directory(root: Path, model_name: str, version: str) -> Path:
    """Directory of the files of a version's processes."""
    return root / _key(model_name, version)


def read_counts(directory: Path, version: tuple[str, str] | None = None) -> list[VersionCounts]:
    """Read the counts of every version, or of one (model name, version)."""
    pattern = _key(*version) + "." if version else ""
    found = [path for path in live_files(directory) if path.name.startswith(pattern)]
    # A copy of a process that has ended comes before its last state, which counts.
    live = {identity(path): counts for path in found if (counts := _read_live(path)) is not None}
    # Totals come last: a file that is removed during this read is in them.
    totals = [totals for path in _files(directory, _TOTALS) if path.name.startswith(pattern) and (totals := _read_totals(path))]
    merged = {name for one in totals for name in one.merged}
    by_version: dict[tuple[str, str], list[ProcessCounts]] = defaultdict(list)
    for process in [*(one.counts for one in totals), *(one for name, one in live.items() if name not in merged)]:
        by_version[process.model_name, process.version].append(process)
    return [counts_of(group) for group in by_version.values()]


def merge_dead(directory: Path) -> int:
    """Add the files of dead processes to their versions' totals. Returns their number. Safe to interrupt at any point."""
    if not directory.is_dir():
        return 0
    with _try_lock(directory) as has_lock:
        if not has_lock:
            return 0
        dead: dict[str, list[Path]] = defaultdict(list)
        for path in live_files(directory):
            if path.suffix == LIVE and not is_locked(path):
                dead[path.name.partition(".")[0]].append(path)
        for key, paths in dead.items():
            _merge(directory / (key + _TOTALS), paths)
        return sum(map(len, dead.values()))


def remove_totals(directory: Path, keep: Iterable[tuple[str, str]], *, unchanged_since: datetime) -> int:
    """Remove totals of versions that are not in ``keep``, unless they have changed since. Returns their number."""
    names = {_key(*version) + _TOTALS for version in keep}
    removed = 0
    for path in _files(directory, _TOTALS):
        with suppress(FileNotFoundError):
            if path.name not in names and path.stat().st_mtime < unchanged_since.timestamp():
                path.unlink()
                removed += 1
    return removed


@dataclass(frozen=True, slots=True)
class _Totals:
    counts: ProcessCounts
    merged: tuple[str, ...]
    """Names of files that are in ``counts``."""


def _merge(totals_file: Path, dead: list[Path]) -> None:
    before = _read_totals(totals_file)
    merged = before.merged if before else ()
    new = {path.name: counts for path in dead if path.name not in merged and (counts := _read_live(path)) is not None}
    if new:
        total = counts_of([*([before.counts] if before else []), *new.values()])
        header = {
            "model_name": total.model_name,
            "version": total.version,
            "process": ProcessKind.REPLICA.value,
            "started_at": total.since.isoformat(),
            "names": list(total.counts),
            "added": [*merged, *new][-_NAMES_IN_TOTALS:],
        }
        temporary = totals_file.with_suffix(_NEW)
        temporary.write_bytes(_line(header) + array(_DOUBLE, total.counts.values()).tobytes())
        temporary.replace(totals_file)
    for path in dead:
        path.unlink(missing_ok=True)


def _read_live(path: Path) -> ProcessCounts | None:
    try:
        # In this order: the content of a dead process's file is final.
        is_alive = path.suffix == REMOTE or is_locked(path)
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    return _counts(path, content, is_alive=is_alive)


def _read_totals(path: Path) -> _Totals | None:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    counts = _counts(path, content, is_alive=False)
    return _Totals(counts, tuple(_header(content)["added"])) if counts else None


def _counts(path: Path, content: bytes, *, is_alive: bool) -> ProcessCounts | None:
    try:
        header = _header(content)
        if not path.name.startswith(_key(header["model_name"], header["version"])):
            raise ValueError("it names another version")  # noqa: TRY301 - handled as any other wrong content
        values = array(_DOUBLE, content[content.index(b"\n") + 1 :])
        counts = dict(zip(header["names"], values, strict=True))
        started_at = datetime.fromisoformat(header["started_at"]).astimezone(UTC)
        return ProcessCounts(
            header["model_name"], header["version"], ProcessKind(header["process"]), started_at, counts, is_alive=is_alive
        )
    except (ValueError, KeyError) as error:
        log.warning("%s is not a file of counters: %s", path, error)
        return None


def _header(content: bytes) -> dict[str, Any]:
    return json.loads(content[: content.index(b"\n")])


def _line(header: Mapping[str, Any]) -> bytes:
    """The header, padded so that the doubles after it are aligned: the processor then writes each in one piece."""
    text = json.dumps(header).encode()
    return text + b" " * (-(len(text) + 1) % _ITEM) + b"\n"


def _files(directory: Path, suffix: str) -> Iterator[Path]:
    return iter(sorted(directory.glob(f"*{suffix}")))


def live_files(directory: Path) -> Iterator[Path]:
    """Files of processes; those of older releases are not in a directory of their version. A link is no file of ours."""
    for path in sorted([*directory.glob(f"*{LIVE}"), *directory.glob("*/*")]):
        is_of_version = path.parent == directory or path.name.startswith(f"{path.parent.name}.")
        if path.suffix in (LIVE, REMOTE) and is_of_version and not path.is_symlink():
            yield path


def identity(path: Path) -> str:
    """Return the name of a process's file on its own node."""
    return ".".join(path.name.split(".")[:2]) + LIVE


def is_locked(path: Path) -> bool:
    """True while the file's process is alive. Raises FileNotFoundError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # A shared lock: readers must not mistake each other for the process.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _try_lock(directory: Path) -> Iterator[bool]:
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _key(model_name: str, version: str) -> str:
    """A file name for a version: models that were registered elsewhere may have any name."""
    return hashlib.sha256(f"{model_name}\0{version}".encode()).hexdigest()[:32]
