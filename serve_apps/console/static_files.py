"""The built files of the console, in memory, with the headers of their answers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Final

STATIC_DIR: Final = Path(__file__).parent / "static"
INDEX: Final = "index.html"
DOCS: Final = "docs.html"
ASSETS: Final = "assets/"
"""Folder of files whose names hold a hash of their content."""

POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
"""Content-Security-Policy of every page: its own origin, no inline code."""

HOW_TO_BUILD: Final = "The console is not built: run `make console` in the source tree. It needs the npm registry once."

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".svg": "image/svg+xml",
    ".png": "image/png",
}
_FOREVER: Final = "public, max-age=31536000, immutable"
_ALWAYS_ASK: Final = "no-cache"


@dataclass(frozen=True, slots=True)
class StaticFile:
    content: bytes
    compressed: bytes | None
    """Compressed with gzip; None where that was not worth it."""
    headers: Mapping[str, str]


def is_built(folder: Path = STATIC_DIR) -> bool:
    return (folder / INDEX).is_file()


def read_static_files(folder: Path = STATIC_DIR) -> dict[str, StaticFile]:
    """Return the files by their path below ``folder``, e.g. ``assets/main-Bx3k.js``; empty where nothing is built."""
    found = {path for path in folder.rglob("*") if path.suffix in _TYPES}
    return {path.relative_to(folder).as_posix(): _read(path, path.relative_to(folder).as_posix()) for path in sorted(found)}


def _read(path: Path, name: str) -> StaticFile:
    compressed = path.with_name(f"{path.name}.gz")
    headers = {
        "Content-Type": _TYPES[path.suffix],
        "Cache-Control": _FOREVER if name.startswith(ASSETS) else _ALWAYS_ASK,
        "Content-Security-Policy": POLICY,
        "Referrer-Policy": "same-origin",
        "Vary": "Accept-Encoding",
    }
    packed = compressed.read_bytes() if compressed.is_file() else None
    return StaticFile(path.read_bytes(), packed, MappingProxyType(headers))
