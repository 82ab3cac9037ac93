"""The files in which the processes of model versions count: each process has its own, and anybody may read it at any time.

A file is a line of JSON that says whose it is and names the counts, and then the counts themselves, which the process keeps
mapped into its memory: to count costs no system call, and what is counted is there whatever becomes of the process. The process
holds a lock on its file, which the kernel gives up when it ends. The supervisor adds the files of processes that are gone to
a file of totals, one a version, and removes them.
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
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from raylift.domain.model_counters import NAMES, ProcessCounts, ProcessKind, VersionCounts, counts_of

log = logging.getLogger(__name__)

_LIVE: Final = ".live"
_TOTALS: Final = ".totals"
_NEW: Final = ".new"
_LOCK: Final = "folding.lock"
_DOUBLE: Final = "d"
_ITEM: Final = 8
_REMEMBERED: Final = 256
"""Names of files that a totals file knows it has in it: readers may have seen some before they were removed."""


class CounterFile:
    """This process's own. ``values`` are the counts, by their place in ``NAMES``: ``values[3] += 1`` counts."""

    def __init__(self, directory: Path, model_name: str, version: str, process: ProcessKind, *, started_at: datetime) -> None:
        """Raises OSError where the directory cannot be written, or its file system knows no locks."""
        header = {
            "model_name": model_name,
            "version": version,
            "process": process.value,
            "started_at": started_at.isoformat(),
            "pid": os.getpid(),
            "names": NAMES,
        }
        directory.mkdir(parents=True, exist_ok=True)
        name = f"{_key(model_name, version)}.{uuid.uuid4().hex}"
        line = _line(header)
        size = len(line) + _ITEM * len(NAMES)
        new = directory / (name + _NEW)
        # Not inherited by programs that the model starts: it is the lock that says that this process is alive.
        self._descriptor = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.pwrite(self._descriptor, line + bytes(_ITEM * len(NAMES)), 0)
            self._map = mmap.mmap(self._descriptor, size)
            # Seen by others only when it is whole and locked.
            new.rename(directory / (name + _LIVE))
        except OSError:
            os.close(self._descriptor)
            new.unlink(missing_ok=True)
            raise
        self.values = memoryview(self._map)[len(line) :].cast(_DOUBLE)

    def sync(self) -> None:
        """Have the counts where other nodes see them."""
        os.fdatasync(self._descriptor)

    def close(self) -> None:
        """Let go of it, as the end of the process does."""
        self.values.release()
        self._map.close()
        os.close(self._descriptor)


def read_counts(directory: Path, version: tuple[str, str] | None = None) -> list[VersionCounts]:
    """What all processes have counted, by version; or those of one (model name, version)."""
    pattern = _key(*version) + "." if version else ""
    found = [path for path in _files(directory, _LIVE) if path.name.startswith(pattern)]
    live = {path.name: counts for path in found if (counts := _read_live(path)) is not None}
    # The totals last: a file that is removed while this reads is in them.
    totals = [totals for path in _files(directory, _TOTALS) if path.name.startswith(pattern) and (totals := _read_totals(path))]
    has_been_added = {name for one in totals for name in one.added}
    processes = [*(one.counts for one in totals), *(one for name, one in live.items() if name not in has_been_added)]
    return [counts_of(group) for group in _by_version(processes).values()]


def fold_dead(directory: Path) -> int:
    """Add the files of processes that are gone to their versions' totals; how many there were. Safe to break off anywhere."""
    if not directory.is_dir():
        return 0
    with _alone(directory) as is_alone:
        if not is_alone:
            return 0
        dead: dict[str, list[Path]] = defaultdict(list)
        for path in _files(directory, _LIVE):
            if not _is_locked(path):
                dead[path.name.partition(".")[0]].append(path)
        for key, paths in dead.items():
            _fold(directory / (key + _TOTALS), paths)
        return sum(map(len, dead.values()))


def forget_versions(directory: Path, keep: Iterable[tuple[str, str]], *, unchanged_since: datetime) -> int:
    """Remove the totals of versions that are not among ``keep``, if nothing has been added to them since."""
    kept = {_key(*version) + _TOTALS for version in keep}
    forgotten = 0
    for path in _files(directory, _TOTALS):
        with suppress(FileNotFoundError):
            if path.name not in kept and path.stat().st_mtime < unchanged_since.timestamp():
                path.unlink()
                forgotten += 1
    return forgotten


@dataclass(frozen=True, slots=True)
class _Totals:
    counts: ProcessCounts
    added: tuple[str, ...]


def _fold(totals_file: Path, dead: list[Path]) -> None:
    before = _read_totals(totals_file)
    added = before.added if before else ()
    new = {path.name: counts for path in dead if path.name not in added and (counts := _read_live(path)) is not None}
    if new:
        everyone = [*([before.counts] if before else []), *new.values()]
        total = counts_of(everyone)
        header = {
            "model_name": total.model_name,
            "version": total.version,
            "process": ProcessKind.REPLICA.value,
            "started_at": total.since.isoformat(),
            "names": list(total.counts),
            "added": [*added, *new][-_REMEMBERED:],
        }
        temporary = totals_file.with_suffix(_NEW)
        temporary.write_bytes(_line(header) + array(_DOUBLE, total.counts.values()).tobytes())
        temporary.replace(totals_file)
    for path in dead:
        path.unlink(missing_ok=True)


def _by_version(processes: Iterable[ProcessCounts]) -> Mapping[tuple[str, str], list[ProcessCounts]]:
    groups: dict[tuple[str, str], list[ProcessCounts]] = defaultdict(list)
    for process in processes:
        groups[process.model_name, process.version].append(process)
    return groups


def _read_live(path: Path) -> ProcessCounts | None:
    try:
        # In this order: what a process that is gone has left is its last word.
        is_alive = _is_locked(path)
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
        values = array(_DOUBLE, content[content.index(b"\n") + 1 :])
        counts = dict(zip(header["names"], values, strict=True))
        started_at = datetime.fromisoformat(header["started_at"]).astimezone(UTC)
        return ProcessCounts(
            header["model_name"], header["version"], ProcessKind(header["process"]), started_at, counts, is_alive=is_alive
        )
    except (ValueError, KeyError) as error:
        log.warning("%s is no file of counts: %s", path, error)
        return None


def _header(content: bytes) -> dict[str, Any]:
    return json.loads(content[: content.index(b"\n")])


def _line(header: Mapping[str, Any]) -> bytes:
    """Padded, so that the numbers after it lie where the processor reads them in one piece."""
    text = json.dumps(header).encode()
    return text + b" " * (-(len(text) + 1) % _ITEM) + b"\n"


def _files(directory: Path, suffix: str) -> Iterator[Path]:
    return (path for path in sorted(directory.glob(f"*{suffix}")))


def _is_locked(path: Path) -> bool:
    """Whether the process whose file it is is alive. Raises FileNotFoundError."""
    descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    try:
        # Shared: readers do not take each other for the process.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


@contextmanager
def _alone(directory: Path) -> Iterator[bool]:
    descriptor = os.open(directory / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield True
    except BlockingIOError:
        yield False
    finally:
        os.close(descriptor)


def _key(model_name: str, version: str) -> str:
    """Names of versions that were registered elsewhere may be no file names."""
    return hashlib.sha256(f"{model_name}\0{version}".encode()).hexdigest()[:32]
