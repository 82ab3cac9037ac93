"""The script's own place for temporary files: in the attempt's directory, so that it counts and goes with it."""

# ruff: noqa: PTH103, PTH106
# (importing pathlib would cost every job's start some milliseconds)
from __future__ import annotations

import os

_LONGEST = 70
"""Characters that leave room for the sockets that programs make in TMPDIR: a socket's path has at most 107."""


def make_temporary_directory(path: str) -> str:
    """Make it, and return what TMPDIR is to say: the path, or a short name for it that holds as long as this process lives."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    if len(path) <= _LONGEST:
        return path
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def remove_tree(path: str) -> None:
    """Remove a directory that a script could fill as it liked. What cannot be removed is left to the supervisor's retention."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:
        # Not shutil: directories that lie a thousand deep make it break off.
        os.waitpid(os.posix_spawn("/bin/rm", ["rm", "-rf", "--", path], os.environ), 0)
