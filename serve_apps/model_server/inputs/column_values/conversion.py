"""Converts a column to its type in a signature, for Python functions and parameters.

Models with a native predictor get a column of their training table instead (trained.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd

from serve_apps.model_server.inputs.column_type import LARGEST_EXACT, NUMPY_DTYPES, ColumnType
from serve_apps.model_server.inputs.column_values.nested import nested_column
from serve_apps.model_server.inputs.column_values.times import to_times
from serve_apps.model_server.inputs.values import TEXT_DTYPE, Values, is_missing, to_binary, to_dtype, to_objects, to_texts

_NULLABLE: Final[Mapping[ColumnType | None, str]] = {
    ColumnType.BOOLEAN: "boolean",
    ColumnType.INTEGER: "Int32",
    ColumnType.LONG: "Int64",
}


def convert(
    values: Values, wanted: ColumnType | None, *, nested: Mapping[str, Any] | None = None, is_optional: bool = False
) -> Any:
    """The values as an array of the wanted type. An optional column of integers or booleans may have gaps.

    Raises:
        Mistyped: A value is not of the wanted type.
    """
    if wanted is ColumnType.NESTED:
        return nested_column(values, nested)
    if is_optional and wanted in _NULLABLE:
        objects = to_objects(values)
        if any(is_missing(value) for value in objects):
            return masked(objects, _NULLABLE[wanted])
    if wanted is None:
        return to_objects(values)
    dtype = NUMPY_DTYPES.get(wanted)
    return _CONVERTERS[wanted](values) if dtype is None else to_dtype(values, dtype)


def masked(values: Values, dtype: str) -> Any:
    """The values as a nullable pandas array: values of NumPy's type and a mask.

    Raises:
        Mistyped: A value is not of that type.
    """
    objects = to_objects(values)
    mask = np.array([is_missing(value) for value in objects], dtype=bool)
    plain = np.dtype("bool" if dtype == "boolean" else dtype.lower())
    objects[mask] = False if plain.kind == "b" else 0
    typed = np.array(to_dtype(list(objects), plain))
    kind: Any = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}.get(plain.kind, pd.arrays.IntegerArray)
    return kind(typed, mask)


def untyped(values: Values) -> Any:
    """The values of a column without a known type: numbers are float64, text is text, missing values are NaN.

    Integers beyond float64 and mixed values stay unchanged.
    """
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "bfM":
        return values.astype(np.float64) if values.dtype.kind == "f" else values
    objects = to_objects(values)
    missing = np.array([is_missing(value) for value in objects], dtype=bool)
    kinds = {type(value) for value in objects[~missing]}
    if kinds <= {int, float} and not any(type(value) is int and abs(value) > LARGEST_EXACT for value in objects):
        objects[missing] = np.nan
        return objects.astype(np.float64)
    if kinds == {str}:
        objects[missing] = np.nan
        return pd.array(objects, dtype=TEXT_DTYPE)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if kinds == {bool} and not missing.any():
        return objects.astype(bool)
    objects[missing] = np.nan
    return objects


_CONVERTERS: Final[Mapping[ColumnType, Callable[[Values], Any]]] = {
    ColumnType.STRING: lambda values: pd.array(to_texts(values), dtype=TEXT_DTYPE),
    ColumnType.BINARY: to_binary,
    ColumnType.DATETIME: lambda values: to_times(values, "datetime64[ns]"),  # as MLflow passes times to a function
}
