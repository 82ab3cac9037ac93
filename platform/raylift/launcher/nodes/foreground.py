"""Foreground forms for containers: copies logs to standard output, and waits for a signal or the end of a main process."""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, TextIO

import psutil

_PAUSE_SECONDS: Final = 0.5
_AT_ONCE: Final = 256 * 1024
"""Bytes of one log per look, so that a chatty one leaves room for the others."""
_RAY_LOGS: Final = ("worker-*.err", "raylet.err", "gcs_server.err", "serve/*.log")
_FIRST_PROCESS: Final = 1


class LogFollower:
    """Copies what is appended to logs, each line with the name of its log."""

    def __init__(self, logs: Callable[[], Iterable[Path]], out: TextIO | None = None) -> None:
        self._logs = logs
        self._out = out or sys.stdout
        self._read: dict[Path, int] = {}

    def copy(self) -> None:
        """Write the complete lines that have come since the last call."""
        for path in self._logs():
            with suppress(OSError):  # Retention or a rotation was first.
                self._copy(path)
        self._out.flush()

    def _copy(self, path: Path) -> None:
        offset = self._read.get(path, 0)
        if path.stat().st_size < offset:
            offset = 0
        with path.open("rb") as file:
            file.seek(offset)
            found = file.read(_AT_ONCE)
        end = found.rfind(b"\n") + 1
        if not end and len(found) == _AT_ONCE:
            end = _AT_ONCE
        for line in found[:end].decode("utf-8", "replace").splitlines():
            self._out.write(f"{path.name}: {line}\n")
        self._read[path] = offset + end


def logs_of(session: Path, logs_dir: Path | None = None) -> Iterator[Path]:
    """Yield the logs of the platform's parts on this machine. Those of jobs are in the API."""
    for ray in sorted(session.glob("r/session_*")):
        # A link names the latest one.
        if not ray.is_symlink():
            for pattern in _RAY_LOGS:
                yield from sorted((ray / "logs").glob(pattern))
    if logs_dir is not None:
        yield from sorted(logs_dir.glob("*.log"))


class Signals:
    """Counts SIGTERM and SIGINT instead of ending at them."""

    def __init__(self) -> None:
        self.count = 0
        self._received = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def wait(self, seconds: float) -> None:
        """Return after ``seconds``, or at a signal."""
        self._received.wait(seconds)
        self._received.clear()

    def _note(self, *_: object) -> None:
        self.count += 1
        self._received.set()


def stay(pids: Sequence[int], signals: Signals, logs: LogFollower) -> bool:
    """Copy logs until a signal comes. Returns False where one of the processes ended before."""
    processes = [psutil.Process(pid) for pid in pids if psutil.pid_exists(pid)]
    everything = len(processes) == len(pids)
    while not signals.count and everything:
        signals.wait(_PAUSE_SECONDS)
        logs.copy()
        _reap()
        everything = all(_lives(process) for process in processes)
    logs.copy()
    return signals.count > 0


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _reap() -> None:
    """Collect ended orphans: as the first process of a container this one inherits them."""
    if os.getpid() != _FIRST_PROCESS:
        return
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
