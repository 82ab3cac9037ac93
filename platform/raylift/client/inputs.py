"""Converts frames, arrays, dicts and lists into the ``inputs`` of an inference request, without importing NumPy or pandas.

| argument | sent as |
|---|---|
| pandas DataFrame, or an object with ``to_pandas`` (Arrow, Polars) | columns, without the index |
| pandas Series | one row; the labels name the columns |
| array, 2-D or more | rows |
| array, 1-D | refused: it could be one row or one column |
| dict | columns; with scalars one row |
| list of dicts, list of rows | unchanged |

NaN, NaT and NA become null, datetimes ISO 8601 text. Infinity is refused: JSON has no such number.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import date, time
from decimal import Decimal
from typing import Any, Final

_PLAIN: Final = frozenset({str, int, bool})


def to_inputs(data: Any) -> dict[str, Any] | list[Any]:
    """``data`` as JSON values.

    Raises:
        TypeError: The type is unknown, or JSON cannot carry a value.
        ValueError: The shape is ambiguous, or a number is infinite.
    """
    if _is(data, "pandas", "DataFrame"):
        return _columns_of_frame(data)
    if _is(data, "pandas", "Series"):
        return {str(label): _value(value, str(label)) for label, value in data.items()}
    if callable(getattr(data, "to_pandas", None)):
        return _columns_of_frame(data.to_pandas())
    if isinstance(data, Mapping):
        return {str(name): _value(values, str(name)) for name, values in data.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if _is_array(data):
        return _rows_of_array(data)
    if isinstance(data, list | tuple):
        return [_value(row, f"row {number}") for number, row in enumerate(data)]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    raise TypeError(
        f"a {type(data).__name__} cannot be a model's inputs: "
        "pass a DataFrame, a 2-D array, a dict of columns, a list of dicts or a list of rows"
    )


def index_of(data: Any) -> Any:
    """Return the index of a pandas frame; None of other inputs, whose rows have no names."""
    return data.index if _is(data, "pandas", "DataFrame") else None


def _columns_of_frame(frame: Any) -> dict[str, list[Any]]:
    names = [str(name) for name in frame.columns]
    repeated = sorted({name for name in names if names.count(name) > 1}) if len(set(names)) < len(names) else []
    if repeated:
        raise ValueError(f"the frame has more than one column named {', '.join(map(repr, repeated))}: rename them")
    return {name: _list(frame.iloc[:, position].tolist(), name) for position, name in enumerate(names)}


def _rows_of_array(array: Any) -> dict[str, Any] | list[Any]:
    fields: tuple[str, ...] | None = getattr(getattr(array, "dtype", None), "names", None)
    if fields:
        return {name: _array(array[name], name) for name in fields}
    if array.ndim < 2:
        raise ValueError(
            f"a {array.ndim}-D array could be one row or one column: "
            "use array.reshape(1, -1) for one row, array.reshape(-1, 1) for one column"
        )
    return _array(array, "the array")


def _array(array: Any, where: str) -> Any:
    # tolist() gives nanosecond datetimes as integers: they become text first.
    if getattr(getattr(array, "dtype", None), "kind", "") == "M":
        array = array.astype(str)
        return _without_nat(array.tolist())
    return _value(array.tolist(), where)


def _without_nat(value: Any) -> Any:
    return [_without_nat(item) for item in value] if isinstance(value, list) else (None if value == "NaT" else value)  # pyright: ignore[reportUnknownVariableType]


def _list(values: Iterable[Any], where: str) -> list[Any]:
    return [_value(value, where) for value in values]


def _value(value: Any, where: str) -> Any:
    if value is None or type(value) in _PLAIN:
        return value
    if isinstance(value, float):
        return _number(value, where)
    if isinstance(value, list | tuple):
        return _list(value, where)  # pyright: ignore[reportUnknownArgumentType]
    if isinstance(value, Mapping):
        return {str(name): _value(item, str(name)) for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return _foreign(value, where)


def _number(value: float, where: str) -> float | None:
    if math.isfinite(value):
        return float(value)
    if math.isnan(value):
        return None
    raise ValueError(f"{where} holds an infinite number, which JSON cannot carry")


def _foreign(value: Any, where: str) -> Any:
    """Convert scalars of the standard library, NumPy and pandas."""
    if isinstance(value, str):  # an enum, numpy.str_
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, date | time):  # datetime and pandas' Timestamp are dates, and so is NaT
        return None if _is(value, "pandas", "NaTType") else value.isoformat()
    if _is(value, "pandas", "NaTType") or _is(value, "pandas", "NAType"):
        return None
    if isinstance(value, Decimal):
        return _number(float(value), where)
    if _is(value, "pandas", "Series") or _is(value, "pandas", "Index") or _is(value, "pandas", "ExtensionArray"):
        return _list(value.tolist(), where)
    if _is_array(value):
        return _array(value, where)
    raise TypeError(f"{where} holds a {type(value).__name__}, which JSON cannot carry")


def _is_array(value: Any) -> bool:
    """True for arrays and array scalars of NumPy, PyTorch, JAX and others."""
    return hasattr(value, "ndim") and callable(getattr(value, "tolist", None))


def _is(value: Any, package: str, name: str) -> bool:
    return any(kind.__name__ == name and kind.__module__.partition(".")[0] == package for kind in type(value).__mro__)
