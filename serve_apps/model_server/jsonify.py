"""Reads and writes JSON. Values of NumPy and pandas are converted; NaN becomes null."""

from __future__ import annotations

import dataclasses
import enum
import json
import math
import uuid
from typing import Any, Final

import orjson

from serve_apps.model_server.errors import MalformedBody, UnusableOutput
from serve_apps.model_server.outputs.values import json_value
from serve_apps.model_server.repeated_keys import refuse_repeated_keys

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS


def loads(body: bytes) -> Any:
    """Parse a body. ``NaN`` and ``Infinity`` are accepted: Python's json module writes them.

    Raises:
        MalformedBody: It is not JSON.
        InvalidRequest: An object has a key twice.
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" not in body and b"Infinity" not in body:
            raise MalformedBody(f"The body is not JSON: {error}") from None
        value = _lenient(body)
    refuse_repeated_keys(body, value)
    return value


def dumps(value: Any) -> bytes:
    """Write JSON. NaN and infinities become null.

    Raises:
        UnusableOutput: A value has no form in JSON.
    """
    try:
        return orjson.dumps(value, default=json_value, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # orjson refuses integers beyond 64 bits and lone surrogates. Other values fail here, too, with a better error.
        try:
            return json.dumps(_plain(value), separators=(",", ":"), allow_nan=False).encode()
        except RecursionError:
            raise UnusableOutput("The model answered lists or objects nested too deeply for JSON.") from None


def _lenient(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"The body is not JSON: {error}") from None


def _plain(value: Any) -> Any:
    """The value in JSON's types; null for NaN and infinities."""
    if value is None or isinstance(value, (str, bool)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, enum.Enum):
        return _plain(value.value)
    if isinstance(value, uuid.UUID):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _plain(dataclasses.asdict(value))
    return _plain(json_value(value))
