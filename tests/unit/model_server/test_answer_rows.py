"""Answers with one entry for each row, and other answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp

from serve_apps.model_server.errors import UnusableOutput
from serve_apps.model_server.jsonify import dumps, loads
from serve_apps.model_server.outputs.rows import row_count, rows_of

_TABLE = pd.DataFrame({"a": [1, 2], "b": ["x", "y"]})
_RECORDS = [{"a": 1, "b": "x"}, {"a": 2, "b": "y"}]
_STRUCTURED = np.array([(1, "x"), (2, "y")], dtype=[("a", "i8"), ("b", "U1")])


def _said(answer: Any, count: int | None = 2) -> Any:
    return loads(dumps(rows_of(answer, count)))


class _Tensor:
    """As PyTorch's tensors: no array until it is detached from its graph."""

    def detach(self) -> _Tensor:
        return self

    def cpu(self) -> _Tensor:
        return self

    def numpy(self) -> Any:
        return np.array([[1.0, 2.0], [3.0, 4.0]])


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        (np.array([1, 2]), [1, 2]),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (pd.Series([1.5, np.nan], index=[7, 3]), [1.5, None]),
        (_TABLE, _RECORDS),
        (_RECORDS, _RECORDS),
        ({"a": np.array([1, 2]), "b": ["x", "y"]}, _RECORDS),
        ({"a": pd.Series([1, 2]), "b": ("x", "y")}, _RECORDS),
        (
            {"label": [0, 1], "proba": np.array([[0.5, 0.5], [0.25, 0.75]])},
            [
                {"label": 0, "proba": [0.5, 0.5]},
                {"label": 1, "proba": [0.25, 0.75]},
            ],
        ),
        (_STRUCTURED, _RECORDS),
        (pa.table({"a": [1, 2], "b": ["x", "y"]}), _RECORDS),
        (pa.array([1, None]), [1, None]),
        (sp.csr_matrix([[0, 1.0], [2.0, 0]]), [[0, 1], [2, 0]]),
        (_Tensor(), [[1, 2], [3, 4]]),
        ((value for value in (1, 2)), [1, 2]),
        (pd.Categorical(["x", "y"]), ["x", "y"]),
        (pd.Index(["x", "y"]), ["x", "y"]),
        (pd.array([1, None], dtype="Int64"), [1, None]),
        ([np.array([1, 2]), np.array([3, 4]), np.array([5, 6])], [[1, 3, 5], [2, 4, 6]]),
        ((["x", "y"], np.array([[1, 2], [3, 4]]), [7, 8]), [["x", [1, 2], 7], ["y", [3, 4], 8]]),
        ([[1], [2, 3]], [[1], [2, 3]]),
        (range(2), [0, 1]),
    ],
)
def test_answer_has_one_entry_for_each_row(answer: Any, rows: list[Any]) -> None:
    assert _said(answer) == rows


@pytest.mark.parametrize(
    ("answer", "rows"),
    [
        ({"label": np.array([1]), "proba": np.array([[0.5, 0.5]])}, [{"label": 1, "proba": [0.5, 0.5]}]),
        ({"mean": 2.5, "tags": ["x", "y"]}, [{"mean": 2.5, "tags": ["x", "y"]}]),
        (3.5, [3.5]),
        ("text", ["text"]),
        (None, [None]),
        (np.array(3.5), [3.5]),
        ([1, 2, 3], [1, 2, 3]),
        (_TABLE, _RECORDS),
    ],
)
def test_answer_to_one_row_may_have_any_length(answer: Any, rows: list[Any]) -> None:
    assert _said(answer, 1) == rows


@pytest.mark.parametrize(
    ("answer", "came"),
    [
        (np.array([1, 2, 3]), "an array of the shape [3] (int64) for 2 rows"),
        (_TABLE.head(1), "a frame of 1 rows for 2 rows"),
        ([1.5], "a list of 1 value for 2 rows"),
        (2.5, "one value (2.5) for 2 rows"),
        (None, "one value (None) for 2 rows"),
        ("no", "one value ('no') for 2 rows"),
        ({"mean": 1.5, "all": [1, 2, 3]}, "an object with mean: one value (1.5), all: a list of 3 values for 2 rows"),
        ((["x", "y"], [1, 2]), "a tuple of 2 values, each of 2, for 2 rows"),
        (pd.concat([_TABLE, _TABLE], axis=1), "a frame with 2 columns of the same name, a"),
        (pa.table([[1, 2], [3, 4]], names=["p", "p"]), "a frame with 2 columns of the same name, p"),
        (pd.DataFrame([[1, 2], [3, 4]], columns=[1, "1"]), "a frame with 2 columns of the same name, 1"),
    ],
)
def test_answer_without_one_entry_for_each_row_is_refused(answer: Any, came: str) -> None:
    with pytest.raises(UnusableOutput) as refused:
        rows_of(answer, 2)
    assert came in refused.value.detail


def test_rows_of_unknown_inputs_are_not_counted() -> None:
    assert row_count("text") is None
    assert row_count({"a": np.array([1, 2]), "b": np.array([1])}) is None
    assert row_count({"a": np.array([1, 2]), "b": np.array([3, 4])}) == 2
    assert _said({"mean": 1.5}, None) == [{"mean": 1.5}]
