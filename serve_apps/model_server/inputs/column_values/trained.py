"""Converts a column to the dtype that it has in the training table.

Each value is converted by itself: the dtype never depends on the other values of a request.
"""

from __future__ import annotations

import datetime
import decimal
import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.conversion import masked
from serve_apps.model_server.inputs.column_values.times import to_durations, to_times
from serve_apps.model_server.inputs.training_table import MISSING, TrainedColumn
from serve_apps.model_server.inputs.values import (
    Mistyped,
    Values,
    describe_value,
    is_missing,
    refuse,
    to_binary,
    to_dtype,
    to_objects,
    to_texts,
)

_SHOWN: Final = 10
_MASKED: Final = frozenset({"boolean", "Float32", "Float64", *(f"{u}Int{bits}" for u in ("", "U") for bits in (8, 16, 32, 64))})
_SPARSE: Final = re.compile(r"Sparse\[(?P<dtype>\w+), (?P<fill>.+)\]")
_FILLS: Final[Mapping[str, Any]] = {"False": False, "True": True}
_TEXTS: Final = frozenset({"str", "string", "string[python]", "string[pyarrow]"})


def as_trained(values: Values, column: TrainedColumn, *, refuses_unseen: bool = False) -> Any:
    """The values as an array of the column's dtype.

    Args:
        values: From JSON, a tensor or a file.
        column: The column of the training table.
        refuses_unseen: The library refuses categories that it was not trained on.

    Raises:
        Mistyped: The dtype cannot hold a value.
    """
    dtype = column.dtype
    if dtype in _TEXTS:
        return pd.array(to_texts(values), dtype=dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]
    if dtype == "category":
        return _category(values, column, refuses_unseen=refuses_unseen)
    if dtype == "object":
        return _objects(values, column)
    if dtype.startswith("datetime64"):
        return to_times(values, dtype)
    if dtype.startswith("timedelta64"):
        return to_durations(values, dtype)
    if dtype in _MASKED:
        return masked(values, dtype)
    sparse = _SPARSE.fullmatch(dtype)
    if sparse is not None:
        dense = to_dtype(values, np.dtype(sparse["dtype"]))
        return pd.arrays.SparseArray(dense, fill_value=dense.dtype.type(_FILLS.get(sparse["fill"], sparse["fill"])))
    return to_dtype(values, np.dtype(dtype)) if _is_numpy(dtype) else _extension(values, dtype)


