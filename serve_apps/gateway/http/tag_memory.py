"""Tags of answers that were computed a moment ago: a poll of what has not changed costs no second computation."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from fastapi.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.types import Scope

from raylift.domain.access import Principal
from raylift.domain.errors import EngineUnavailable
from raylift.store import Changes
from serve_apps.gateway.http.visit import visit_of

_SECONDS: Final = 1.0
"""For answers that depend on Ray, MLflow, files or the time, too."""
_LASTING_SECONDS: Final = 10.0
_MAX_TAGS: Final = 2048
_LASTING: Final = "raylift.lasting_answer"

Key = tuple[Principal, str, bytes]
"""The caller with all its rights, the path, and the query."""


def lasting(request: Request, *, is_lasting: bool = True) -> None:
    """Declare that the answer depends on the store alone, unless ``is_lasting`` is False."""
    request.scope[_LASTING] = is_lasting


@dataclass(frozen=True, slots=True)
class _Known:
    tag: str
    mark: str
    until: float


class TagMemory:
    """Remembers the tag of each caller's answers until the next write to the store, and for a second at most.

    Answers that depend on the store alone are remembered for ten.
    """

    def __init__(self, changes: Changes, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._changes = changes
        self._monotonic = monotonic
        self._known: dict[Key, _Known] = {}

    async def mark(self) -> str | None:
        """Return the mark of the store's present state; None while the database does not answer."""
        try:
            return self._changes.mark() if self._changes.is_free else await run_in_threadpool(self._changes.mark)
        except EngineUnavailable:  # The route says so.
            return None

    def tag(self, scope: Scope, mark: str | None) -> str | None:
        """Return the tag of the answer, if nothing can have changed."""
        key = _key(scope)
        known = None if key is None else self._known.get(key)
        if known is None or known.mark != mark or self._monotonic() > known.until:
            return None
        return known.tag

    def remember(self, scope: Scope, mark: str | None, tag: str) -> None:
        """Remember a tag with the mark that was read before the answer was computed."""
        key = _key(scope)
        if key is None or mark is None:
            return
        self._known.pop(key, None)
        if len(self._known) >= _MAX_TAGS:
            del self._known[next(iter(self._known))]
        seconds = _LASTING_SECONDS if scope.get(_LASTING) else _SECONDS
        self._known[key] = _Known(tag, mark, self._monotonic() + seconds)


def _key(scope: Scope) -> Key | None:
    caller = visit_of(scope).caller
    return (caller, scope["path"], scope["query_string"]) if isinstance(caller, Principal) else None
