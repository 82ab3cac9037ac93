"""Values of a model's output as JSON writes them."""

from __future__ import annotations

import base64
import datetime
from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import singledispatch
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.errors import UnusableOutput
from serve_apps.model_server.outputs.tables import column_names, plain

_PLAIN_KINDS: Final = frozenset("biuU")
"""NumPy's kinds whose ``tolist`` gives JSON's values."""


def entries_of(answer: Any) -> list[Any]:
    """Entries of an output: records of a frame, or the value itself of a single value.

    Raises:
        UnusableOutput: A frame has two columns of one name, or an array has values without a form in JSON.
    """
    answer = plain(answer)
    if isinstance(answer, np.ndarray):
        return listed(answer)
    if isinstance(answer, pd.DataFrame):
        names = column_names(answer)
        columns = [listed(answer.iloc[:, index].to_numpy()) for index in range(len(names))]
        return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]
    if isinstance(answer, pd.Series):
        return listed(answer.to_numpy())
    return list(answer) if isinstance(answer, (list, tuple)) else [answer]


def listed(array: NDArray[Any]) -> list[Any]:
    """The array as lists of values that JSON or ``json_value`` writes.

    Raises:
        UnusableOutput: JSON has no form for them.
    """
    kind = array.dtype.kind
    if kind in _PLAIN_KINDS or (kind == "f" and array.itemsize <= 8):
        return array.tolist() if array.ndim else [array.item()]
    special = _ARRAYS.get(kind)
    array = np.atleast_1d(array)
    return array.tolist() if special is None else special(array)


def json_value(value: Any) -> Any:
    """Convert a value that orjson and the json module do not know one step towards JSON.

    Raises:
        UnusableOutput: It has no form in JSON.
    """
    if value is pd.NA or value is pd.NaT:
        return None
    return _form(value)


@singledispatch
def _form(value: Any) -> Any:
    if hasattr(value, "model_dump"):  # Pydantic
        return value.model_dump()
    known = plain(value)
    if known is value:
        raise _no_json(type(value).__name__)
    return known


def _no_json(what: str) -> UnusableOutput:
    return UnusableOutput(
        f"The model answered values of the type {what}, which JSON has no form for: convert them to numbers or text."
    )


def duration(value: Any) -> str | None:
    """A timedelta in ISO 8601: ``PT1M30S``."""
    if isinstance(value, np.timedelta64) and np.datetime_data(value)[0] in ("Y", "M", "generic"):
        return None if np.isnat(value) else str(value)
    delta: Any = pd.Timedelta(value)
    if delta is pd.NaT:
        return None
    parts = abs(delta).components
    fraction = f"{parts.milliseconds:03}{parts.microseconds:03}{parts.nanoseconds:03}".rstrip("0")
    seconds = f"{parts.seconds}{'.' if fraction else ''}{fraction}"
    units = [f"{parts.hours}H" if parts.hours else "", f"{parts.minutes}M" if parts.minutes else ""]
    units.append(f"{seconds}S" if seconds != "0" else "")
    clock, days = "".join(units), f"{parts.days}D" if parts.days else ""
    text = f"P{days}{'T' if clock else ''}{clock}" if days or clock else "PT0S"
    return f"-{text}" if delta < pd.Timedelta(0) else text


def _moment(value: Any) -> str | None:
    if np.isnat(value):
        return None
    try:
        return pd.Timestamp(value).isoformat()
    except ValueError:  # outside the years of a Timestamp
        return str(value)


def _base64(value: bytes | bytearray | memoryview) -> str:
    return base64.b64encode(value).decode("ascii")


def _scalar(value: np.generic) -> Any:
    item = value.item()
    if isinstance(item, np.generic):  # longer than float64
        return float(item)
    return list(item) if isinstance(value, np.void) and isinstance(item, tuple) else item


def _record(value: np.void) -> Any:
    return {name: value[name] for name in value.dtype.names} if value.dtype.names else value.tobytes()


def _records(array: NDArray[Any]) -> list[Any]:
    names = array.dtype.names
    if names is None:
        return array.tolist()
    if array.ndim > 1:
        return [_records(row) for row in array]
    columns = [listed(array[name]) for name in names]
    return [dict(zip(names, row, strict=True)) for row in zip(*columns, strict=True)]


def _each(form: Callable[[Any], Any]) -> Callable[[NDArray[Any]], list[Any]]:
    def nested(array: NDArray[Any]) -> list[Any]:
        return [form(value) for value in array] if array.ndim == 1 else [nested(row) for row in array]

    return nested


def _refused(array: NDArray[Any]) -> list[Any]:
    raise _no_json(str(array.dtype))


_ARRAYS: Final[Mapping[str, Callable[[NDArray[Any]], list[Any]]]] = {
    "M": _each(_moment),
    "m": _each(duration),
    "V": _records,
    "f": lambda array: array.astype(np.float64).tolist(),
    "c": _refused,
}

_FORMS: Final[tuple[tuple[type, Callable[[Any], Any]], ...]] = (
    (np.ndarray, lambda value: listed(value) if value.ndim else value[()]),
    (np.datetime64, _moment),
    (np.timedelta64, duration),
    (np.complexfloating, lambda value: _refused(np.asarray(value))),
    (np.void, _record),
    (np.generic, _scalar),
    (pd.Series, entries_of),
    (pd.DataFrame, entries_of),
    (datetime.date, datetime.date.isoformat),
    (datetime.datetime, datetime.datetime.isoformat),
    (datetime.time, datetime.time.isoformat),
    (datetime.timedelta, duration),
    (bytes, _base64),
    (bytearray, _base64),
    (memoryview, _base64),
    (Decimal, float),
    (tuple, list),
    (pd.Period, str),
    (pd.Interval, str),
)
for _kind, _how in _FORMS:
    _form.register(_kind, _how)
