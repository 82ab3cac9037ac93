"""Copies of datasets on this node, one folder a content. The least recently used ones make room for others.

``KEY.lock`` beside a folder has its size. Its time is that of the last use. Attempts that use the folder hold it locked until
they end; the one that makes the folder holds it alone.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time

from job_entrypoints.attempt.record import remove_tree
from job_entrypoints.data.fetching import DataUnreachable, Fetching

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from job_entrypoints.contract import DataRecord

_LOCK = ".lock"
_PAUSE_SECONDS = 0.2


class DataCache:
    """The copies in one folder, within ``max_bytes`` as far as they are not in use."""

    def __init__(self, folder: str, max_bytes: int) -> None:
        self._folder = folder
        self._max_bytes = max_bytes
        os.makedirs(folder, mode=0o700, exist_ok=True)

    def provide(self, record: DataRecord, submission_id: str, tick: Callable[[int], None]) -> str:
        """Return the folder of a dataset. It stays until this process ends.

        Raises:
            DataWrong, DataUnreachable: it cannot be had.
            DataStopped: ``tick`` raised it.
        """
        folder = os.path.join(self._folder, record["key"])
        # Stays open: the lock ends with the process. The script does not inherit it.
        lock = os.open(folder + _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        while True:
            if _try(lock, fcntl.LOCK_SH) and os.path.isdir(folder):
                os.utime(lock)
                return folder
            fcntl.flock(lock, fcntl.LOCK_UN)
            if _try(lock, fcntl.LOCK_EX):
                if not os.path.isdir(folder):
                    self._make(folder, lock, record, submission_id, tick)
                fcntl.flock(lock, fcntl.LOCK_SH)
                continue
            tick(0)
            time.sleep(_PAUSE_SECONDS)

    def _make(self, folder: str, lock: int, record: DataRecord, submission_id: str, tick: Callable[[int], None]) -> None:
        size = sum(file["bytes"] for file in record["files"])
        self._make_room(size)
        partial = f"{folder}.partial"
        remove_tree(partial)
        os.mkdir(partial, 0o755)
        try:
            Fetching(record, submission_id, tick).bring(partial)
        except BaseException:
            remove_tree(partial)
            raise
        os.truncate(lock, 0)
        os.pwrite(lock, str(size).encode(), 0)
        os.rename(partial, folder)

    def _make_room(self, wanted: int) -> None:
        """Remove copies that no attempt uses, the least recently used first, until ``wanted`` bytes fit."""
        known = sorted(self._copies())
        total = sum(size for _, size, _ in known)
        for _, size, folder in known:
            if total + wanted <= self._max_bytes:
                break
            lock = os.open(folder + _LOCK, os.O_RDWR | os.O_CLOEXEC)
            if _try(lock, fcntl.LOCK_EX):
                remove_tree(folder)
                total -= size
            os.close(lock)
        free = shutil.disk_usage(self._folder).free
        if wanted > free:
            raise DataUnreachable(f"{self._folder} has room for {free} bytes, and the data has {wanted}")

    def _copies(self) -> list[tuple[float, int, str]]:
        """Time of the last use, size and folder of each copy."""
        found: list[tuple[float, int, str]] = []
        for entry in os.scandir(self._folder):
            if entry.name.endswith(_LOCK) and os.path.isdir(folder := entry.path[: -len(_LOCK)]):
                with open(entry.path, encoding="ascii") as file:
                    found.append((entry.stat().st_mtime, int(file.read() or 0), folder))
        return found


def _try(lock: int, kind: int) -> bool:
    try:
        fcntl.flock(lock, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
