"""Columns of a request in the dtypes of the training table."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serve_apps.model_server.inputs.column_values.trained import as_trained
from serve_apps.model_server.inputs.training_table import TrainedColumn, parse_training_table
from serve_apps.model_server.inputs.values import Mistyped

_CITIES = TrainedColumn("city", "category", categories=pd.Index(["oslo", "rome"]))
_GRADES = TrainedColumn("grade", "category", categories=pd.Index([10, 20]), ordered=True)
_MIXED = TrainedColumn("x", "object", "nan", "mixed")


@pytest.mark.parametrize(
    ("column", "values", "expected"),
    [
        (TrainedColumn("x", "int8"), [1, 2.0, True], pd.Series([1, 2, 1], dtype="int8")),
        (TrainedColumn("x", "float32"), [0.1, None], pd.Series([0.1, None], dtype="float32")),
        (TrainedColumn("x", "float64"), [1, None], pd.Series([1.0, None])),
        (TrainedColumn("x", "bool"), [True, 0], pd.Series([True, False])),
        (TrainedColumn("x", "Int64"), [2**62 + 1, None], pd.Series([2**62 + 1, None], dtype="Int64")),
        (TrainedColumn("x", "boolean"), [None, True], pd.Series([None, True], dtype="boolean")),
        (TrainedColumn("x", "Float32"), [None, 0.5], pd.Series([None, 0.5], dtype="Float32")),
        (TrainedColumn("x", "str"), ["a", None], pd.Series(["a", None], dtype="str")),
        (TrainedColumn("x", "string"), [b"a", None], pd.Series(["a", None], dtype="string")),
        (TrainedColumn("x", "object", "None", "string"), ["a", None], pd.Series(["a", None], dtype=object)),
        (TrainedColumn("x", "object", "nan", "string"), ["a", None], pd.Series(["a", np.nan], dtype=object)),
        (TrainedColumn("x", "object", "NA", "boolean"), [1, None], pd.Series([True, pd.NA], dtype=object)),
        (TrainedColumn("x", "object", None, "integer"), [1.0], pd.Series([1], dtype=object)),
        (TrainedColumn("x", "object", None, "date"), ["2026-01-31"], pd.Series([datetime.date(2026, 1, 31)], dtype=object)),
        (TrainedColumn("x", "object", None, "decimal"), ["1.10", 2], pd.Series([Decimal("1.10"), Decimal(2)], dtype=object)),
        (_MIXED, [1, "a", None], pd.Series([1, "a", np.nan], dtype=object)),
        (_CITIES, ["rome", None], pd.Series(pd.Categorical(["rome", None], ["oslo", "rome"]))),
        (_GRADES, [20.0, None], pd.Series(pd.Categorical([20, None], [10, 20], ordered=True))),
        (_CITIES, ["bern", "oslo"], pd.Series(pd.Categorical(["bern", "oslo"], ["oslo", "rome", "bern"]))),
        (TrainedColumn("x", "datetime64[us]"), ["9999-12-31", None], pd.Series(["9999-12-31", None], dtype="datetime64[us]")),
        (TrainedColumn("x", "datetime64[s]"), ["2026-01-31T10:00Z"], pd.Series(["2026-01-31T10:00"], dtype="datetime64[s]")),
        (
            TrainedColumn("x", "datetime64[us, Europe/Oslo]"),
            ["2026-07-01T12:00:00+02:00", "2026-07-01T10:00:00Z"],
            pd.Series(["2026-07-01T12:00"] * 2, dtype="datetime64[us]").dt.tz_localize("Europe/Oslo"),
        ),
        (
            TrainedColumn("x", "datetime64[ns, UTC]"),
            ["2026-07-01T12:00:00"],
            pd.Series(["2026-07-01T12:00"], dtype="datetime64[ns]").dt.tz_localize("UTC"),
        ),
        (TrainedColumn("x", "timedelta64[s]"), ["0 days 00:01:30", None], pd.Series([90, None], dtype="timedelta64[s]")),
        (TrainedColumn("x", "period[M]"), ["2026-01", None], pd.Series(pd.PeriodIndex(["2026-01", None], freq="M"))),
        (TrainedColumn("x", "Sparse[float64, 0]"), [0.0, 2.0], pd.Series([0.0, 2.0], dtype=pd.SparseDtype("float64", 0.0))),
    ],
    ids=lambda value: value.dtype if isinstance(value, TrainedColumn) else "",
)
def test_column_equals_a_slice_of_the_training_table(column: TrainedColumn, values: Any, expected: pd.Series) -> None:
    built = as_trained(values, column)
    series = pd.Series(built, dtype=object) if built.dtype == object else pd.Series(built)
    pd.testing.assert_series_equal(series, expected)
    assert [str(value) for value in series] == [str(value) for value in expected]


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        (TrainedColumn("x", "int64"), [1, None], "wants integers, which cannot be missing; row 1 has null"),
        (TrainedColumn("x", "int8"), [1, 128], "wants integers from -128 to 127; row 1 has 128"),
        (TrainedColumn("x", "float32"), [1.0, 1e39], r"wants numbers that fit into float32; row 1 has 1e\+39"),
        (TrainedColumn("x", "float64"), [10**400], "wants numbers that fit into float64; row 0 has 1000"),
        (TrainedColumn("x", "Int64"), [None, 1.5], "wants integers; row 1 has 1.5"),
        (TrainedColumn("x", "object", None, "integer"), [1, 1.5], "wants integers; row 1 has 1.5"),
        (TrainedColumn("x", "object", None, "string"), ["a", 1], "wants text; row 1 has 1"),
        (_GRADES, ["10"], 'wants integers; row 0 has "10"'),
        (TrainedColumn("x", "category"), ["a"], "categories of a kind that no request can hold"),
        (TrainedColumn("x", "datetime64[ns]"), ["2026-01-01", "9999-12-31"], 'years 1677 to 2262.*row 1 has "9999-12-31"'),
        (TrainedColumn("x", "datetime64[s]"), ["2026-01-01T00:00:00.5"], "times to the second and no finer; row 0"),
        (TrainedColumn("x", "datetime64[us]"), ["2026-01-01", "soon"], 'ISO 8601 text.*row 1 has "soon"'),
        (TrainedColumn("x", "datetime64[us]"), [17], "ISO 8601 text.*row 0 has 17"),
        (TrainedColumn("x", "datetime64[us, Europe/Oslo]"), ["2026-07-01T12:00:00"], "with their offset from UTC.*row 0"),
        (TrainedColumn("x", "timedelta64[s]"), ["0 days", 90], "durations as text.*row 1 has 90"),
        (TrainedColumn("x", "period[M]"), ["2026-01", "soon"], 'row 1 has "soon"'),
    ],
)
def test_value_that_the_dtype_cannot_hold_is_refused(column: TrainedColumn, values: Any, said: str) -> None:
    with pytest.raises(Mistyped, match=said):
        as_trained(values, column)


def test_unseen_category_is_refused_on_demand() -> None:
    with pytest.raises(Mistyped, match='wants one of the categories "oslo", "rome"; row 1 has "bern"'):
        as_trained(["oslo", "bern"], _CITIES, refuses_unseen=True)


def test_distant_and_precise_times_may_be_mixed() -> None:
    times = as_trained(["9999-12-31", "2026-01-01T00:00:00.000001000"], TrainedColumn("x", "datetime64[us]"))
    assert [str(time) for time in times] == ["9999-12-31T00:00:00.000000", "2026-01-01T00:00:00.000001"]


def test_categories_of_intervals_are_named_by_their_text() -> None:
    record = {
        "name": "age",
        "dtype": "category",
        "categories": [[0, 18], [18, 99]],
        "categories_dtype": "interval[int64, right]",
        "ordered": True,
    }
    (column,) = parse_training_table({"source": "training", "columns": [record]}).columns
    built = as_trained(["(18, 99]", None], column)
    assert built.categories.dtype == "interval[int64, right]"
    assert built.codes.tolist() == [1, -1]
    with pytest.raises(Mistyped, match="row 0 has"):
        as_trained(["(1, 2]"], column)
