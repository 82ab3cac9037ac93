"""Reads the rows of an item in chunks of bounded size."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import IO, Any, Final, cast

import orjson
import pyarrow as pa
from pyarrow import csv as arrow
from pyarrow import parquet as pq

from raylift.domain.batches.batch import Format
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.places import Place, unreadable
from serve_apps.batch.plan import Item

_CHUNK_ROWS: Final = 1 << 16
_LEAST_ROWS: Final = 1 << 10
_CHUNK_BYTES: Final = 1 << 26
"""Limit of a chunk of a wide table."""
_BLOCK: Final = 1 << 23
_BUFFER: Final = 1 << 20
_INDEX: Final = "index_columns"

Columns = Callable[[Sequence[str]], Sequence[str]]
"""Chooses the columns to read from those of a file."""


@dataclass(frozen=True, slots=True)
class Chunk:
    """Rows of a file, in their order."""

    first_row: int
    """Number of its first row in the file, from 0."""
    count: int
    rows: pa.Table
    is_text: bool = False
    """True for fields of a CSV, which have no types yet."""
    values: Mapping[str, list[Any]] | None = None
    """Values of JSON as they are."""
    unreadable: dict[int, str] = field(default_factory=dict[int, str])
    """Errors of rows that are not even rows, by their place in the chunk."""
    bytes: int = 0
    """Bytes of the file that were read for it."""


def read(form: Format, place: Place, item: Item, columns: Columns) -> Iterator[Chunk]:
    """Yield the rows of an item.

    Raises:
        BatchFailed: The file cannot be read, or is of another format.
    """
    try:
        yield from _READERS[form](place, item, columns)
    except pa.ArrowInvalid as error:
        raise BatchFailed(f"{place.shown} cannot be read as {form}: {str(error).splitlines()[0]}") from error
    except OSError as error:
        raise unreadable(place.shown, error) from error


def _parquet(place: Place, item: Item, columns: Columns) -> Iterator[Chunk]:
    with place.files.open_input_file(place.path) as source:
        file = pq.ParquetFile(source, buffer_size=_BUFFER, pre_buffer=False)
        groups = range(item.first_group, item.end_group)
        wanted = list(columns(columns_of(file.schema_arrow)))
        # A dot in a name would mean a field of a structure.
        chosen = None if any("." in name for name in wanted) else wanted
        row = item.first_row
        at_once = _rows_at_once(file.metadata, groups)
        for batch in file.iter_batches(at_once, row_groups=groups, columns=chosen, use_threads=False):
            yield Chunk(row, batch.num_rows, pa.Table.from_batches([batch]).select(wanted))
            row += batch.num_rows


def columns_of(schema: pa.Schema) -> list[str]:
    """Return the columns of a file without the index that pandas stored."""
    pandas: Any = schema.pandas_metadata or {}
    index = {name for name in pandas.get(_INDEX, ()) if isinstance(name, str) and name.startswith("__index_level_")}
    return [name for name in schema.names if name not in index]


def _rows_at_once(metadata: pq.FileMetaData, groups: range) -> int:
    found = [metadata.row_group(index) for index in groups]
    bytes_of_row = max(group.total_byte_size // max(1, group.num_rows) for group in found) or 1
    return min(_CHUNK_ROWS, max(_LEAST_ROWS, _CHUNK_BYTES // bytes_of_row))


def _csv(place: Place, item: Item, columns: Columns) -> Iterator[Chunk]:
    with place.files.open_input_stream(place.path) as stream:
        source = _Watched(stream)
        header = _header(place)
        names = list(columns(header))
        reader = arrow.open_csv(
            source,
            read_options=arrow.ReadOptions(block_size=_BLOCK, use_threads=False),
            parse_options=arrow.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(header) > 1),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(header, pa.string()),
                include_columns=names,
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
        row, before = item.first_row, 0
        for batch in reader:
            for start in range(0, batch.num_rows, _CHUNK_ROWS):
                part = batch.slice(start, _CHUNK_ROWS)
                read_now = source.read_bytes - before
                yield Chunk(row, part.num_rows, pa.Table.from_batches([part]), is_text=True, bytes=read_now)
                row, before = row + part.num_rows, source.read_bytes
        if source.quotes % 2:
            raise BatchFailed(f"{place.shown} opens a quotation mark that it does not close.")


def _header(place: Place) -> list[str]:
    import csv

    with place.files.open_input_stream(place.path) as stream:
        lines = io.TextIOWrapper(cast("IO[bytes]", stream), encoding="utf-8-sig", newline="")
        try:
            header = next(csv.reader(lines), [])
        except (csv.Error, UnicodeDecodeError) as error:
            raise BatchFailed(f"The header of {place.shown} cannot be read: {error}") from error
    if not any(header):
        raise BatchFailed(f"{place.shown} has no header: its first line names the columns.")
    if repeated := next((name for name in header if header.count(name) > 1), None):
        raise BatchFailed(f"{place.shown} has the column {repeated!r} twice: rename one of them.")
    if len(header) == 1 and (other := next((mark for mark in ";\t|" if mark in header[0]), None)):
        raise BatchFailed(f"The columns of {place.shown} seem to be separated by {other!r}: separate them by commas.")
    return header


class _Watched(io.RawIOBase):
    """A stream that counts its bytes and quotation marks."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self.read_bytes = 0
        self.quotes = 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size)
        self.read_bytes += len(data)
        self.quotes += data.count(b'"')
        return data


def _jsonl(place: Place, item: Item, columns: Columns) -> Iterator[Chunk]:
    with place.files.open_input_stream(place.path) as stream:
        lines = io.BufferedReader(cast("Any", _Readable(stream)), _BLOCK)
        row = item.first_row
        while block := [line for line in islice(lines, _CHUNK_ROWS) if line.strip()]:
            records, wrong = _records(block)
            names = list(columns(list(dict.fromkeys(name for record in records for name in record))))
            values = {name: [record.get(name) for record in records] for name in names}
            table = pa.table({name: _column(listed) for name, listed in values.items()})
            yield Chunk(row, len(block), table, values=values, unreadable=wrong, bytes=sum(map(len, block)))
            row += len(block)


class _Readable(io.RawIOBase):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)


def _records(lines: Sequence[bytes]) -> tuple[list[dict[str, Any]], dict[int, str]]:
    records: list[dict[str, Any]] = []
    wrong: dict[int, str] = {}
    for place, line in enumerate(lines):
        try:
            record: Any = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            record, wrong[place] = {}, f"is not JSON: {error}"
        if not isinstance(record, dict):
            record, wrong[place] = {}, "is not a JSON object"
        records.append(record)
    return records, wrong


def _column(values: list[Any]) -> pa.Array:
    """Return JSON's values as a column. Values that Arrow does not hold together stay JSON text."""
    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if value is None else orjson.dumps(value).decode() for value in values])


_READERS: Final = {Format.PARQUET: _parquet, Format.CSV: _csv, Format.JSONL: _jsonl}
