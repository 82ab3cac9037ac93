"""Start of the platform's processes: their log files, and waiting until they are ready."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Final

import httpx

from raylift.launcher.errors import LauncherError

_PAUSE_SECONDS: Final = 0.1
_TAIL_BYTES: Final = 16 * 1024


def start(
    command: Sequence[str],
    *,
    directory: Path,
    environment: Mapping[str, str],
    log: Path,
    restarting: bool = False,
    umask: int = -1,
) -> subprocess.Popen[bytes]:
    """Start a process in a session of its own, with its output in ``log``.

    ``restarting``: ``restart.py`` restarts it whenever it ends. The returned process then ends only if the first start fails.
    ``umask``: mask of the files that it makes; -1: that of this process.
    """
    runner = [sys.executable, "-m", "raylift.launcher.parts.restart"] if restarting else []
    with log.open("wb") as output:
        return subprocess.Popen(
            [*runner, *command],
            cwd=directory,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            umask=umask,
        )


def wait_for(
    ready: Callable[[], bool],
    *,
    what: str,
    timeout: float,
    process: subprocess.Popen[bytes] | None,
    log_tail: Callable[[], str],
) -> None:
    """Wait until ``ready`` returns True.

    Raises:
        LauncherError: ``process`` failed, or the timeout was reached.
    """
    deadline = time.monotonic() + timeout
    while not ready():
        if process is not None and process.poll() not in {None, 0}:
            raise LauncherError(f"{what} ended while starting (exit code {process.returncode}).", log_tail=log_tail())
        if time.monotonic() > deadline:
            raise LauncherError(
                f"{what} did not become ready within {timeout:.0f} s.",
                log_tail=log_tail(),
                hint="On a slow machine, raise startup.timeout_seconds in a --config file.",
            )
        time.sleep(_PAUSE_SECONDS)


def answers(url: str) -> bool:
    """Return True where a GET is answered with 200."""
    try:
        return httpx.get(url, timeout=5.0, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def tail(path: Path, lines: int = 20) -> str:
    """Return the last lines of a file; empty without the file."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL_BYTES))
            text = file.read().decode("utf-8", "replace")
    except FileNotFoundError:
        return ""
    return "\n".join(text.splitlines()[-lines:])


def tails(paths: Iterable[Path], lines: int = 10) -> str:
    """Return the last lines of all non-empty files, each under its name."""
    return "\n".join(f"{path.name}:\n{text}" for path in paths if (text := tail(path, lines).strip()))
