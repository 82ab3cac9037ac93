"""Answers as V2 tensors: datatypes, missing values, times, and several outputs."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp

from serve_apps.model_server.codecs.open_inference.outputs import named_outputs, output_tensor
from serve_apps.model_server.errors import UnusableOutput
from serve_apps.model_server.jsonify import dumps, loads


def _written(answer: Any) -> list[Any]:
    entries = [output_tensor(name, array, binary=False).entry for name, array in named_outputs(answer)]
    return [[entry["name"], entry["datatype"], entry["shape"], entry["data"]] for entry in loads(dumps({"": entries}))[""]]


@pytest.mark.parametrize(
    ("answer", "datatype", "shape", "data"),
    [
        (np.array([1.5, np.nan]), "FP64", [2], [1.5, None]),
        (np.array(2.5), "FP64", [1], [2.5]),
        (np.array([1.5], dtype=np.longdouble), "FP64", [1], [1.5]),
        ([1, 2], "INT64", [2], [1, 2]),
        ([[1, 2], [3, 4]], "INT64", [2, 2], [1, 2, 3, 4]),
        ([np.array([1.5, 2.5]), np.array([3.5, 4.5])], "FP64", [2, 2], [1.5, 2.5, 3.5, 4.5]),
        ([1, 2.5, None], "FP64", [3], [1.0, 2.5, None]),
        ([2**53 + 1, None], "BYTES", [2], ["9007199254740993", None]),
        ([2**70], "BYTES", [1], ["1180591620717411303424"]),
        ([True, False], "BOOL", [2], [True, False]),
        ([True, None], "BOOL", [2], [True, None]),
        ([True, 2], "BYTES", [2], ["true", "2"]),
        (["a", None], "BYTES", [2], ["a", None]),
        ([0.1, "a"], "BYTES", [2], ["0.1", "a"]),
        ([{"a": 1}], "BYTES", [1], ['{"a":1}']),
        ([[1], [2, 3]], "BYTES", [2], ["[1]", "[2,3]"]),
        ([datetime.date(2026, 1, 31)], "BYTES", [1], ["2026-01-31"]),
        (None, "BYTES", [1], [None]),
        ("text", "BYTES", [1], ["text"]),
        ([], "BYTES", [0], []),
        (pd.Series(pd.to_datetime(["2026-01-31", None])), "BYTES", [2], ["2026-01-31T00:00:00", None]),
        (np.array([90], dtype="timedelta64[s]"), "BYTES", [1], ["PT1M30S"]),
        (pd.Series([1, None], dtype="Int64"), "FP64", [2], [1.0, None]),
        (pd.Series([1, 2], dtype="Int64"), "INT64", [2], [1, 2]),
        (pd.Series([True, None], dtype="boolean"), "BOOL", [2], [True, None]),
        (pd.Categorical(["a", "b"]), "BYTES", [2], ["a", "b"]),
        (sp.csr_matrix([[0, 1.0]]), "FP64", [1, 2], [0.0, 1.0]),
        (np.array([b"text"]), "BYTES", [1], ["text"]),
    ],
)
def test_answer_becomes_a_tensor_of_its_datatype(answer: Any, datatype: str, shape: list[int], data: list[Any]) -> None:
    assert _written(answer) == [["predict", datatype, shape, data]]


def test_columns_keys_and_fields_become_separate_outputs() -> None:
    both = [["a", "INT64", [2], [1, 2]], ["b", "BYTES", [2], ["x", None]]]
    frame = pd.DataFrame({"a": [1, 2], "b": ["x", None]})
    structured = np.array([(1, "x"), (2, None)], dtype=[("a", "i8"), ("b", "O")])
    for answer in (frame, {"a": [1, 2], "b": ["x", None]}, {"a": frame["a"], "b": np.array(["x", None])}, structured):
        assert _written(answer) == both
    ragged = {"label": [1], "points": [[1, 2], [3]], "note": "ok"}
    assert [entry[1:] for entry in _written(ragged)] == [
        ["INT64", [1], [1]],
        ["BYTES", [2], ["[1,2]", "[3]"]],
        ["BYTES", [1], ["ok"]],
    ]


@pytest.mark.parametrize(
    ("answer", "binary", "said"),
    [
        (pd.DataFrame([[1, 2]], columns=["p", "p"]), False, "2 columns of the same name, p"),
        (np.array([1j]), False, "complex128"),
        ([1j], False, "complex"),
        (np.array([b"\xff"], dtype=object), False, "no UTF-8 text at 0: ask for raw bytes"),
        (["a", None], True, "no value at 1, which raw bytes cannot say"),
        ([True, None], True, "no value at 1"),
    ],
)
def test_answer_that_no_tensor_can_hold_is_refused(answer: Any, binary: bool, said: str) -> None:
    with pytest.raises(UnusableOutput, match=said):
        [output_tensor(name, array, binary=binary) for name, array in named_outputs(answer)]


def test_raw_bytes_hold_text_bytes_and_nan() -> None:
    ((_, texts),) = named_outputs(["a", b"\xff"])
    assert output_tensor("predict", texts, binary=True).raw == b"\x01\0\0\0a\x01\0\0\0\xff"
    ((_, numbers),) = named_outputs([1, None])
    assert np.frombuffer(output_tensor("predict", numbers, binary=True).raw).tolist()[0] == 1.0
