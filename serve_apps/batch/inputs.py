"""Rows of a file as a model's inputs: the values that a JSON request of the same rows has.

So a batch gives the answers of the endpoint. Plain numbers are handed over as arrays, which mean the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np
import pyarrow as pa
from pyarrow import compute

from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.readers import Chunk
from serve_apps.model_server.inputs.csv.from_text import typed_columns
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Raw, Rows
from serve_apps.model_server.inputs.values import Values
from serve_apps.model_server.model import Model
from serve_apps.model_server.outputs.values import duration

_MOMENT: Final = "%Y-%m-%dT%H:%M:%S"
_LARGEST: Final = 2**63 - 1


def model_columns(model: Model, found: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the columns of a file that the model gets.

    Args:
        model: The model.
        found: Columns of the file.
        wanted: Columns that the batch names; None: those that the model knows by name, or all if it knows none.

    Raises:
        BatchFailed: One that is needed is not there.
    """
    if wanted is not None:
        if missing := [name for name in wanted if name not in found]:
            raise BatchFailed(f"The input has no column {_listed(missing)}, which `columns` names. It has {_listed(found)}.")
        return list(wanted)
    schema = model.schema
    if isinstance(schema, NamedColumns):
        return _by_name(schema, found)
    named = {column.name for column in schema.columns} | {tensor.name for tensor in schema.tensors}
    known = [name for name in found if name in named]
    return known or list(found)


def inputs_of(chunk: Chunk, names: Sequence[str], model: Model) -> Inputs:
    """Return the inputs that a request of these rows has."""
    if chunk.is_text:
        columns: Mapping[str, Values] = typed_columns(names, [chunk.rows[name].to_pylist() for name in names], model.schema)
    elif chunk.values is not None:
        columns = {name: chunk.values[name] for name in names}
    else:
        columns = {name: _values(chunk.rows[name]) for name in names}
    if model.takes_raw_inputs:
        lists = [values.tolist() if isinstance(values, np.ndarray) else values for values in columns.values()]
        return Raw([dict(zip(columns, row, strict=True)) for row in zip(*lists, strict=True)])
    has_names = bool(model.schema.columns or any(tensor.name for tensor in model.schema.tensors))
    arrays = [values for values in columns.values() if isinstance(values, np.ndarray) and values.dtype.kind in "if"]
    if not has_names and arrays and len(arrays) == len(columns) and model.schema.tensors:
        return Rows(np.column_stack(arrays))
    return Columns(columns)


def part_of(inputs: Inputs, start: int, end: int) -> Inputs:
    """Return the inputs of some rows."""
    match inputs:
        case Columns(values):
            return Columns({name: column[start:end] for name, column in values.items()})
        case Rows(values):
            return Rows(values[start:end])
        case Raw(value):
            return Raw(value[start:end])


def _by_name(schema: NamedColumns, found: Sequence[str]) -> list[str]:
    names = {column.name for column in schema.columns}
    spelled = {schema.spelling(str(name)): str(name) for name in names} | dict(schema.aliases)
    meant = {name: name if name in names else spelled.get(schema.spelling(name)) for name in found}
    given = {name for name in meant.values() if name is not None}
    missing = [str(column.name) for column in schema.columns if column.required and column.name not in given]
    if missing:
        raise BatchFailed(
            f"The input has no column {_listed(missing)}, which the model wants. It has {_listed(found)}. "
            "Rename the columns of the input, or choose another version."
        )
    return [name for name, known in meant.items() if known is not None]


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")


def _values(chunked: pa.ChunkedArray) -> Values:
    column: Any = chunked.combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    kind = column.type
    if pa.types.is_floating(kind):
        return column.to_numpy(zero_copy_only=False).astype(np.float64, copy=False)
    if column.null_count == 0 and pa.types.is_boolean(kind):
        return column.to_numpy(zero_copy_only=False)
    if column.null_count == 0 and pa.types.is_integer(kind):
        return _integers(column)
    convert = next((how for is_kind, how in _TEXTS if is_kind(kind)), None)
    return column.to_pylist() if convert is None else convert(column)


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
