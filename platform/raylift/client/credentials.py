"""Keys that the user keeps on this machine: from `raylift login`, and of the user's own platform. Standard library only."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, cast
from urllib.parse import urlsplit

_FILE: Final = "credentials.json"
_ADMIN_KEY: Final = "admin-key.json"
_PORTS: Final = {"http": 80, "https": 443}


def credentials_file(environ: Mapping[str, str]) -> Path:
    """Return the file of `raylift login`: in ``$XDG_CONFIG_HOME/raylift``, else in ``~/.config/raylift``."""
    base = environ.get("XDG_CONFIG_HOME")
    return (Path(base) if base else Path.home() / ".config") / "raylift" / _FILE


def find_key(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the key for a platform: RAYLIFT_API_KEY, that of `raylift login`, or that of the user's own platform.

    A key is sent to the address that it was kept for, and to no other.
    """
    given = environ.get("RAYLIFT_API_KEY")
    if given:
        return given
    kept = kept_key(url, environ)
    if kept is not None:
        return kept
    state_dir = Path(environ.get("RAYLIFT_STATE_DIR") or "~/.raylift").expanduser()
    own = _read(state_dir / _ADMIN_KEY)
    is_own = isinstance(own.get("url"), str) and _is_same(own["url"], url)
    return own.get("key") if is_own else None


def kept_key(url: str, environ: Mapping[str, str]) -> str | None:
    """Return the key that `raylift login` keeps for a platform."""
    kept = _read(credentials_file(environ)).get(origin_of(url))
    return kept if isinstance(kept, str) else None


def keep_key(url: str, key: str | None, environ: Mapping[str, str]) -> Path:
    """Keep the key for a platform, in a file that only the user may read; None forgets it. Returns the file."""
    path = credentials_file(environ)
    kept = {origin: known for origin, known in _read(path).items() if origin != origin_of(url)}
    if key is not None:
        kept[origin_of(url)] = key
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = path.with_suffix(".draft")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        json.dump(kept, file, indent=2)
    draft.replace(path)
    return path


def origin_of(url: str) -> str:
    """Return scheme, host and port of an address."""
    parts = urlsplit(url)
    port = parts.port or _PORTS.get(parts.scheme, 0)
    return f"{parts.scheme}://{(parts.hostname or '').lower()}:{port}"


def _is_same(own: str, url: str) -> bool:
    """Return True where both are one address. ``localhost`` is that of 127.0.0.1."""
    return origin_of(own) == origin_of(url).replace("//localhost:", "//127.0.0.1:")


def _read(path: Path) -> dict[str, Any]:
    try:
        content: object = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return cast("dict[str, Any]", content) if isinstance(content, dict) else {}
