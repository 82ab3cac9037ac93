"""Columns as a dictionary: only values that rows have, in the order of the rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.column_values.coded import CodedColumn
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.signature import Column
from serve_apps.model_server.inputs.tabular import Columns
from serve_apps.model_server.inputs.training_table import TrainedColumn


@given(st.lists(st.integers(0, 5), max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_coded_column_has_the_values_of_its_rows(codes: list[int], start: int, end: int) -> None:
    words = ["a", "b", None, "c", "d", "e"]
    column = CodedColumn.of(words, np.array(codes, dtype=np.intp))
    values = [words[code] for code in codes]
    assert column.tolist() == values
    assert column.distinct == list(dict.fromkeys(values))
    assert column[start:end].tolist() == values[start:end]
    assert column[start:end].distinct == list(dict.fromkeys(values[start:end]))


def test_numbers_are_coded_with_nan_as_missing() -> None:
    column = CodedColumn.of_array(np.array([2.0, np.nan, 2.0, -0.0, 0.0]))
    assert column.tolist() == [2.0, None, 2.0, 0.0, 0.0]


@pytest.mark.parametrize(
    "trained",
    [
        TrainedColumn("city", "category", categories=pd.Index(["Oslo", "Rome"])),
        TrainedColumn("city", "object", values="string"),
        TrainedColumn("city", "string"),
        None,
    ],
)
def test_schema_reads_coded_text_as_text(trained: TrainedColumn | None) -> None:
    schema = NamedColumns((Column("city", ColumnType.STRING, trained=trained),))
    words = ["Rome", "Bern", None, "Rome", "Ararat", "Oslo", "Bern"]
    codes, distinct = pd.factorize(np.array(words, dtype=object))
    codes[codes < 0] = len(distinct)
    coded: Any = CodedColumn.of([*distinct.tolist(), None], codes)
    pd.testing.assert_frame_equal(schema.batch(Columns({"city": coded})), schema.batch(Columns({"city": words})))
