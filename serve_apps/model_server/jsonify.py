"""What a model answers, as JSON: NumPy's and pandas' values become JSON's own, and NaN becomes null."""

from __future__ import annotations

import base64
import dataclasses
import datetime
import json
import math
from decimal import Decimal
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.errors import MalformedBody

_OPTIONS: Final = orjson.OPT_NON_STR_KEYS


def loads(body: bytes) -> Any:
    """Parse a body. ``NaN`` and ``Infinity``, which are no JSON but which Python's json module writes, are read, too.

    Raises:
        MalformedBody: It is not JSON.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError as error:
        if b"NaN" in body or b"Infinity" in body:
            return _lenient(body)
        raise MalformedBody(f"The body is not JSON: {error}") from None


def dumps(value: Any) -> bytes:
    try:
        return orjson.dumps(value, default=_default, option=_OPTIONS)
    except orjson.JSONEncodeError:
        # Integers beyond 64 bits are JSON, and orjson's only gap here; anything else fails again with its reason.
        return json.dumps(_finite(value), default=_default, separators=(",", ":")).encode()


def natives(answer: Any) -> list[Any]:
    """A model's predictions as a list with one entry a row: values, lists of values, or records for a frame."""
    if isinstance(answer, np.ndarray):
        return _listed(answer)
    if isinstance(answer, pd.DataFrame):
        return [
            dict(zip(map(str, answer.columns), row, strict=True))
            for row in zip(*(_listed(answer.iloc[:, i]) for i in range(answer.shape[1])), strict=True)
        ]
    if isinstance(answer, pd.Series):
        return _listed(answer)
    if isinstance(answer, dict):
        return [answer]
    if hasattr(answer, "toarray"):  # sparse
        return _listed(answer.toarray())
    if isinstance(answer, (str, bytes)) or not hasattr(answer, "__iter__"):
        return [answer]
    return list(answer)


def _listed(values: NDArray[Any] | pd.Series) -> list[Any]:
    array = values if isinstance(values, np.ndarray) else values.to_numpy()
    if array.ndim == 0:
        return [array.item()]
    if array.dtype.kind == "M":
        return (
            [_default(pd.Timestamp(moment)) for moment in array.ravel()] if array.ndim == 1 else [_listed(row) for row in array]
        )
    return array.tolist()


def _lenient(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise MalformedBody(f"The body is not JSON: {error}") from None


def _default(value: Any) -> Any:  # noqa: C901 - one line a type
    if value is pd.NA or value is pd.NaT:
        return None
    if isinstance(value, np.ndarray):
        return _listed(value) if value.ndim else value[()]
    if isinstance(value, np.datetime64):
        return _default(pd.Timestamp(value))
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (pd.DataFrame, pd.Series)):
        return natives(value)
    if isinstance(value, (datetime.date, datetime.time)):
        return value.isoformat()
    if isinstance(value, (bytes, bytearray)):
        return base64.b64encode(value).decode("ascii")
    if isinstance(value, Decimal):
        return float(value)
    if isinstance(value, (set, frozenset, tuple)):
        return list(value)
    if hasattr(value, "model_dump"):
        return value.model_dump()
    raise TypeError(f"{type(value).__name__} is not JSON serializable")


def _finite(value: Any) -> Any:
    """The value with null for what JSON has no number for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(item) for item in value]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _finite(dataclasses.asdict(value))
    return value
