"""Rows of a file as a model's inputs: the values that a JSON request of the same rows has.

So a batch gives the answers of the endpoint. Plain numbers are handed over as arrays, which mean the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.readers import Chunk
from serve_apps.model_server.inputs.arrow import columns_from_arrow
from serve_apps.model_server.inputs.column_values.coded import CodedColumn
from serve_apps.model_server.inputs.csv.from_text import typed_columns
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.tabular import Columns, Inputs, Raw, Rows
from serve_apps.model_server.model import Model


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
        columns: Mapping[str, Any] = typed_columns(names, [chunk.rows[name].to_pylist() for name in names], model.schema)
    elif chunk.values is not None:
        columns = {name: chunk.values[name] for name in names}
    else:
        columns = columns_from_arrow(chunk.rows.select(names))
    if model.takes_raw_inputs:
        lists = [values if isinstance(values, list) else values.tolist() for values in columns.values()]
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


def for_schema(inputs: Inputs, model: Model) -> Inputs:
    """Return inputs that the fast reader declined, as the model's schema reads them."""
    if not isinstance(inputs, Columns) or isinstance(model.schema, NamedColumns):
        return inputs
    columns: Mapping[str, Any] = inputs.values
    return Columns({name: each.tolist() if isinstance(each, CodedColumn) else each for name, each in columns.items()})


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
