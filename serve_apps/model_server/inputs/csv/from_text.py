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
from serve_apps.model_server.inputs.column_type import ColumnType
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
    types = _types(table.header, schema)
    typed = [_READERS[kind](fields) for kind, fields in zip(types, table.columns, strict=True)]
    return Columns(dict(zip(table.header, typed, strict=True)))


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
    twice = sorted({name for name in header if header.count(name) > 1})
    if twice:
        errors = [FieldError(f"inputs.{name}", "is there twice") for name in twice]
        raise WrongInputs(f"The CSV has the column {twice[0]} twice.", errors)


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


def _texts(fields: Fields) -> list[Any]:
    return list(fields)


def _numbers(fields: Fields) -> list[Any]:
    return [_number(field) for field in fields]


def _number(field: str | None) -> Any:
    if field is None:
        return None
    stripped = field.strip()
    if _WHOLE.fullmatch(stripped):
        return int(stripped)
    if _NUMBER.fullmatch(stripped):
        return float(stripped)
    return None if stripped.lower() in _MISSING else field


def _booleans(fields: Fields) -> list[Any]:
    return [_boolean(field) for field in fields]


def _boolean(field: str | None) -> Any:
    if field is None:
        return None
    word = field.strip().lower()
    if word in _MISSING:
        return None
    return _BOOLEANS.get(word, _DIGITS.get(word, field))


def _times(fields: Fields) -> list[Any]:
    return [None if field is None or field.strip().lower() in _MISSING else field.strip() for field in fields]


def _nested(fields: Fields) -> list[Any]:
    return [_parsed(field) for field in fields]


def _parsed(field: str | None) -> Any:
    """The list or object that a field holds as JSON; other text unchanged."""
    if field is None or field.lstrip()[:1] not in ("[", "{"):
        return field
    try:
        return json.loads(field)
    except ValueError:
        return field


def _infer(fields: Fields) -> list[Any]:
    """The values of a column of unknown type."""
    given = [field.strip() for field in fields if field is not None]
    words = [field for field in given if field.lower() not in _MISSING]
    if words and all(_NUMBER.fullmatch(field) and not _LEADING_ZERO.fullmatch(field) for field in words):
        return _numbers(fields)
    if words and len(words) == len(given) and all(field.lower() in _BOOLEANS for field in words):
        return _booleans(fields)
    return _texts(fields)


_READERS: Final[Mapping[ColumnType | None, Callable[[Fields], list[Any]]]] = {
    None: _infer,
    ColumnType.BOOLEAN: _booleans,
    ColumnType.INTEGER: _numbers,
    ColumnType.LONG: _numbers,
    ColumnType.FLOAT: _numbers,
    ColumnType.DOUBLE: _numbers,
    ColumnType.STRING: _texts,
    ColumnType.BINARY: _texts,
    ColumnType.DATETIME: _times,
    ColumnType.NESTED: _nested,
}
