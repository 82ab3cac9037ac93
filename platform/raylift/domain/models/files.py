"""Files of a registered model version: SHA-256 by path. A version is loaded only as it was registered."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Final

Files = Mapping[str, str]
"""Path below the version's directory → SHA-256 of the file, in hexadecimal."""

NOT_AS_REGISTERED: Final = "not as it was registered, so nothing of it was loaded"
"""Part of the error of a version whose files have changed. A restart does not help."""

_WRITTEN_BY_CLIENT: Final = "registered_model_meta"
"""MLflow's client adds this file to its copy of a version: the version's name and number."""
_NAMED: Final = 3
"""Files of a kind that a sentence names."""


def digest_of(files: Files) -> str:
    """Return the digest of all files: SHA-256 over lines ``<sha256>  <path>``, sorted by path."""
    lines = "".join(f"{files[path]}  {path}\n" for path in sorted(files))
    return hashlib.sha256(lines.encode()).hexdigest()


def difference(registered: Files, found: Files) -> str | None:
    """Return what differs between a version's registered files and the found ones; None where they are the same."""
    kinds = {
        "changed": [path for path in registered if path in found and found[path] != registered[path]],
        "missing": [path for path in registered if path not in found],
        "added": [path for path in found if path not in registered and path != _WRITTEN_BY_CLIENT],
    }
    parts = [f"{_named(sorted(paths))} {kind}" for kind, paths in kinds.items() if paths]
    return "; ".join(parts) or None


def _named(paths: list[str]) -> str:
    more = len(paths) - _NAMED
    return f"{', '.join(paths[:_NAMED])}{f' and {more} more' if more > 0 else ''}"
