"""Checks and converts values of JSON, tensors and files to NumPy's types.

The rules are MLflow's, except where nothing is lost: integers are accepted for floating point and whole floats for integers.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

Values = Sequence[Any] | NDArray[Any]

TEXT_DTYPE: Final = str(pd.Series(["text"]).dtype)
"""Text dtype of the installed pandas: ``str`` from pandas 3 on, ``object`` before."""

_INT_BOUNDS: Final[Mapping[str, tuple[int, int]]] = {
    f"{sign}int{bits}": (0, 2**bits - 1) if sign else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    for sign in ("", "u")
    for bits in (8, 16, 32, 64)
}


class Mistyped(ValueError):
    """A value of a column is not of the wanted type. The message names the row and the type."""


def to_dtype(values: Values, dtype: np.dtype[Any]) -> NDArray[Any]:
    """The values as an array of a NumPy type.

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
        return to_texts(values).astype(dtype.kind)
    return to_objects(values)


def is_missing(value: Any) -> bool:
    """Tell whether a value is missing: None, NaN, pandas' NA or NaT."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    return isinstance(value, (float, np.floating, np.datetime64, np.timedelta64)) and bool(value != value)


def describe_value(value: Any) -> str:
    """A value for an error message: short, as JSON writes it."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or value is pd.NA or value is pd.NaT:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, dict)):
        return "a list" if isinstance(value, list) else "an object"
    text = repr(value) if not isinstance(value, str) else f'"{value}"'
    return text if len(text) <= 60 else text[:57] + "…"


def natural_array(values: Values) -> NDArray[Any] | None:
    """NumPy's own array of numbers or booleans; None if the values are anything else."""
    try:
        array = np.asarray(values)
    except ValueError:  # ragged
        return None
    return array if array.dtype.kind in "biuf" else None


def _natural_column(values: Values) -> NDArray[Any] | None:
    array = natural_array(values)
    return array if array is not None and array.ndim == 1 else None


def to_objects(values: Values) -> NDArray[Any]:
    """The values as a new array of Python objects."""
    array = np.empty(len(values), dtype=object)
    array[:] = values.tolist() if isinstance(values, np.ndarray) else values if _is_flat(values) else [*values]
    return array


def _is_flat(values: Sequence[Any]) -> bool:
    return not any(isinstance(value, (list, tuple)) for value in values)


def refuse(row: int, value: Any, wants: str) -> Mistyped:
    """Error that names a row, its value and what is wanted instead."""
    return Mistyped(f"wants {wants}; row {row} has {describe_value(value)}")


def _to_float(values: Values, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = _natural_column(values)
    if array is None:
        array = np.empty(len(values), dtype=np.float64)
        for row, value in enumerate(values):
            array[row] = np.nan if is_missing(value) else _float(row, value)
    if dtype.itemsize == array.dtype.itemsize:
        return array.astype(dtype, copy=False)
    with np.errstate(over="ignore"):
        narrowed = array.astype(dtype, copy=False)
    too_large = np.isinf(narrowed) & np.isfinite(array)
    if too_large.any():
        row = int(np.argmax(too_large))
        raise refuse(row, array[row], f"numbers that fit into {dtype}")
    return narrowed


def _float(row: int, value: Any) -> float:
    if not isinstance(value, (bool, int, float, np.number, np.bool_)) or isinstance(value, np.complexfloating):
        raise refuse(row, value, "numbers")
    try:
        return float(value)
    except OverflowError:
        raise refuse(row, value, "numbers that fit into float64") from None


def _to_integer(values: Values, dtype: np.dtype[Any]) -> NDArray[Any]:
    array = _natural_column(values)
    low, high = _INT_BOUNDS[dtype.name]
    if array is not None and array.dtype.kind in "biu":
        if array.size and (int(array.min()) < low or int(array.max()) > high):
            row = int(np.argmax((array < low) | (array > high)))
            raise refuse(row, array[row], f"integers from {low} to {high}")
        return array.astype(dtype, copy=False)
    converted = np.empty(len(values), dtype=dtype)
    for row, value in enumerate(values):
        if is_missing(value):
            raise Mistyped(f"wants integers, which cannot be missing; row {row} has {describe_value(value)}")
        if not isinstance(value, (bool, int, float, np.integer, np.floating)) or float(value) % 1 != 0:
            raise refuse(row, value, "integers")
        if not low <= value <= high:
            raise refuse(row, value, f"integers from {low} to {high}")
        converted[row] = int(value)
    return converted


def _to_boolean(values: Values) -> NDArray[Any]:
    array = _natural_column(values)
    if array is not None and array.dtype.kind == "b":
        return array
    for row, value in enumerate(values):
        if not (isinstance(value, (bool, int, float, np.number, np.bool_)) and value in (0, 1)):
            raise refuse(row, value, "true or false")
    return np.array([bool(value) for value in values], dtype=np.bool_)


def to_texts(values: Values) -> NDArray[Any]:
    """The values as text, missing ones as None. Bytes are decoded as UTF-8.

    Raises:
        Mistyped: A value is neither text nor UTF-8.
    """
    array = to_objects(values)
    for row, value in enumerate(array):
        if is_missing(value):
            array[row] = None
        elif isinstance(value, bytes):
            array[row] = decode_text(row, value)
        elif not isinstance(value, str):
            raise refuse(row, value, "text")
    return array


def decode_text(row: int, value: bytes) -> str:
    """Decode the bytes of a row.

    Raises:
        Mistyped: They are not UTF-8.
    """
    try:
        return value.decode()
    except UnicodeDecodeError:
        raise refuse(row, value, "UTF-8 text") from None


def to_binary(values: Values) -> NDArray[Any]:
    """The values as bytes, missing ones as None. Text is decoded as base64.

    Raises:
        Mistyped: A value is neither bytes nor base64.
    """
    array = to_objects(values)
    for row, value in enumerate(array):
        if isinstance(value, str):
            try:
                array[row] = base64.b64decode(value, validate=True)
            except binascii.Error:
                raise refuse(row, value, "base64") from None
        elif value is not None and not isinstance(value, bytes):
            raise refuse(row, value, "base64")
    return array
