"""The short-lived directory of one run: Ray's session, HAProxy's sockets, the wrapper script.

Not below the state directory: the path of a Unix socket may have 107 characters, and HAProxy's take 80 beneath this one.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from pathlib import Path

from raylift.launcher.errors import LauncherError


def session_path(state_dir: Path) -> Path:
    """Always the same for one state directory, and another for each."""
    digest = hashlib.sha256(str(state_dir).encode()).hexdigest()[:8]
    return Path("/tmp") / f"rl-{os.getuid()}-{digest}"  # noqa: S108 - short by need; make_session checks whose it is


def temp_path(session: Path) -> Path:
    """For temporary files of the platform's processes and the jobs. Short: multiprocessing puts sockets below it."""
    return session / "t"


def make_session(path: Path) -> None:
    """Make it anew, for this user only.

    Raises:
        LauncherError: somebody else's lies there.
    """
    remove_session(path)
    path.mkdir(mode=0o700)
    temp_path(path).mkdir()


def remove_session(path: Path) -> None:
    """Remove it, if it is there.

    Raises:
        LauncherError: somebody else's lies there.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise LauncherError(f"{path} belongs to somebody else.", hint="Remove it, or use another --state-dir.")
    shutil.rmtree(path)


def keep_logs(path: Path, logs_dir: Path) -> None:
    """Move the logs of Ray's last session to ``logs_dir``/ray, in place of those of the one before."""
    latest = path / "r" / "session_latest"
    logs = latest.resolve() / "logs"
    if not logs.is_dir():
        return
    kept = logs_dir / "ray"
    shutil.rmtree(kept, ignore_errors=True)
    shutil.move(logs, kept)
