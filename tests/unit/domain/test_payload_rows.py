"""Columns of logged requests, of every protocol."""

from __future__ import annotations

from typing import Any

import pytest

from raylift.domain.models.payload_rows import input_columns

COLUMNS = {"age": [30, 40], "plan": ["a", None]}


@pytest.mark.parametrize(
    "body",
    [
        {"inputs": [{"age": 30, "plan": "a"}, {"age": 40}]},
        {"inputs": COLUMNS},
        {"inputs": [[30, "a"], [40, None]]},
        {"instances": [[30, "a"], [40, None]]},
        {"dataframe_split": {"columns": ["age", "plan"], "data": [[30, "a"], [40, None]]}},
        {"dataframe_records": [{"age": 30, "plan": "a"}, {"age": 40, "plan": None}]},
        {
            "inputs": [
                {"name": "age", "shape": [2], "datatype": "INT64", "data": [30, 40]},
                {"name": "plan", "shape": [2, 1], "datatype": "BYTES", "data": ["a", None]},
            ]
        },
        {"inputs": [{"name": "input", "shape": [2, 2], "datatype": "BYTES", "data": [30, "a", 40, None]}]},
        {"inputs": [{"name": "input", "shape": [2, 2], "datatype": "BYTES", "data": [[30, "a"], [40, None]]}]},
    ],
)
def test_columns_of_every_protocol_are_read(body: Any) -> None:
    assert input_columns(body, ["age", "plan"]) == COLUMNS


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {"inputs": []},
        {"inputs": [[1, 2, 3]]},
        {"inputs": [1, 2]},
        {"inputs": {"age": [1], "plan": [1, 2]}},
        {"inputs": {"age": 1}},
        {"inputs": [{"name": "image", "shape": [1, 8, 8], "data": [0] * 64}]},
        {"dataframe_split": {"data": [[1]]}},
    ],
)
def test_inputs_that_are_no_table_have_no_columns(body: Any) -> None:
    assert input_columns(body, ["age", "plan"]) is None
