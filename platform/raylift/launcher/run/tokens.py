"""Tokens in the state directory: that of Ray's ports, by which other users could run code, and that of joining machines."""

from __future__ import annotations

import secrets
from pathlib import Path

from raylift.launcher.run.private_files import write_private


def ray_token_file(state_dir: Path) -> Path:
    """Return the file of Ray's token. Its owner alone may read it."""
    return state_dir / "ray-token"


def make_ray_token(state_dir: Path) -> Path:
    """Write a token unless there is one, and return its file. Ray needs it before its first process starts."""
    return _make(ray_token_file(state_dir), "")


def join_token_file(state_dir: Path) -> Path:
    """Return the file of the token that joining machines show. Its owner alone may read it."""
    return state_dir / "join-token"


def make_join_token(state_dir: Path) -> Path:
    """Write a token unless there is one, and return its file. Deleting it and `raylift up` make a new one."""
    return _make(join_token_file(state_dir), "rlj_")


def _make(path: Path, prefix: str) -> Path:
    if not path.exists():
        write_private(path, prefix + secrets.token_hex(32))
    path.chmod(0o600)
    return path
