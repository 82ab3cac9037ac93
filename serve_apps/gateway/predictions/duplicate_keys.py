"""Keys that a body's object has twice. Parsers keep one of the two silently, and not all of them the same one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any


def repeated_key(body: bytes, keys: Sequence[str]) -> str | None:
    """The first of ``keys`` that the object in ``body``, which is JSON, has more than once; not those of objects within it."""
    suspects = [key for key in keys if body.count(f'"{key}"'.encode()) > 1]
    if not suspects:
        return None
    try:
        parsed: Any = json.loads(body, object_pairs_hook=tuple)
    except RecursionError:
        return suspects[0]
    # Objects are tuples of pairs now; lists are still lists.
    names = [pair[0] for pair in parsed] if isinstance(parsed, tuple) else []
    return next((key for key in suspects if names.count(key) > 1), None)
