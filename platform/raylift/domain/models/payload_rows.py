"""Reads the columns of requests in a payload log: JSON bodies of every protocol."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast


def input_columns(body: Any, names: Sequence[str] = ()) -> Mapping[str, Sequence[Any]] | None:
    """Return the values of a request's rows by column; None for a request whose inputs are no table.

    Args:
        body: JSON of the request.
        names: Names of the columns of rows without names. A row of another length is no table.
    """
    match body:
        case {"dataframe_split": {"columns": [*labels], "data": [*rows]}}:
            return _of_rows(rows, [str(label) for label in labels])
        case {"dataframe_records": [*rows]} | {"instances": [*rows]}:
            return _of_list(rows, names)
        case {"inputs": [{"name": _, "data": _}, *_] as tensors}:
            return _of_tensors(cast("list[Any]", tensors), names)
        case {"inputs": [*rows]}:
            return _of_list(rows, names)
        case {"inputs": {**columns}}:
            return _equally_long({str(name): values for name, values in columns.items()})
        case _:
            return None


def _of_list(rows: Sequence[Any], names: Sequence[str]) -> Mapping[str, Sequence[Any]] | None:
    if rows and all(isinstance(row, dict) for row in rows):
        labels = dict.fromkeys(str(label) for row in rows for label in row)
        return {label: [row.get(label) for row in rows] for label in labels}
    return _of_rows(rows, names)


def _of_rows(rows: Sequence[Any], names: Sequence[str]) -> Mapping[str, Sequence[Any]] | None:
    if not rows or not all(isinstance(row, list) and len(cast("list[Any]", row)) == len(names) for row in rows):
        return None
    return {name: [row[place] for row in rows] for place, name in enumerate(names)}


def _of_tensors(tensors: Sequence[Any], names: Sequence[str]) -> Mapping[str, Sequence[Any]] | None:
    """Read the tensors of the Open Inference Protocol: one a column, or one of all rows."""
    match tensors:
        case [{"shape": [_, columns], "data": [*data]}] if columns == len(names) != 1:
            flat = [value for row in data for value in (cast("list[Any]", row) if isinstance(row, list) else [row])]
            rows = [flat[start : start + len(names)] for start in range(0, len(flat), len(names))]
            return _of_rows(rows, names)
        case _:
            pass
    found: dict[str, Any] = {}
    for tensor in tensors:
        match tensor:
            case {"name": str(name), "shape": [_] | [_, 1], "data": [*data]}:
                found[name] = [value[0] if isinstance(value, list) and value else value for value in data]
            case _:
                return None
    return _equally_long(found)


def _equally_long(columns: Mapping[str, Any]) -> Mapping[str, Sequence[Any]] | None:
    values = list(columns.values())
    if not values or not all(isinstance(column, list) for column in values) or len({len(column) for column in values}) > 1:
        return None
    return columns
