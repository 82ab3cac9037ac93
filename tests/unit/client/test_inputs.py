from __future__ import annotations

import datetime as dt
import enum
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from raylift.client.inputs import to_inputs


class Colour(str, enum.Enum):  # noqa: UP042
    RED = "red"


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        ({"a": [1.0, 2], "b": ("x", None)}, {"a": [1.0, 2], "b": ["x", None]}),
        ({"a": 1, "b": True}, {"a": 1, "b": True}),
        ({1: [2]}, {"1": [2]}),
        ([{"a": 1}, {"a": float("nan")}], [{"a": 1}, {"a": None}]),
        ([[1.0, 2.0], (3, 4)], [[1.0, 2.0], [3, 4]]),
        ({"a": np.array([1, 2], dtype=np.int8)}, {"a": [1, 2]}),
        ({"a": pd.Series([1.5, None])}, {"a": [1.5, None]}),
        ({"a": pd.Index(["x", "y"])}, {"a": ["x", "y"]}),
        ({"a": [np.float32(0.5), np.int64(2), np.bool_(True), np.str_("s")]}, {"a": [0.5, 2, True, "s"]}),
        ({"a": [Decimal("1.5"), Colour.RED]}, {"a": [1.5, "red"]}),
        (
            {"d": [dt.date(2026, 1, 2)], "t": [dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC)]},
            {"d": ["2026-01-02"], "t": ["2026-01-02T03:00:00+00:00"]},
        ),
        ({"a": np.datetime64("2026-01-02T03:04:05.123456789")}, {"a": "2026-01-02T03:04:05.123456789"}),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.array([[1.0, np.nan]], dtype=np.float32), [[1.0, None]]),
        (np.zeros((1, 2, 2)), [[[0.0, 0.0], [0.0, 0.0]]]),
        (np.array([["a", 1.5]], dtype=object), [["a", 1.5]]),
        (np.array([["2026-01-02", "NaT"]], dtype="datetime64[D]"), [["2026-01-02", None]]),
        (np.array([(1, 2.5)], dtype=[("x", "i4"), ("y", "f8")]), {"x": [1], "y": [2.5]}),
        (pd.Series({"a": 1, "b": "x"}), {"a": 1, "b": "x"}),
        (pa.table({"a": [1, 2]}), {"a": [1, 2]}),
        ([], []),
    ],
)
def test_common_input_types_become_json(given: Any, sent: Any):
    assert to_inputs(given) == sent
    json.dumps(to_inputs(given), allow_nan=False)


def test_frame_is_sent_as_columns():
    frame = pd.DataFrame(
        {
            "float": [1.5, np.nan],
            "int": pd.array([1, None], dtype="Int64"),
            "text": ["x", None],
            "category": pd.Categorical(["low", None]),
            "number_category": pd.Categorical([3, 4]),
            "when": pd.to_datetime(["2026-01-02T03:04:05", None]),
            "zoned": pd.to_datetime(["2026-01-02", None]).tz_localize("Europe/Zurich"),
            "bool": [True, False],
            "small": np.array([1, 2], dtype=np.uint8),
        },
        index=[10, 20],
    )
    assert to_inputs(frame) == {
        "float": [1.5, None],
        "int": [1, None],
        "text": ["x", None],
        "category": ["low", None],
        "number_category": [3, 4],
        "when": ["2026-01-02T03:04:05", None],
        "zoned": ["2026-01-02T00:00:00+01:00", None],
        "bool": [True, False],
        "small": [1, 2],
    }
    assert to_inputs(pd.DataFrame(np.ones((1, 2)))) == {"0": [1.0], "1": [1.0]}


def test_frame_with_a_duplicate_column_is_refused():
    with pytest.raises(ValueError, match="more than one column named 'a'"):
        to_inputs(pd.DataFrame([[1, 2, 3]], columns=["a", "b", "a"]))
    with pytest.raises(ValueError, match="more than one column named '1'"):
        to_inputs(pd.DataFrame([[1, 2]], columns=[1, "1"]))


@pytest.mark.parametrize("array", [np.array([1.0, 2.0]), np.array(3.0), np.float64(1)])
def test_ambiguous_one_dimensional_array_is_refused(array: Any):
    with pytest.raises((ValueError, TypeError), match=r"reshape\(1, -1\) for one row"):
        to_inputs(array)


@pytest.mark.parametrize("data", [{"income": [1.0, float("inf")]}, pd.DataFrame({"income": [-np.inf]})])
def test_infinity_is_refused_with_its_column(data: Any):
    with pytest.raises(ValueError, match="income holds an infinite number"):
        to_inputs(data)


@pytest.mark.parametrize("data", ["text", b"bytes", 5, None, {1, 2}, object()])
def test_other_types_are_refused_by_name(data: Any):
    with pytest.raises(TypeError, match=f"a {type(data).__name__} cannot be a model's inputs"):
        to_inputs(data)


def test_value_without_a_json_form_is_refused():
    with pytest.raises(TypeError, match="image holds a bytes"):
        to_inputs({"image": [b"\x00"]})
