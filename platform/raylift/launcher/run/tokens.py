"""Tokens in the state directory: that of Ray's ports, by which other users could run code, and that of joining machines."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


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


def write_token(path: Path, token: str) -> None:
    """Write a token to a file that only its owner may read."""
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
        file.write(token)
    draft.replace(path)


def _make(path: Path, prefix: str) -> Path:
    if not path.exists():
        write_token(path, prefix + secrets.token_hex(32))
    path.chmod(0o600)
    return path
