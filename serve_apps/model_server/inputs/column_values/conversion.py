"""Values of one column to what a signature's type says, for Python functions and for parameters.

Models of the libraries that have a predictor of their own get a column of their training table (trained_values.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

import numpy as np
import pandas as pd

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.nested import nested_column
from serve_apps.model_server.inputs.column_values.times import to_times
from serve_apps.model_server.inputs.values import TEXT_DTYPE, Values, is_missing, to_binary, to_dtype, to_objects, to_texts

_NULLABLE: Final[Mapping[ColumnType | None, str]] = MappingProxyType(
    {ColumnType.BOOLEAN: "boolean", ColumnType.INTEGER: "Int32", ColumnType.LONG: "Int64"}
)


def convert(
    values: Values, wanted: ColumnType | None, *, nested: Mapping[str, Any] | None = None, is_optional: bool = False
) -> Any:
    """The column as an array of the wanted type. An optional column of whole numbers or booleans may have gaps.

    Raises:
        Mistyped: A value is not of the wanted type.
    """
    if wanted is ColumnType.NESTED:
        return nested_column(values, nested)
    if is_optional and wanted in _NULLABLE:
        objects = to_objects(values)
        if any(is_missing(value) for value in objects):
            return masked(objects, _NULLABLE[wanted])
    return to_objects(values) if wanted is None else _CONVERTERS[wanted](values)


def masked(values: Values, dtype: str) -> Any:
    """A column of one of pandas' nullable types: each value in NumPy's type of the same name, and a mask.

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
    """A column of which nothing is known: numbers are float64, text is text, and what is missing is NaN.

    Numbers that float64 does not hold, and mixtures, stay what they are.
    """
    if isinstance(values, np.ndarray) and values.ndim == 1 and values.dtype.kind in "bfM":
        return values.astype(np.float64) if values.dtype.kind == "f" else values
    objects = to_objects(values)
    missing = np.array([is_missing(value) for value in objects], dtype=bool)
    kinds = {type(value) for value in objects[~missing]}
    if kinds <= {int, float} and not any(type(value) is int and abs(value) > _EXACT for value in objects):
        objects[missing] = np.nan
        return objects.astype(np.float64)
    if kinds == {str}:
        objects[missing] = np.nan
        return pd.array(objects, dtype=TEXT_DTYPE)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if kinds == {bool} and not missing.any():
        return objects.astype(bool)
    objects[missing] = np.nan
    return objects


_EXACT: Final = 2**53
"""Up to here float64 holds every whole number."""
_CONVERTERS: Final[Mapping[ColumnType, Callable[[Values], Any]]] = MappingProxyType(
    {
        ColumnType.BOOLEAN: lambda values: to_dtype(values, np.dtype(np.bool_)),
        ColumnType.INTEGER: lambda values: to_dtype(values, np.dtype(np.int32)),
        ColumnType.LONG: lambda values: to_dtype(values, np.dtype(np.int64)),
        ColumnType.FLOAT: lambda values: to_dtype(values, np.dtype(np.float32)),
        ColumnType.DOUBLE: lambda values: to_dtype(values, np.dtype(np.float64)),
        ColumnType.STRING: lambda values: pd.array(to_texts(values), dtype=TEXT_DTYPE),
        ColumnType.BINARY: to_binary,
        ColumnType.DATETIME: lambda values: to_times(values, "datetime64[ns]"),  # as MLflow hands times to a function
    }
)
