"""The platform's copy of an attempt that runs on a node without the attempt's directory (docs/adr/0043).

The copy is the attempt's directory itself, so readers of logs, usage and progress are the same for all attempts.
"""

from __future__ import annotations

import fcntl
import json
import os
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final, cast

from job_entrypoints.contract import (
    ATTEMPT_FILE,
    CONTACT_FILE,
    CONTACT_SECONDS,
    LIVE_USAGE_FILE,
    OUTPUT_FILE,
    PROGRESS_FILE,
    SOURCE_FOLDER,
    STOP_FILE,
    WORK_FOLDER,
)
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.attempts.untrusted_file import plain_size, read_plain

_RECORD_LIMIT: Final = 2**20
_CAUSE_LIMIT: Final = 1000
_LOG_SLACK_BYTES: Final = 2**20
"""The wrapper's own lines, beyond ``max_log_bytes``."""
_FENCE_MARGIN: Final = timedelta(seconds=15)
"""Time for a wrapper out of contact to end its script, after its limit."""
_PORTION: Final = 2**18
_FINISHED: Final = "finished"


@dataclass(frozen=True, slots=True)
class Contact:
    """Contact with an attempt on another node."""

    host: str
    heard_at: datetime
    """Time of its newest message."""
    limit: timedelta
    """The wrapper ends the script after this time without an answer."""

    @property
    def ended_by(self) -> datetime:
        """Time at which its script has ended, if no message comes until then. Only after it may the job run again."""
        return self.heard_at + self.limit + _FENCE_MARGIN


class Mirror:
    """Bundle of an attempt, and its files as its courier sends them."""

    def __init__(self, directory: AttemptDirectory, max_log_bytes: int) -> None:
        self._directory = directory
        self._path = directory.path
        self._largest_log = max_log_bytes + _LOG_SLACK_BYTES

    def begin(self, host: str) -> None:
        """Note that a wrapper on ``host`` fetches the bundle: from now on the script may run there."""
        content = read_plain(self._path / ATTEMPT_FILE, _RECORD_LIMIT * 8)
        record: Any = json.loads(content) if content is not None else {}
        limit = float(record.get("contact_seconds") or CONTACT_SECONDS)
        _write(self._path / CONTACT_FILE, {"host": host, "limit_seconds": limit})

    def bundle(self) -> Iterator[bytes]:
        """Yield a tar of the script, the project and a stop. The wrapper's instructions are its last file."""
        for name in (SOURCE_FOLDER, WORK_FOLDER, STOP_FILE, ATTEMPT_FILE):
            for path, relative in _files(self._path / name, name):
                yield from _packed(path, relative)
        yield bytes(2 * tarfile.BLOCKSIZE)

    def have(self) -> int:
        """Bytes of the log."""
        return plain_size(self._path / OUTPUT_FILE)

    def stop(self) -> str | None:
        """Cause of a stop, perhaps empty; None where none was requested."""
        if self._directory.stop_requested_at() is None:
            return None
        return (read_plain(self._path / STOP_FILE, _CAUSE_LIMIT) or b"").decode(errors="replace")

    def take(self, offset: int, log: bytes, progress: Mapping[str, Any] | None, usage: Mapping[str, Any] | None) -> int:
        """Write what a message brings. Returns the bytes of the log that are here then.

        Messages may come twice or late. Bytes that are here already are left out; a message that begins after them is not
        taken, so the courier goes back.
        """
        file = os.open(self._path / OUTPUT_FILE, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            os.utime(self._path / CONTACT_FILE)
            if offset > size:
                return size
            new = log[size - offset :][: max(self._largest_log - size, 0)]
            _write_at(file, new, size)
            if usage is not None:
                _write(self._path / LIVE_USAGE_FILE, usage)
            if progress is not None and not self._has_ended():
                _write(self._path / PROGRESS_FILE, progress)
                self._directory.remove_variables()
            return size + len(new)
        finally:
            os.close(file)

    def take_result(self, path: str, offset: int, content: bytes, limit: int) -> int:
        """Write bytes of a file that the script has made. Returns how many of it are here.

        Bytes that are here already are left out; bytes that begin after them are not taken, so the courier goes back. A file
        over the limit is cut behind it: it will be refused.
        """
        file = os.open(self._place_of_result(path), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            size = os.fstat(file).st_size
            if size > limit:
                return offset + len(content)
            new = content[size - offset :] if offset <= size else b""
            _write_at(file, new, size)
            return size + len(new)
        finally:
            os.close(file)

    def refuse_result(self, path: str) -> None:
        """Note that the script has left a link there, or something else that no dataset takes: a link to nothing."""
        place = self._place_of_result(path)
        place.unlink(missing_ok=True)
        place.symlink_to("of another node")

    def _place_of_result(self, path: str) -> Path:
        os.utime(self._path / CONTACT_FILE)
        place = self._directory.result() / path
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return place

    def contact(self) -> Contact | None:
        """Return the contact; None where the attempt's wrapper sees its directory."""
        return contact_with(self._path)

    def _has_ended(self) -> bool:
        content = read_plain(self._path / PROGRESS_FILE, _RECORD_LIMIT)
        try:
            record: Any = json.loads(content or b"{}")
        except ValueError:
            return False
        return isinstance(record, dict) and cast("dict[str, Any]", record).get("state") == _FINISHED


def contact_with(directory: Path) -> Contact | None:
    """Return the contact with the attempt of this directory; None where its wrapper sees it."""
    path = directory / CONTACT_FILE
    try:
        heard_at = path.lstat().st_mtime
        record: Any = json.loads(read_plain(path, _RECORD_LIMIT) or b"null")
        host, limit = str(record["host"]), float(record["limit_seconds"])
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return None
    except (ValueError, TypeError, KeyError):
        return None  # A script that sees the directory wrote it: then this is no attempt of another node.
    return Contact(host, datetime.fromtimestamp(heard_at, UTC), timedelta(seconds=limit))


def _files(path: Path, name: str) -> Iterator[tuple[Path, str]]:
    """Yield files and folders at and below a path, folders first, with their names in the tar. Links are left out."""
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        return
    yield path, name
    if path.is_dir():
        for below in sorted(path.iterdir()):
            yield from _files(below, f"{name}/{below.name}")


def _packed(path: Path, name: str) -> Iterator[bytes]:
    """Yield a member of a tar, in portions: a project's file may be large."""
    member = tarfile.TarInfo(name)
    with _opened(path) as file:
        found = os.fstat(file.fileno()) if file is not None else path.lstat()
        member.mode, member.mtime = found.st_mode & 0o777, int(found.st_mtime)
        if file is None:
            member.type = tarfile.DIRTYPE
            yield member.tobuf(tarfile.PAX_FORMAT)
            return
        member.size = found.st_size
        yield member.tobuf(tarfile.PAX_FORMAT)
        left = member.size
        while left and (portion := file.read(min(left, _PORTION))):
            left -= len(portion)
            yield portion
        if left:
            raise OSError(f"{path} has become shorter while it was sent")
        yield bytes(-member.size % tarfile.BLOCKSIZE)


def _opened(path: Path) -> AbstractContextManager[BinaryIO | None]:
    return nullcontext() if path.is_dir() else path.open("rb")


def _write_at(file: int, data: bytes, position: int) -> None:
    view = memoryview(data)
    while view:
        written = os.pwrite(file, view, position)
        view, position = view[written:], position + written


def _write(path: Path, record: Mapping[str, Any]) -> None:
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w", encoding="utf-8") as file:
        json.dump(record, file)
    draft.replace(path)
