"""Converts the text of a CSV to the values that JSON would have, by the types of the model's columns.

A field that does not fit its column stays text: the schema refuses it with column, row and value. A column of unknown type is
one of numbers or booleans if every field is one, else of text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import MalformedBody, WrongInputs
from serve_apps.model_server.inputs.column_type import NUMBERS, ColumnType
from serve_apps.model_server.inputs.csv.table import CsvTable, Fields, read_csv_table
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.tabular import Columns

_MISSING: Final = frozenset({"", "nan", "na", "n/a", "<na>", "null", "none", "nat"})
"""Words for a missing value in columns of numbers, times or booleans, in lower case."""
_WHOLE: Final = re.compile(r"[+-]?[0-9]{1,40}")
"""Longer ones become floating point: no model has such integers."""
_NUMBER: Final = re.compile(r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?|[+-]?(inf|infinity)", re.IGNORECASE)
_LEADING_ZERO: Final = re.compile(r"[+-]?0[0-9]+")
"""Postal codes have them; a number written by a program never does."""
_BOOLEANS: Final[Mapping[str, bool]] = {"true": True, "false": False}
_DIGITS: Final[Mapping[str, bool]] = {"1": True, "0": False, "1.0": True, "0.0": False}


def columns_from_csv(body: bytes, schema: Schema) -> Columns:
    """The columns of a CSV with a header, typed by the schema.

    Raises:
        MalformedBody: It is not a CSV.
        WrongInputs: It has a column twice.
    """
    table = _without_index(read_csv_table(body), schema)
    _refuse_repeated(table.header)
    return Columns(typed_columns(table.header, table.columns, schema))


def typed_columns(header: Sequence[str], columns: Sequence[Fields], schema: Schema) -> dict[str, list[Any]]:
    """Return the columns of a CSV with the values that JSON would have, by the schema."""
    types = _types(header, schema)
    return {name: _converted(fields, kind) for name, kind, fields in zip(header, types, columns, strict=True)}


def _without_index(table: CsvTable, schema: Schema) -> CsvTable:
    """The table without the index that pandas writes first, under an empty name."""
    has_nameless = "" in {column.name for column in schema.columns}
    if table.header[0] == "" and len(table.header) > 1 and not has_nameless:
        table = CsvTable(table.header[1:], table.columns[1:])
    if "" in table.header and not has_nameless:
        raise MalformedBody(f"Column {table.header.index('') + 1} of the CSV has no name in the header.")
    _refuse_numbers(table.header, schema)
    return table


def _refuse_numbers(header: Sequence[str], schema: Schema) -> None:
    """Refuse a header of numbers: it is a row, and the result would silently lack it."""
    labels = {column.name for column in schema.columns} | {str(index) for index in range(len(header))}
    if all(_NUMBER.fullmatch(name) for name in header) and not labels.issuperset(header):
        raise MalformedBody("The first line of the CSV holds only numbers: put a header with the columns' names before it.")


def _refuse_repeated(header: Sequence[str]) -> None:
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        errors = [FieldError(f"inputs.{name}", "is given twice") for name in repeated]
        raise WrongInputs(f"The CSV has the column {repeated[0]} twice.", errors)


def _types(header: Sequence[str], schema: Schema) -> list[ColumnType | None]:
    columns = schema.columns
    if columns and all(column.name is None for column in columns):
        return [columns[index].type if index < len(columns) else None for index in range(len(header))]
    spelling: Callable[[str], str] = getattr(schema, "spelling", str)
    named: dict[str | None, ColumnType | None] = {tensor.name: _of_dtype(tensor.dtype) for tensor in schema.tensors}
    named |= {column.name: column.type for column in columns}
    # A tensor without a name means all columns.
    return [named.get(name, named.get(spelling(name), named.get(None))) for name in header]


def _of_dtype(name: str) -> ColumnType | None:
    return _OF_KIND.get(np.dtype(name).kind)


_OF_KIND: Final[Mapping[str, ColumnType]] = {
    "f": ColumnType.DOUBLE,
    "i": ColumnType.LONG,
    "u": ColumnType.LONG,
    "b": ColumnType.BOOLEAN,
    "U": ColumnType.STRING,
    "S": ColumnType.STRING,
    "M": ColumnType.DATETIME,
}


def _converted(fields: Fields, kind: ColumnType | None) -> list[Any]:
    read = _READERS[_inferred(fields) if kind is None else kind]
    return [read(field) for field in fields]


def _inferred(fields: Fields) -> ColumnType:
    """Type of a column that has none in the schema."""
    given = [field.strip() for field in fields if field is not None]
    words = [field for field in given if field.lower() not in _MISSING]
    if words and all(_NUMBER.fullmatch(field) and not _LEADING_ZERO.fullmatch(field) for field in words):
        return ColumnType.DOUBLE
    if words and len(words) == len(given) and all(field.lower() in _BOOLEANS for field in words):
        return ColumnType.BOOLEAN
    return ColumnType.STRING


def _text(field: str | None) -> str | None:
    return field


def _number(field: str | None) -> Any:
    if field is None:
        return None
    stripped = field.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    return None if stripped.lower() in _MISSING else field


def _boolean(field: str | None) -> Any:
    if field is None:
        return None
    word = field.strip().lower()
    if word in _MISSING:
        return None
    return _BOOLEANS.get(word, _DIGITS.get(word, field))


def _time(field: str | None) -> str | None:
    return None if field is None or field.strip().lower() in _MISSING else field.strip()


def _parsed(field: str | None) -> Any:
    """The list or object that a field holds as JSON; other text unchanged."""
    if field is None or field.lstrip()[:1] not in ("[", "{"):
        return field
    try:
        return json.loads(field)
    except ValueError:
        return field


_READERS: Final[Mapping[str, Callable[[str | None], Any]]] = {
    **dict.fromkeys(NUMBERS, _number),
    ColumnType.BOOLEAN: _boolean,
    ColumnType.STRING: _text,
    ColumnType.BINARY: _text,
    ColumnType.DATETIME: _time,
    ColumnType.NESTED: _parsed,
}
