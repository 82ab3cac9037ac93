"""Writes tables to a file of any format. Columns may come and go, and types may grow, from one table to the next."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Protocol

import orjson
import pyarrow as pa
from pyarrow import csv as arrow
from pyarrow import parquet as pq

from raylift.domain.batches.batch import Format
from serve_apps.batch.errors import BatchFailed
from serve_apps.model_server.outputs.values import json_value

_NESTED: Final = (
    pa.types.is_list,
    pa.types.is_large_list,
    pa.types.is_fixed_size_list,
    pa.types.is_struct,
    pa.types.is_map,
)
_WITHOUT_HEADER: Final = arrow.WriteOptions(include_header=False)


class TableWriter(Protocol):
    def write(self, table: pa.Table) -> None: ...

    def close(self) -> None: ...


def table_writer(path: Path, form: Format) -> TableWriter:
    """Return a writer to a file of this machine."""
    match form:
        case Format.PARQUET:
            return _ParquetTables(path)
        case Format.CSV:
            return _CsvTables(path)
        case Format.JSONL:
            return _JsonLines(path)


class _ParquetTables:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._schema: pa.Schema | None = None
        self._writer: pq.ParquetWriter | None = None

    def write(self, table: pa.Table) -> None:
        schema = table.schema.remove_metadata() if self._schema is None else unified(self._schema, table.schema)
        if self._writer is None or schema != self._schema:
            self._begin(schema)
        assert self._writer is not None  # noqa: S101 - begun
        self._writer.write_table(fitted(table, schema))

    def close(self) -> None:
        if self._writer is None:
            self._begin(self._schema or pa.schema([]))
        assert self._writer is not None  # noqa: S101 - begun
        self._writer.close()

    def _begin(self, schema: pa.Schema) -> None:
        """Begin the file, or begin it again with a wider schema."""
        written, self._schema = self._writer, schema
        if written is None:
            self._writer = pq.ParquetWriter(self._path, schema)
            return
        written.close()
        earlier = self._path.replace(self._path.with_name(f"{self._path.name}.earlier"))
        self._writer = pq.ParquetWriter(self._path, schema)
        for batch in pq.ParquetFile(earlier).iter_batches():
            self._writer.write_table(fitted(pa.Table.from_batches([batch]), schema))
        earlier.unlink()


class _CsvTables:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._header: list[str] | None = None

    def write(self, table: pa.Table) -> None:
        if self._header is None:
            self._header = table.schema.names
            arrow.write_csv(_flat(table), self._file)
            return
        if table.schema.names != self._header:
            raise BatchFailed(
                "The rows have other columns than those before, which a CSV cannot hold: write Parquet or JSON lines."
            )
        arrow.write_csv(_flat(table), self._file, _WITHOUT_HEADER)

    def close(self) -> None:
        self._file.close()


class _JsonLines:
    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")

    def write(self, table: pa.Table) -> None:
        self._file.write(b"".join(json_line(row) for row in table.to_pylist(maps_as_pydicts="strict")))

    def close(self) -> None:
        self._file.close()


def unified(one: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return the schema that holds the values of both.

    Raises:
        BatchFailed: A column has types that do not go together.
    """
    try:
        return pa.unify_schemas([one, other.remove_metadata()], promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        raise BatchFailed(
            f"A column has values of several types, which one Parquet file cannot hold: {str(error).splitlines()[0]} "
            "Write JSON lines, or leave the column out (--keep)."
        ) from error


def fitted(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the table with the columns and types of a schema."""
    if table.schema.equals(schema):
        return table
    names = set(table.schema.names)
    columns = [
        table[field.name].cast(field.type) if field.name in names else pa.nulls(table.num_rows, field.type) for field in schema
    ]
    return pa.table(columns, schema=schema)


def _flat(table: pa.Table) -> pa.Table:
    """Return the table with JSON text for lists and structures, which a CSV does not have."""
    return pa.table(
        {
            name: _text(each) if _is_nested(each.type) else each
            for name, each in zip(table.schema.names, table.columns, strict=True)
        }
    )


def _text(nested: pa.ChunkedArray) -> pa.Array:
    values = nested.to_pylist(maps_as_pydicts="strict")
    return pa.array([None if value is None else _json(value).decode() for value in values], pa.string())


def _is_nested(kind: pa.DataType) -> bool:
    return any(is_kind(kind) for is_kind in _NESTED)


def json_line(row: Mapping[str, Any]) -> bytes:
    return _json(row) + b"\n"


def _json(value: Any) -> bytes:
    return orjson.dumps(value, default=json_value, option=orjson.OPT_NON_STR_KEYS)
