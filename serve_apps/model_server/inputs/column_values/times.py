"""Dates, times and durations: ISO 8601 text to a column of a given unit and zone, without loss or not at all."""

from __future__ import annotations

import re
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.inputs.values import Mistyped, Values, decode_text, is_missing, refuse, to_objects

_OFFSET: Final = re.compile(r"(?:[zZ]|[+-]\d\d(?::?\d\d)?)$")
_UTC: Final = frozenset({"UTC", "utc", "Etc/UTC", "UTC+00:00"})
_DTYPE: Final = re.compile(r"(?:datetime|timedelta)64\[(?P<unit>\w+)(?:, (?P<zone>.+))?\]")
_WANTS: Final = 'dates and times as ISO 8601 text ("2026-01-31T12:00:00")'
_WANTS_OFFSET: Final = 'times with their offset from UTC ("2026-01-31T12:00:00+01:00")'
_WANTS_DURATIONS: Final = 'durations as text ("1 days 02:00:00" or "P1DT2H")'
_WANTS_NEARER: Final = "dates and times in the years 1677 to 2262, as a column of nanoseconds holds"
_UNITS: Final = {"s": "second", "ms": "millisecond", "us": "microsecond", "ns": "nanosecond"}

default_dtype: Final = str(pd.to_datetime(pd.Series(["2026-01-31"])).dtype)
"""Dtype of the installed pandas for dates in text: ``datetime64[us]`` from pandas 3 on, ``datetime64[ns]`` before."""


def to_times(values: Values, dtype: str = default_dtype) -> Any:
    """The values as a column of ``dtype``. Times with an offset become UTC in a column without a zone.

    Raises:
        Mistyped: A value is no time, the unit cannot hold it exactly, or it has no offset for a zone other than UTC.
    """
    unit, zone = _parts(dtype)
    objects = _texts_and_times(values, zone)
    parsed = _parsed(objects, unit)
    return parsed.dt.tz_convert(zone).array if zone else parsed.dt.tz_localize(None).to_numpy()


def to_durations(values: Values, dtype: str) -> NDArray[Any]:
    """The values as a ``timedelta64`` column of a unit.

    Raises:
        Mistyped: A value is no duration, or the unit cannot hold it exactly.
    """
    unit, _ = _parts(dtype)
    moments = np.empty(len(values), dtype=f"timedelta64[{unit}]")
    for row, value in enumerate(to_objects(values)):
        try:
            duration: Any = None if is_missing(value) else pd.Timedelta(_only_text(value)).as_unit(unit, round_ok=False)
        except (ValueError, TypeError, OverflowError):
            raise refuse(row, value, _WANTS_DURATIONS) from None
        moments[row] = np.timedelta64("NaT") if duration is None else duration.to_timedelta64()
    return moments


def _parts(dtype: str) -> tuple[Any, str | None]:
    found = _DTYPE.fullmatch(dtype)
    if found is None:
        raise Mistyped(f"is of pandas' {dtype}, which no request can hold")
    return found["unit"], found["zone"]


def _texts_and_times(values: Values, zone: str | None) -> NDArray[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return pd.Series(values).astype(object).to_numpy()
    objects = to_objects(values)
    for row, value in enumerate(objects):
        if is_missing(value):
            objects[row] = None
        elif isinstance(value, bytes):
            objects[row] = decode_text(row, value)
        elif not isinstance(value, (str, pd.Timestamp, np.datetime64)):
            raise refuse(row, value, _WANTS)
        if zone is not None and zone not in _UTC and _lacks_offset(objects[row]):
            raise refuse(row, value, _WANTS_OFFSET)
    return objects


def _lacks_offset(value: Any) -> bool:
    if isinstance(value, str):
        return _OFFSET.search(value[10:]) is None
    return value is not None and pd.Timestamp(value).tzinfo is None


def _parsed(objects: NDArray[Any], unit: Any) -> pd.Series:
    """The times in UTC and in ``unit``."""
    together = _parsed_together(objects, unit)
    if together is not None:
        return together
    each = [_parsed_alone(row, value, unit) for row, value in enumerate(objects)]
    return pd.Series(pd.DatetimeIndex(each, dtype=f"datetime64[{unit}, UTC]"))


def _parsed_together(objects: NDArray[Any], unit: Any) -> pd.Series | None:
    """All times in one step; None if one is out of range or finer than the unit."""
    try:
        parsed = pd.to_datetime(pd.Series(objects, dtype=object), format="ISO8601", utc=True)
        converted = parsed.dt.as_unit(unit)
    except (ValueError, OverflowError):
        return None
    return converted if bool(((converted == parsed) | parsed.isna()).all()) else None


def _parsed_alone(row: int, value: Any, unit: Any) -> Any:
    if value is None:
        return pd.NaT
    try:
        parsed: Any = pd.to_datetime(value, format="ISO8601", utc=True)
    except pd.errors.OutOfBoundsDatetime:
        raise refuse(row, value, _WANTS_NEARER) from None
    except (ValueError, OverflowError):
        raise refuse(row, value, _WANTS) from None
    try:
        return parsed.as_unit(unit, round_ok=False)
    except pd.errors.OutOfBoundsDatetime:
        raise refuse(row, value, _WANTS_NEARER) from None
    except ValueError:
        raise refuse(row, value, f"times to the {_UNITS.get(unit, unit)} and no finer") from None


def _only_text(value: Any) -> Any:
    if not isinstance(value, (str, pd.Timedelta, np.timedelta64)):
        raise TypeError
    return value
