from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.conversion import convert, untyped
from serve_apps.model_server.inputs.values import TEXT_DTYPE, Mistyped, to_dtype

T = ColumnType


@pytest.mark.parametrize(
    ("wanted", "values", "expected", "dtype"),
    [
        (T.DOUBLE, [1, 2], [1.0, 2.0], "float64"),
        (T.DOUBLE, [1.5, None], [1.5, math.nan], "float64"),
        (T.DOUBLE, [True, 2], [1.0, 2.0], "float64"),
        (T.DOUBLE, [2**70, 1], [float(2**70), 1.0], "float64"),
        (T.DOUBLE, np.array([1, 2], dtype=np.int8), [1.0, 2.0], "float64"),
        (T.FLOAT, [0.1], [float(np.float32(0.1))], "float32"),
        (T.LONG, [1, 2], [1, 2], "int64"),
        (T.LONG, [1.0, 2.0], [1, 2], "int64"),
        (T.LONG, [2**62 + 1], [2**62 + 1], "int64"),
        (T.INTEGER, [True, 7], [1, 7], "int32"),
        (T.BOOLEAN, [True, False], [True, False], "bool"),
        (T.BOOLEAN, [1, 0.0], [True, False], "bool"),
        (T.BINARY, ["aGk="], [b"hi"], "object"),
        (T.NESTED, [[1, 2], {"a": 1}], [[1, 2], {"a": 1}], "object"),
    ],
)
def test_values_are_converted(wanted: ColumnType, values: Any, expected: list[Any], dtype: str) -> None:
    converted = convert(values, wanted)
    assert isinstance(converted, np.ndarray)
    assert converted.dtype == dtype
    np.testing.assert_array_equal(
        converted, np.array([*expected, None], dtype=object)[:-1] if dtype == "object" else np.array(expected)
    )


@pytest.mark.parametrize(
    ("wanted", "values", "said"),
    [
        (T.DOUBLE, [1.0, "1.5"], 'wants numbers; row 1 has "1.5"'),
        (T.DOUBLE, [[1.0], [2.0]], "wants numbers; row 0 has a list"),
        (T.DOUBLE, [{"a": 1}], "wants numbers; row 0 has an object"),
        (T.LONG, [1, 2.5], "wants integers; row 1 has 2.5"),
        (T.LONG, [1, None], "wants integers, which cannot be missing; row 1 has null"),
        (T.LONG, [1.0, math.nan], "wants integers, which cannot be missing; row 1 has nan"),
        (T.LONG, [math.inf], "wants integers; row 0 has inf"),
        (T.LONG, [2**63], f"wants integers from {-(2**63)} to {2**63 - 1}; row 0 has {2**63}"),
        (T.LONG, [2**70], f"wants integers from {-(2**63)} to {2**63 - 1}; row 0 has {2**70}"),
        (T.INTEGER, [0, 2**31], f"wants integers from {-(2**31)} to {2**31 - 1}; row 1 has {2**31}"),
        (T.BOOLEAN, [True, 2], "wants true or false; row 1 has 2"),
        (T.BOOLEAN, [None], "wants true or false; row 0 has null"),
        (T.STRING, ["a", 7], "wants text; row 1 has 7"),
        (T.STRING, ["a", True], "wants text; row 1 has true"),
        (T.STRING, np.array([b"\xff"], dtype=object), "wants UTF-8 text"),
        (T.BINARY, ["?"], 'wants base64; row 0 has "?"'),
        (T.DATETIME, ["2026-01-01", "soon"], 'row 1 has "soon"'),
        (T.DATETIME, [17], "row 0 has 17"),
    ],
)
def test_error_names_the_wrong_row(wanted: ColumnType, values: Any, said: str) -> None:
    with pytest.raises(Mistyped) as raised:
        convert(values, wanted)
    assert said in str(raised.value)


def test_times_with_an_offset_become_utc() -> None:
    converted = convert(["2026-01-31T12:00:00+02:00", "2026-01-31", None], T.DATETIME)
    expected = np.array(["2026-01-31T10:00:00", "2026-01-31", "NaT"], dtype="datetime64[ns]")
    np.testing.assert_array_equal(converted, expected)


@pytest.mark.parametrize("values", [["a", None], np.array([b"a", None], dtype=object)])
def test_text_has_the_dtype_of_pandas(values: Any) -> None:
    converted = convert(values, T.STRING)
    assert converted.dtype == TEXT_DTYPE
    assert converted[0] == "a"
    assert pd.isna(converted[1])


@pytest.mark.parametrize(("wanted", "dtype"), [(T.LONG, "Int64"), (T.INTEGER, "Int32"), (T.BOOLEAN, "boolean")])
def test_optional_column_may_have_gaps(wanted: ColumnType, dtype: str) -> None:
    converted = convert([1, None], wanted, is_optional=True)
    assert converted.dtype == dtype
    assert converted.isna().tolist() == [False, True]
    assert convert([1], wanted, is_optional=True)[0] == 1


@pytest.mark.parametrize(
    ("values", "dtype"),
    [
        ([1, 2.5], "float64"),
        ([1], "float64"),
        ([None], "float64"),
        ([2**60, 1], "object"),
        (["a"], TEXT_DTYPE),
        (["a", None], TEXT_DTYPE),
        ([True, False], "bool"),
        ([True, None], "object"),
        ([1, "a"], "object"),
        (np.array([1.5], dtype=np.float32), "float64"),
    ],
)
def test_column_of_unknown_type_is_kept(values: Any, dtype: str) -> None:
    column = untyped(values)
    assert column.dtype == dtype
    assert [pd.isna(value) for value in column] == [value is None for value in values]


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint64", "float16", "float32", "bool", "str", "object"])
def test_arrays_of_every_dtype_are_converted(dtype: str) -> None:
    values = ["a", "b"] if dtype in ("str", "object") else [0, 1]
    converted = to_dtype(values, np.dtype(dtype))
    assert converted.dtype.kind == np.dtype(dtype).kind
    assert converted.tolist() == values


def test_unsigned_array_takes_no_negative_values() -> None:
    with pytest.raises(Mistyped, match="integers from 0 to 255; row 1 has -1"):
        to_dtype([1, -1], np.dtype("uint8"))
