"""Token that Ray's ports require, kept in the state directory: other users of the machine could run code by them."""

from __future__ import annotations

import os
import secrets
from pathlib import Path


def ray_token_file(state_dir: Path) -> Path:
    """Return the file of the token. Its owner alone may read it."""
    return state_dir / "ray-token"


def make_ray_token(state_dir: Path) -> Path:
    """Write a token unless there is one, and return its file. Ray needs it before its first process starts."""
    path = ray_token_file(state_dir)
    if not path.exists():
        draft = path.with_suffix(".draft")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as file:
            file.write(secrets.token_hex(32))
        draft.replace(path)
    path.chmod(0o600)
    return path
