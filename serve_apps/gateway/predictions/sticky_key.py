"""Finds a request's sticky key: a header, or a field of the body."""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from raylift.domain.traffic import Sticky
from raylift.services.traffic.routing import StickyKey

_PARSED_IN_LOOP: Final = 256 * 1024
_NOT_PARSED: Final = object()


def sticky_key_of(request: Request, body: bytes, fields: Any = _NOT_PARSED) -> StickyKey:
    """Lookup of a sticky key in the headers or in the JSON body: in its parsed ``fields``, else parsed when a table asks."""

    async def find(sticky: Sticky) -> str | None:
        if sticky.header is not None:
            return request.headers.get(sticky.header)
        if fields is not _NOT_PARSED:
            parsed = fields
        elif len(body) <= _PARSED_IN_LOOP:
            parsed = _parsed(body)
        else:
            parsed = await run_in_threadpool(_parsed, body)
        return _text_at(parsed, str(sticky.field))

    return find


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return None  # Not JSON: the replica accepts or refuses it.


def _text_at(found: Any, name: str) -> str | None:
    """The value at a dotted name as text. Of a list the first element counts: ``inputs.user`` is that of the first row."""
    for part in name.split("."):
        found = _first(found)
        if not isinstance(found, dict) or part not in found:
            return None
        found = found[part]
    found = _first(found)
    if isinstance(found, str | bool | int | float):
        return str(found)
    return None


def _first(value: Any) -> Any:
    return value[0] if isinstance(value, list) and value else value
