"""Tensors for a Python function with a type hint: it takes lists of Python values, as JSON has them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.signature import Column, Signature

_RECORDS = ("object", "map")


def columns_of(signature: Signature) -> Iterator[Column]:
    """Tensors of a request: one, or one for each field of a record."""
    for column in signature.columns:
        nested = column.nested or {}
        for name, field in nested.get("properties", {}).items():
            yield Column(name, ColumnType.of(field["type"]), field.get("required", True))
        if nested.get("type") not in _RECORDS:
            yield Column(column.name or "input", column.type)


def types_of(names: Sequence[str], signature: Signature) -> dict[str | None, ColumnType | None]:
    """Type of each tensor by its name. A single tensor may have any name."""
    columns = list(columns_of(signature))
    if len(columns) == 1 and not _is_of_records(signature):
        return dict.fromkeys(names, columns[0].type)
    return {column.name: column.type for column in columns}


def values_of(arrays: Mapping[str, NDArray[Any]], signature: Signature) -> list[Any]:
    """A value for each row; a record if the hint is of dictionaries or classes.

    Raises:
        WrongInputs: There are several tensors and the function takes no records, or their lengths differ.
    """
    columns = {name: array.tolist() if array.ndim else [array.item()] for name, array in arrays.items()}
    if not _is_of_records(signature):
        if len(columns) != 1:
            detail = f"wants one tensor, got {len(columns)}"
            raise WrongInputs(f"The model {detail}.", [FieldError("inputs", detail)])
        (values,) = columns.values()
        is_list = any(column.is_array for column in signature.columns)
        return values if is_list else _flat(values)
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        errors = [FieldError(f"inputs.{name}", f"{length} rows") for name, length in lengths.items()]
        raise WrongInputs("The tensors are of unequal lengths.", errors)
    kinds = {column.name: column.type for column in columns_of(signature)}
    columns = {name: values if kinds.get(name) is ColumnType.NESTED else _flat(values) for name, values in columns.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _is_of_records(signature: Signature) -> bool:
    return any((column.nested or {}).get("type") in _RECORDS for column in signature.columns)


def _flat(values: list[Any]) -> list[Any]:
    """Values of the shape [n, 1] as [n]."""
    is_column = all(isinstance(value, list) and len(value) == 1 for value in values)
    return [value[0] for value in values] if is_column else values
