"""The script's TMPDIR. It lies in the attempt's directory, so that it is counted and removed with it."""

from __future__ import annotations

import os

_LONGEST = 70
"""Characters of a path that leaves room for sockets in it: a socket's path has at most 107."""


def make_temporary_directory(path: str) -> str:
    """Make the directory. Returns the value of TMPDIR: its path, or a short alias that lasts as long as this process."""
    os.makedirs(path, mode=0o700, exist_ok=True)
    if len(path) <= _LONGEST:
        return path
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def remove_tree(path: str) -> None:
    """Remove a directory that a script has filled. The supervisor's retention removes what is left."""
    try:
        os.rmdir(path)
    except FileNotFoundError:
        return
    except OSError:
        # Not shutil: it fails on directories that are nested a thousand deep.
        os.waitpid(os.posix_spawn("/bin/rm", ["rm", "-rf", "--", path], os.environ), 0)
