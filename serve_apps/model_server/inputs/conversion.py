"""Values of one column, as they came from JSON or a tensor, to the array the model's column type wants.

As strict as MLflow about what a value means, and kinder where nothing can be lost: whole numbers are taken where floating
point is wanted (MLflow refuses most), whole floats where integers are.
"""

from __future__ import annotations

import base64
import binascii
import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.inputs.signature import ColumnType

Values = Sequence[Any] | NDArray[Any]

_INT_BOUNDS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    }
)


class Mistyped(ValueError):
    """One column's values are not of the wanted type. The message names the row and says what is wanted."""


def convert(values: Values, wanted: ColumnType | None) -> NDArray[Any] | list[Any]:
    """The column as an array of the wanted type; as it came where nothing is known (``None``).

    Raises:
        Mistyped: A value is not of the wanted type.
    """
    if wanted is None:
        # A frame has no columns of several dimensions: rows of them become its values.
        return values if isinstance(values, np.ndarray) and values.ndim == 1 else list(values)
    return _CONVERTERS[wanted](values)


def to_dtype(values: Values, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values as an array of a NumPy type, by the same rules as columns.

    Raises:
        Mistyped: A value is not of that type.
    """
    if dtype.kind == "f":
        return _to_float(values, dtype)
    if dtype.kind in "iu":
        return _to_integer(values, dtype)
    if dtype.kind == "b":
        return _to_boolean(values)
    if dtype.kind in "US":
        return _to_string(values).astype(dtype.kind)
    if dtype.kind == "M":
        return _to_datetime(values)
    return _objects(values)


def is_missing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def describe_value(value: Any) -> str:
    """How an error names a value: short, as JSON writes it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 60 else text[:57] + "…"


def _natural(values: Values) -> NDArray[Any] | None:
    """NumPy's own reading of numbers and booleans; None when the values are anything else and want a look one by one."""
    if isinstance(values, np.ndarray):
        array = values
    else:
        try:
            array = np.asarray(values)
        except ValueError:  # ragged
            return None
    return array if array.ndim == 1 and array.dtype.kind in "biuf" else None


def _objects(values: Values) -> NDArray[Any]:
    array = np.empty(len(values), dtype=object)
    array[:] = values.tolist() if isinstance(values, np.ndarray) else values if _is_flat(values) else [*values]
    return array


def _is_flat(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, (list, tuple)) for value in values)


def _refuse(row: int, value: Any, wants: str) -> Mistyped:
    return Mistyped(f"wants {wants}; row {row} has {describe_value(value)}")


def _to_float(values: Values, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = _natural(values)
    if array is None:
        array = np.empty(len(values), dtype=np.float64)
        for row, value in enumerate(values):
            if value is None:
                array[row] = np.nan
            elif isinstance(value, (bool, int, float, np.number, np.bool_)):
                array[row] = float(value)
            else:
                raise _refuse(row, value, "numbers")
    with np.errstate(over="ignore"):
        return array.astype(dtype, copy=False)


def _to_integer(values: Values, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = _natural(values)
    low, high = _INT_BOUNDS[dtype.name]
    if array is not None and array.dtype.kind in "biu":
        if array.size and (int(array.min()) < low or int(array.max()) > high):
            row = int(np.argmax((array < low) | (array > high)))
            raise _refuse(row, array[row], f"integers from {low} to {high}")
        return array.astype(dtype, copy=False)
    converted = np.empty(len(values), dtype=dtype)
    for row, value in enumerate(values):
        if is_missing(value):
            raise Mistyped(f"wants integers, which cannot be missing; row {row} has {describe_value(value)}")
        if not isinstance(value, (bool, int, float, np.integer, np.floating)) or float(value) % 1 != 0:
            raise _refuse(row, value, "integers")
        if not low <= value <= high:
            raise _refuse(row, value, f"integers from {low} to {high}")
        converted[row] = int(value)
    return converted


def _to_boolean(values: Values) -> NDArray[Any]:
    array = _natural(values)
    if array is not None and array.dtype.kind == "b":
        return array
    for row, value in enumerate(values):
        if not (isinstance(value, (bool, int, float, np.number, np.bool_)) and value in (0, 1)):
            raise _refuse(row, value, "true or false")
    return np.array([bool(value) for value in values], dtype=np.bool_)


def _to_string(values: Values) -> NDArray[Any]:
    array = _objects(values)
    for row, value in enumerate(array):
        if isinstance(value, float) and math.isnan(value):
            array[row] = None
        elif isinstance(value, bytes):
            array[row] = _decoded(row, value)
        elif value is not None and not isinstance(value, str):
            raise _refuse(row, value, "text")
    return array


def _decoded(row: int, value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise _refuse(row, value, "UTF-8 text") from None


def _to_binary(values: Values) -> NDArray[Any]:
    array = _objects(values)
    for row, value in enumerate(array):
        if isinstance(value, str):
            try:
                array[row] = base64.b64decode(value, validate=True)
            except binascii.Error:
                raise _refuse(row, value, "base64") from None
        elif value is not None and not isinstance(value, bytes):
            raise _refuse(row, value, "base64")
    return array


def _to_datetime(values: Values) -> NDArray[Any]:
    if isinstance(values, np.ndarray) and values.dtype.kind == "M":
        return values.astype("datetime64[ns]")
    wants = 'dates and times as ISO 8601 text ("2026-01-31T12:00:00")'
    array = _objects(values)
    for row, value in enumerate(array):
        if isinstance(value, bytes):
            array[row] = _decoded(row, value)
        elif value is not None and not isinstance(value, (str, pd.Timestamp, np.datetime64)):
            raise _refuse(row, value, wants)
    try:
        # Times with an offset become UTC, as pandas has no column of mixed ones; times without stay as they are.
        parsed = pd.to_datetime(pd.Series(array, dtype=object), format="ISO8601", utc=True)
    except (ValueError, OverflowError):
        raise Mistyped(f"wants {wants}; row {_first_undated(array)}") from None
    return parsed.dt.tz_localize(None).to_numpy(dtype="datetime64[ns]")


def _first_undated(values: NDArray[Any]) -> str:
    for row, value in enumerate(values):
        if value is not None and pd.isna(pd.to_datetime(value, format="ISO8601", errors="coerce", utc=True)):
            return f"{row} has {describe_value(value)}"
    return "values lie outside the years 1677 to 2262"


_CONVERTERS: Final[Mapping[ColumnType, Callable[[Values], NDArray[Any]]]] = MappingProxyType(
    {
        ColumnType.BOOLEAN: _to_boolean,
        ColumnType.INTEGER: lambda values: _to_integer(values, np.dtype(np.int32)),
        ColumnType.LONG: lambda values: _to_integer(values, np.dtype(np.int64)),
        ColumnType.FLOAT: lambda values: _to_float(values, np.dtype(np.float32)),
        ColumnType.DOUBLE: lambda values: _to_float(values, np.dtype(np.float64)),
        ColumnType.STRING: _to_string,
        ColumnType.BINARY: _to_binary,
        ColumnType.DATETIME: _to_datetime,
        ColumnType.NESTED: _objects,
    }
)
