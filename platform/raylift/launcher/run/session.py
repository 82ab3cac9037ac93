"""Temporary directory of one run: Ray's session, HAProxy's sockets, the wrapper script.

It is outside the state directory, because paths of Unix sockets are limited to 107 characters and HAProxy's need 80 below it.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from raylift.launcher.errors import LauncherError


def session_path(state_dir: Path) -> Path:
    """Return the directory for a state directory, always the same one."""
    digest = hashlib.sha256(str(state_dir).encode()).hexdigest()[:8]
    return Path("/tmp") / f"rl-{os.getuid()}-{digest}"  # noqa: S108 - short by need; make_session checks whose it is


def temp_path(session: Path) -> Path:
    """Return the directory for temporary files. Its path is short, because multiprocessing puts sockets below it."""
    return session / "t"


def make_session(path: Path) -> None:
    """Create an empty directory for this user only. Raises LauncherError if another user has one there."""
    remove_session(path)
    path.mkdir(mode=0o700)
    temp_path(path).mkdir()


def remove_session(path: Path) -> None:
    """Remove the directory if it exists. Raises LauncherError if it belongs to another user."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise LauncherError(f"{path} belongs to another user.", hint="Remove it, or use another --state-dir.")
    shutil.rmtree(path)


def keep_logs(path: Path, logs_dir: Path) -> None:
    """Move the logs of Ray's last session to ``logs_dir``/ray, replacing those of the session before."""
    latest = path / "r" / "session_latest"
    logs = latest.resolve() / "logs"
    if not logs.is_dir():
        return
    kept = logs_dir / "ray"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.move(logs, kept)
