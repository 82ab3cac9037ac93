"""By what a request is found again: X-Request-ID, and W3C's traceparent."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from raylift.api.headers import REQUEST_ID, TRACED, TRACEPARENT, raw

_REQUEST_ID: Final = raw(REQUEST_ID)
_TRACEPARENT: Final = raw(TRACEPARENT)
_TRACED: Final = raw(TRACED)
_ID: Final = re.compile(rb"[\x21-\x7e]{1,128}")
_TRACE: Final = re.compile(rb"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")

STATUS_CLIENT_GONE: Final = 499
"""What servers write in their logs where nobody was there to be answered."""


def request_id_of(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    """The request's id, which Ray Serve gives to those that come without; None for one that is no id."""
    return _found(headers, _REQUEST_ID, _ID)


def traceparent_of(headers: Sequence[tuple[bytes, bytes]]) -> str | None:
    return _found(headers, _TRACEPARENT, _TRACE)


def is_traced(headers: Sequence[tuple[bytes, bytes]]) -> bool:
    """Whether the client named the request itself, and so may look for it."""
    return any(name == _TRACED for name, _ in headers)


def _found(headers: Sequence[tuple[bytes, bytes]], name: bytes, shape: re.Pattern[bytes]) -> str | None:
    value = next((value for key, value in headers if key == name), None)
    return value.decode("ascii") if value is not None and shape.fullmatch(value) else None