def _is_numpy(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in "biufSU"
    except TypeError:
        return False


def _extension(values: Values, dtype: str) -> Any:
    """A column of any other pandas dtype, such as a period or a pyarrow one."""
    listed = [None if is_missing(value) else value for value in to_objects(values)]
    try:
        return pd.array(listed, dtype=dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        row = next((row for row, value in enumerate(listed) if not _fits(value, dtype)), 0)
        raise refuse(row, listed[row], f"values of pandas' {dtype}") from None


def _fits(value: Any, dtype: str) -> bool:
    try:
        pd.array([value], dtype=dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except (ValueError, TypeError, OverflowError, ArithmeticError):
        return False
    return True


def _objects(values: Values, column: TrainedColumn) -> NDArray[Any]:
    """A column of Python objects, with the missing value of the training."""
    reader = _OBJECTS.get(column.values)
    objects = to_objects(values) if reader is None else _read_each(values, *reader)
    missing = [row for row, value in enumerate(objects) if is_missing(value)]
    if missing:
        objects[missing] = MISSING[column.missing]
    return objects


def _read_each(values: Values, read: Callable[[Any], Any], wants: str) -> NDArray[Any]:
    objects = to_objects(values)
    for row, value in enumerate(objects):
        if not is_missing(value):
            try:
                objects[row] = read(value.decode() if isinstance(value, bytes) and read is not _bytes else value)
            except (ValueError, TypeError, ArithmeticError):
                raise refuse(row, value, wants) from None
    return objects


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _boolean(value: Any) -> bool:
    return bool(to_dtype([value], np.dtype(bool))[0])


def _integer(value: Any) -> int:
    if isinstance(value, int):
        return int(value)
    number = _number(value)
    if number % 1 != 0:
        raise ValueError
    return int(number)


def _number(value: Any) -> float:
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, (int, float, np.integer, np.floating)):
        raise TypeError
    return float(value)


def _as_given(value: Any) -> int | float:
    _number(value)
    return value


def _bytes(value: Any) -> bytes:
    return to_binary([value])[0]


def _date(value: Any) -> datetime.date:
    return _moment(value).date()


def _moment(value: Any) -> Any:
    return pd.Timestamp(to_times([value], "datetime64[us]")[0])


def _decimal(value: Any) -> decimal.Decimal:
    return decimal.Decimal(value if isinstance(value, (str, int)) else repr(_number(value)))


_OBJECTS: Final[Mapping[str, tuple[Callable[[Any], Any], str]]] = {
    "string": (_text, "text"),
    "boolean": (_boolean, "true or false"),
    "integer": (_integer, "integers"),
    "floating": (_number, "numbers"),
    "mixed-integer-float": (_as_given, "numbers"),
    "bytes": (_bytes, "base64"),
    "date": (_date, 'dates ("2026-01-31")'),
    "datetime": (_moment, 'dates and times as ISO 8601 text ("2026-01-31T12:00:00")'),
    "decimal": (_decimal, "decimal numbers"),
}
"""Converters and wanted values by pandas' name for the values of an object column. Other kinds stay unchanged."""


def _category(values: Values, column: TrainedColumn, *, refuses_unseen: bool) -> pd.Categorical:
    """A category column: the categories of the training in their order, then the unseen ones.

    The library then gets the same as from a frame of the user's: a value that it does not know.
    """
    known = column.categories
    if known is None:
        raise Mistyped("has categories of a kind that no request can hold")
    objects = _in_categories(values, known)
    mask = np.array([value is None for value in objects], dtype=bool)
    codes = np.full(len(objects), -1, dtype=np.intp)
    if not mask.all():
        codes[~mask] = known.get_indexer(pd.Index(objects[~mask].tolist(), dtype=known.dtype))
    unseen = np.flatnonzero((codes == -1) & ~mask)
    if len(unseen):
        if refuses_unseen:
            raise refuse(int(unseen[0]), objects[unseen[0]], f"one of the categories {_listed(known)}")
        new = pd.Index(list(dict.fromkeys(objects[unseen])), dtype=known.dtype)
        codes[unseen] = len(known) + new.get_indexer(pd.Index(objects[unseen].tolist(), dtype=known.dtype))
        known = known.append(new)
    return pd.Categorical.from_codes(codes, dtype=pd.CategoricalDtype(known, ordered=column.ordered))


def _in_categories(values: Values, categories: pd.Index) -> NDArray[Any]:
    """The values in the type of the categories; None if missing."""
    dtype: Any = categories.dtype
    if isinstance(dtype, pd.IntervalDtype):
        by_text = {str(interval): interval for interval in categories}
        return _read_each(_nulls_as_none(values), lambda value: _interval(value, by_text), f"one of {_listed(categories)}")
    kind = TrainedColumn("", "category", categories=categories).type
    if kind is ColumnType.DATETIME:
        times = pd.Series(to_times(values, str(dtype)))
        return times.astype(object).where(times.notna(), None).to_numpy()
    read = {
        ColumnType.STRING: "string",
        ColumnType.BOOLEAN: "boolean",
        ColumnType.LONG: "integer",
        ColumnType.INTEGER: "integer",
        ColumnType.FLOAT: "floating",
        ColumnType.DOUBLE: "floating",
    }.get(kind or ColumnType.NESTED)
    objects = _nulls_as_none(values)
    return objects if read is None else _read_each(objects, *_OBJECTS[read])


def _interval(value: Any, by_text: Mapping[str, Any]) -> Any:
    if value not in by_text:
        raise ValueError
    return by_text[value]


def _nulls_as_none(values: Values) -> NDArray[Any]:
    objects = to_objects(values)
    for row, value in enumerate(objects):
        if is_missing(value):
            objects[row] = None
    return objects


def _listed(categories: pd.Index) -> str:
    shown = ", ".join(describe_value(value) for value in categories[:_SHOWN].tolist())
    return f"{shown} and {len(categories) - _SHOWN} more" if len(categories) > _SHOWN else shown
