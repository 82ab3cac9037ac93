"""Columns of Arrow as the values that JSON would have.

Plain numbers stay arrays. Text of few distinct values and booleans with gaps stay coded, so that no value is made for a row.
NaN is a missing value, as in a frame; JSON has null for both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import compute

from serve_apps.model_server.inputs.column_values.coded import CodedColumn
from serve_apps.model_server.inputs.values import Values
from serve_apps.model_server.outputs.values import duration

_MOMENT: Final = "%Y-%m-%dT%H:%M:%S"
_LARGEST: Final = 2**63 - 1
_MOST_DISTINCT: Final = 0.5
"""Share of the rows; with more distinct values coding costs more than it saves."""

Column = Values | CodedColumn


def columns_from_arrow(table: pa.Table) -> Mapping[str, Column]:
    """Return the columns of a table."""
    return {name: _values(column) for name, column in zip(table.schema.names, table.columns, strict=True)}


def _values(chunked: pa.ChunkedArray) -> Column:
    column: Any = chunked.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type) and not _is_text(column.type.value_type):
        column = column.dictionary_decode()
    kind = column.type
    if _is_coded(kind):
        return _coded(column)
    if pa.types.is_floating(kind):
        return column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    if column.null_count == 0 and pa.types.is_boolean(kind):
        return column.to_numpy(zero_copy_only=False)
    if column.null_count == 0 and pa.types.is_integer(kind):
        return _integers(column)
    convert = next((how for is_kind, how in _TEXTS if is_kind(kind)), None)
    return column.to_pylist() if convert is None else convert(column)


def _is_text(kind: pa.DataType) -> bool:
    return pa.types.is_string(kind) or pa.types.is_large_string(kind)


def _is_coded(kind: pa.DataType) -> bool:
    return _is_text(kind) or pa.types.is_boolean(kind) or pa.types.is_dictionary(kind)


def _coded(column: Any) -> Column:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    distinct: list[Any] = column.dictionary.to_pylist()
    if len(distinct) > _MOST_DISTINCT * len(column):
        return column.to_pylist()
    codes = column.indices.cast(pa.int64())  # One more code than values: for nulls.
    if codes.null_count:
        codes, distinct = codes.fill_null(len(distinct)), [*distinct, None]
    return CodedColumn.of(distinct, codes.to_numpy(zero_copy_only=False).astype(np.intp, copy=False))


def _integers(column: Any) -> Values:
    array = column.to_numpy(zero_copy_only=False)
    if array.dtype == np.uint64 and len(array) and array.max() > _LARGEST:
        return array.tolist()
    return array.astype(np.int64, copy=False)


def _moments(column: Any) -> list[str | None]:
    zone = column.type.tz
    strftime: Any = getattr(compute, "strftime")  # noqa: B009 - made when the module is imported
    texts = strftime(column.cast(pa.timestamp(column.type.unit)), format=_MOMENT)
    return texts.to_pylist() if zone is None else [None if text is None else f"{text}Z" for text in texts.to_pylist()]


def _durations(column: Any) -> list[str | None]:
    return [None if value is None else duration(value) for value in column.to_pylist()]


def _texts(column: Any) -> list[str | None]:
    return column.cast(pa.string()).to_pylist()


def _floats(column: Any) -> list[float | None]:
    return [None if value is None else float(value) for value in column.to_pylist()]


def _maps(column: Any) -> list[Any]:
    return column.to_pylist(maps_as_pydicts="strict")


def _is_time(kind: pa.DataType) -> bool:
    return pa.types.is_date(kind) or pa.types.is_time(kind)


_TEXTS: Final[Sequence[tuple[Callable[[Any], bool], Callable[[Any], Values]]]] = (
    (pa.types.is_timestamp, _moments),
    (_is_time, _texts),
    (pa.types.is_duration, _durations),
    (pa.types.is_decimal, _floats),
    (pa.types.is_map, _maps),
)
"""Types that JSON does not have, and how its writers write them."""
