"""Values of libraries as JSON."""

from __future__ import annotations

import datetime
import json
import uuid
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import pandas as pd
import pytest

from serve_apps.model_server.errors import UnusableOutput
from serve_apps.model_server.jsonify import dumps


class _Colour(Enum):
    RED = "red"


@dataclass
class _Point:
    x: float


class _Own:
    pass


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.array([90, 3600], dtype="timedelta64[s]"), ["PT1M30S", "PT1H"]),
        (np.array([90, "NaT"], dtype="timedelta64[ns]"), ["PT0.00000009S", None]),
        (np.array([[90]], dtype="timedelta64[D]"), [["P90D"]]),
        (np.array([3], dtype="timedelta64[M]"), ["3 months"]),
        (pd.Series(pd.to_timedelta(["1 days 02:00:00.5", None])), ["P1DT2H0.5S", None]),
        (datetime.timedelta(seconds=-90), "-PT1M30S"),
        (datetime.timedelta(0), "PT0S"),
        (pd.Series(pd.period_range("2024-01", periods=2, freq="M")), ["2024-01", "2024-02"]),
        (pd.Series(pd.interval_range(0, 2)), ["(0, 1]", "(1, 2]"]),
        (np.array(["2024-01-31", "NaT"], dtype="datetime64[D]"), ["2024-01-31T00:00:00", None]),
        (np.datetime64("20000-01-01"), "20000-01-01T00:00:00"),
        (pd.Series(pd.to_datetime(["2024-01-31T12:00:00+02:00"])), ["2024-01-31T12:00:00+02:00"]),
        (np.array([b"\xff"]), ["/w=="]),
        (np.array([b"\xff", None], dtype=object), ["/w==", None]),
        (bytearray(b"hi"), "aGk="),
        (np.array([1.5], dtype=np.longdouble), [1.5]),
        (np.longdouble(1.5), 1.5),
        (np.array([1.5, np.inf], dtype=np.float16), [1.5, None]),
        (np.array([(1, 2.5)], dtype=[("a", "i4"), ("b", "f4")])[0], {"a": 1, "b": 2.5}),
        (Decimal("1.5"), 1.5),
        ({np.int64(1): {2, 3}}, {"1": [2, 3]}),
        ([np.float64("nan"), pd.NA, pd.NaT, 2**70], [None, None, None, 2**70]),
        (
            [2**70, np.array([np.nan, 1.0]), _Colour.RED, _Point(1.5), uuid.UUID(int=1)],
            [
                2**70,
                [None, 1.0],
                "red",
                {"x": 1.5},
                "00000000-0000-0000-0000-000000000001",
            ],
        ),
        (pd.arrays.SparseArray([0, 1]), [0, 1]),
        ("\ud800", "\ud800"),
    ],
)
def test_value_becomes_json(value: Any, said: Any) -> None:
    assert json.loads(dumps({"value": value}))["value"] == said


@pytest.mark.parametrize(
    ("value", "named"),
    [
        (np.array([1 + 2j]), "complex128"),
        (np.complex64(1j), "complex64"),
        (1 + 2j, "complex"),
        (_Own(), "_Own"),
        ([2**70, _Own()], "_Own"),
    ],
)
def test_value_without_a_form_is_refused_with_its_type(value: Any, named: str) -> None:
    with pytest.raises(UnusableOutput, match=f"values of the type {named}, which JSON has no form for"):
        dumps({"value": value})


def test_value_that_contains_itself_is_refused() -> None:
    value: list[Any] = [1]
    value.append(value)
    with pytest.raises(UnusableOutput, match="nested too deeply"):
        dumps(value)
