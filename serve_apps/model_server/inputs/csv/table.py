"""Reads CSV (RFC 4180, UTF-8) as text; from_text.py converts the fields.

An empty field without quotes is missing; one in quotes is an empty text.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import pyarrow as pa
from pyarrow import csv as arrow

from serve_apps.model_server.errors import MalformedBody

_OTHER_SEPARATORS: Final = (";", "\t", "|")
_LAST: Final = "last"
"""Fields of a row appended to the table: an unclosed quotation mark would swallow it."""
_WRONG_COUNT: Final = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")

Fields = Sequence[str | None]
"""The fields of a column; None for an empty one."""


@dataclass(frozen=True, slots=True)
class CsvTable:
    """A table of text."""

    header: Sequence[str]
    columns: Sequence[Fields]
    """In the order of ``header``, of one length."""


def read_csv_table(body: bytes) -> CsvTable:
    """Read a table with a header.

    Raises:
        MalformedBody: It is not a table; the message names the wrong line.
    """
    text = _decoded(body).rstrip("\r\n")
    header = _header(text)
    _refuse_other_separators(header)
    names = [f"f{index}" for index in range(len(header))]
    try:
        table = arrow.read_csv(
            io.BytesIO(f"{text}\n{','.join(_LAST for _ in header)}\n".encode()),
            read_options=arrow.ReadOptions(
                autogenerate_column_names=True, use_threads=False, block_size=len(body) + 64 * len(header)
            ),
            # A blank line is a row only in a table of one column.
            parse_options=arrow.ParseOptions(newlines_in_values=True, ignore_empty_lines=len(header) > 1),
            convert_options=arrow.ConvertOptions(
                column_types=dict.fromkeys(names, pa.string()),
                null_values=[""],
                strings_can_be_null=True,
                quoted_strings_can_be_null=False,
            ),
        )
    except pa.ArrowInvalid as error:
        raise MalformedBody(_describe(str(error))) from None
    columns: list[list[str | None]] = [column.to_pylist() for column in table.columns]
    if any(fields[-1] != _LAST for fields in columns):
        raise MalformedBody("The CSV opens a quotation mark that it does not close.")
    if table.num_rows < 3:
        raise MalformedBody("The CSV has no rows: write a header and at least one row.")
    return CsvTable(header, [fields[1:-1] for fields in columns])


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise MalformedBody(f"The CSV is not UTF-8 text: line {line} has the byte 0x{body[error.start]:02x}.") from None


def _header(text: str) -> list[str]:
    try:
        header = next(csv.reader(io.StringIO(text, newline="")), [])
    except csv.Error as error:
        raise MalformedBody(f"The header of the CSV cannot be read: {error}.") from None
    if not any(header):
        raise MalformedBody("The CSV has no header: its first line names the columns.")
    return header


def _refuse_other_separators(header: Sequence[str]) -> None:
    other = next((separator for separator in _OTHER_SEPARATORS if separator in header[0]), None)
    if len(header) == 1 and other is not None:
        raise MalformedBody(f"The columns of the CSV seem to be separated by {other!r}: separate them by commas.")


def _describe(error: str) -> str:
    """Arrow's error as a sentence for clients."""
    found = _WRONG_COUNT.search(error)
    if found is None:
        return f"The CSV cannot be read: {error.partition(': ')[2] or error}"
    line, wanted, got = found.groups()
    return f"Line {line} of the CSV has {got} {'field' if got == '1' else 'fields'}, the header has {wanted}."
