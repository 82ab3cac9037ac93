"""CSV is read as text and converted by the model's columns. A value that does not fit is refused with column and row."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from raylift.domain.errors import PlatformError
from serve_apps.model_server.errors import MalformedBody, WrongInputs
from serve_apps.model_server.inputs.array import PlainArray
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.csv.from_text import columns_from_csv
from serve_apps.model_server.inputs.dataframe import NamedColumns, PlainColumns
from serve_apps.model_server.inputs.signature import Column

_NUMBERS = PlainArray(np.dtype(np.float64), (-1, 2))


def _typed(kind: ColumnType | None, *fields: str) -> list[Any]:
    """The values of a column from fields, written as they are next to another column."""
    schema = NamedColumns((Column("a", kind), Column("row", ColumnType.STRING)))
    body = "a,row\n" + "".join(f"{field},x\n" for field in fields)
    return list(columns_from_csv(body.encode(), schema).values["a"])


@pytest.mark.parametrize("field", ["01234", "1e3", "1e5", "nan", "NA", "None", "True", "null", " 7 ", "-0", "2026-01-31"])
def test_text_column_keeps_text_unchanged(field: str) -> None:
    assert _typed(ColumnType.STRING, field) == [field]


def test_empty_field_is_missing_and_quoted_one_is_empty_text() -> None:
    assert _typed(ColumnType.STRING, "", '""', '"a, ""b"""', '"two\nlines"') == [None, "", 'a, "b"', "two\nlines"]


@pytest.mark.parametrize("kind", [ColumnType.DOUBLE, ColumnType.FLOAT, ColumnType.LONG, ColumnType.INTEGER])
def test_numbers_are_read_in_all_spellings(kind: ColumnType) -> None:
    assert _typed(kind, "7", "-1", "+2", "1e3", "2.0", " 5", "007", ".5") == [7, -1, 2, 1000.0, 2.0, 5, 7, 0.5]
    assert _typed(kind, "nan", "NaN", "NA", "null", "", '""') == [None] * 6
    assert _typed(kind, "9007199254740993") == [9007199254740993]
    assert _typed(kind, "-inf") == [-math.inf]
    # Not a number: the schema refuses it.
    assert _typed(kind, "1_000", "0x1", "True", "1,5".replace(",", ";")) == ["1_000", "0x1", "True", "1;5"]
    assert _typed(kind, "9" * 5000) == [math.inf]


def test_unambiguous_booleans_are_read() -> None:
    fields = ("True", "true", "TRUE", "1", "1.0", "False", "false", "FALSE", "0", "0.0")
    assert _typed(ColumnType.BOOLEAN, *fields) == [True] * 5 + [False] * 5
    assert _typed(ColumnType.BOOLEAN, "yes", "T", "2", "") == ["yes", "T", "2", None]


def test_times_and_lists_are_read() -> None:
    assert _typed(ColumnType.DATETIME, "2024-03-04", "2024-03-04 12:00:00", "", "NaT") == [
        "2024-03-04",
        "2024-03-04 12:00:00",
        None,
        None,
    ]
    assert _typed(ColumnType.NESTED, '"[1, 2]"', "text") == [[1, 2], "text"]


def test_column_of_unknown_type_is_converted_only_as_a_whole() -> None:
    assert _typed(None, "1", "2.5", "") == [1, 2.5, None]
    assert _typed(None, "1", "x") == ["1", "x"]
    assert _typed(None, "01234", "90210") == ["01234", "90210"]
    assert _typed(None, "True", "false") == [True, False]
    assert _typed(None, "True", "1") == ["True", "1"]
    assert _typed(None, "NA", "NO") == ["NA", "NO"]


def test_byte_order_mark_line_ends_and_blank_lines_are_ignored() -> None:
    schema = NamedColumns((Column("a", ColumnType.STRING), Column("b", ColumnType.LONG)))
    body = b"\xef\xbb\xbfb,a\r\n1,x\r\n\r\n2,\r\n\r\n"
    assert columns_from_csv(body, schema).values == {"b": [1, 2], "a": ["x", None]}


def test_blank_line_is_a_row_of_a_single_column() -> None:
    schema = NamedColumns((Column("a", ColumnType.STRING),))
    assert columns_from_csv(b'a\nx\n\ny\n""\n\n', schema).values == {"a": ["x", None, "y", ""]}


def test_index_column_of_pandas_is_ignored() -> None:
    assert columns_from_csv(b",a,b\n0,1,2\n1,3,4\n", _NUMBERS).values == {"a": [1, 3], "b": [2, 4]}
    schema = NamedColumns((Column("", ColumnType.LONG), Column("a", ColumnType.LONG)))
    assert columns_from_csv(b",a\n7,1\n", schema).values == {"": [7], "a": [1]}


def test_numbered_columns_are_read() -> None:
    assert columns_from_csv(b"0,1\n5,6\n", _NUMBERS).values == {"0": [5], "1": [6]}
    schema = NamedColumns((Column("2019", ColumnType.STRING), Column("2020", ColumnType.LONG)))
    assert columns_from_csv(b"2019,2020\n05,6\n", schema).values == {"2019": ["05"], "2020": [6]}


def test_unnamed_columns_are_typed_by_position() -> None:
    schema = PlainColumns((Column(None, ColumnType.STRING), Column(None, ColumnType.LONG)))
    assert schema.batch(columns_from_csv(b"a,b\n05,6\n", schema)).to_numpy().tolist() == [["05", 6]]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "no header"),
        (b"a,b\n", "no rows"),
        (b"a\n", "no rows"),
        (b"a,b\n1,2\n3\n", "Line 3 of the CSV has 1 field, the header has 2"),
        (b'a,b\n1,"2\n3,4\n', "does not close"),
        (b'a\n1\n"2\n3\n', "does not close"),
        (b"a;b\n1;2\n", "separated by ';'"),
        (b"a,b\n1,2\n3,\xe9\n", "not UTF-8 text: line 3 has the byte 0xe9"),
        (b"5.1,3.5\n1,2\n", "holds only numbers"),
        (b"a,,b\n1,2,3\n", "Column 2 of the CSV has no name"),
    ],
)
def test_malformed_csv_is_refused(body: bytes, said: str) -> None:
    with pytest.raises(MalformedBody) as caught:
        columns_from_csv(body, _NUMBERS)
    assert said in caught.value.detail


def test_duplicate_column_is_refused() -> None:
    with pytest.raises(WrongInputs, match="a twice"):
        columns_from_csv(b"a,a\n1,2\n", _NUMBERS)


@pytest.mark.parametrize(
    ("kind", "field", "said"),
    [
        (ColumnType.DOUBLE, "much", 'a wants numbers; row 1 has "much"'),
        (ColumnType.LONG, "1.5", "a wants integers; row 1 has 1.5"),
        (ColumnType.LONG, "", "a wants integers, which cannot be missing; row 1 has null"),
        (ColumnType.BOOLEAN, "yes", 'a wants true or false; row 1 has "yes"'),
        (ColumnType.DATETIME, "4.3.2024", 'row 1 has "4.3.2024"'),
    ],
)
def test_value_that_does_not_fit_is_named(kind: ColumnType, field: str, said: str) -> None:
    fine = {ColumnType.DATETIME: "2024-03-04"}.get(kind, "1")
    schema = NamedColumns((Column("a", kind), Column("b", ColumnType.STRING)))
    with pytest.raises(PlatformError) as caught:
        schema.batch(columns_from_csv(f"b,a\nx,{fine}\nx,{field}\n".encode(), schema))
    assert said in caught.value.detail
