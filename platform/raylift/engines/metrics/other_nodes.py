"""Counters and payload logs of other nodes: their agents hand them over, and they are kept here as if they were made here.

The counters of a live process are copied again and again, to ``….NODE.remote`` beside the files of this machine's processes.
When the process has ended, or its node is gone, the copy becomes the file of a dead process, which is added to the totals once
(counter_files.py). Models write what is read here: names and sizes are checked on both sides, and links are not followed.
"""

from __future__ import annotations

import os
import re
import stat
import zlib
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Final

from raylift.engines.metrics.counter_files import LIVE, REMOTE, is_locked, live_files

_PROCESS: Final = re.compile(r"[0-9a-f]{32}\.[0-9a-f]{32}\.live")
_PAYLOADS: Final = re.compile(r"(?!\.)[^/\x00]{1,200}/(?!\.)[^/\x00]{1,200}/date=[0-9-]{10}/[0-9]{6}-[0-9a-f]{12}\.parquet")
_LARGEST_PROCESS: Final = 64 * 1024
_LARGEST_PAYLOAD_FILE: Final = 64 * 1024**2
"""A file above this is removed unread: no process of ours writes it."""


@dataclass(frozen=True, slots=True)
class ProcessFile:
    """Counters of one process."""

    name: str
    content: bytes = field(repr=False)
    is_alive: bool

    @property
    def mark(self) -> int:
        """Checksum, by which unchanged counters are left out."""
        return zlib.crc32(self.content)


@dataclass(frozen=True, slots=True)
class PayloadFile:
    """A finished file of a payload log."""

    path: str
    """Below the directory of all payload logs."""
    content: bytes = field(repr=False)


def changed_processes(directory: Path, known: Mapping[str, int]) -> list[ProcessFile]:
    """Return this node's processes that have ended, or whose counters are not those of ``known`` (name → mark)."""
    found: list[ProcessFile] = []
    for path in live_files(directory):
        if not _PROCESS.fullmatch(path.name):
            continue
        with suppress(OSError):  # removed meanwhile, or a link
            # In this order: the content of a dead process's file is final.
            is_alive = is_locked(path)
            content = _read(path, _LARGEST_PROCESS)
            if content is not None:
                process = ProcessFile(path.name, content, is_alive)
                if not is_alive or known.get(path.name) != process.mark:
                    found.append(process)
    return found


def forget_processes(directory: Path, names: Iterable[str]) -> None:
    """Remove files of dead processes that were handed over."""
    for name in names:
        (directory / name.partition(".")[0] / name).unlink(missing_ok=True)


def payload_files(directory: Path, max_bytes: int) -> list[PayloadFile]:
    """Return finished files, of at most ``max_bytes`` together, but at least one."""
    found: list[PayloadFile] = []
    size = 0
    for path in _finished(directory):
        with suppress(OSError):
            content = _read(path, _LARGEST_PAYLOAD_FILE)
            if content is None:
                path.unlink()
                continue
            if found and size + len(content) > max_bytes:
                break
            size += len(content)
            found.append(PayloadFile(path.relative_to(directory).as_posix(), content))
    return found


def forget_payload_files(directory: Path, paths: Iterable[str]) -> None:
    """Remove files that were handed over."""
    for path in paths:
        (directory / path).unlink(missing_ok=True)


def keep_process(directory: Path, node_id: str, process: ProcessFile) -> None:
    """Keep the counters of a process of another node. Raises ValueError for a name that no process of ours has."""
    if not _PROCESS.fullmatch(process.name) or not node_id.isalnum():
        raise ValueError(f"{process.name!r} is no file of counters")
    folder = directory / process.name.partition(".")[0]
    copy = folder / f"{process.name.removesuffix(LIVE)}.{node_id}{REMOTE}"
    _write(copy if process.is_alive else folder / process.name, process.content)
    if not process.is_alive:
        copy.unlink(missing_ok=True)


def end_processes_of_gone(directory: Path, present: Collection[str]) -> int:
    """Let the processes of nodes that are not ``present`` count as ended. Returns their number."""
    gone = [path for path in directory.glob(f"*/*{REMOTE}") if path.name.split(".")[2] not in present]
    for path in gone:
        key, process, *_ = path.name.split(".")
        path.replace(path.with_name(f"{key}.{process}{LIVE}"))
    return len(gone)


def keep_payload_file(directory: Path, file: PayloadFile) -> None:
    """Keep a file of another node's payload log. Raises ValueError for a path that no process of ours writes."""
    if not _PAYLOADS.fullmatch(file.path):
        raise ValueError(f"{file.path!r} is no file of a payload log")
    _write(directory / PurePosixPath(file.path), file.content)


def _finished(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.glob("*/*/date=*/*.parquet")):
        is_inside = path.parent.resolve() == directory.resolve() / path.parent.relative_to(directory)
        if is_inside and _PAYLOADS.fullmatch(path.relative_to(directory).as_posix()):
            yield path


def _read(path: Path, max_bytes: int) -> bytes | None:
    """Return the content; None for a larger file. Raises OSError, also for a link and for what is no file."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise OSError(f"{path} is no file")
        return file.read() if status.st_size <= max_bytes else None


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "wb") as file:
        file.write(content)
    draft.replace(path)
