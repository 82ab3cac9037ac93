"""MLflow scoring bodies of plain numbers are read in one step, with the same result as by a frame."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
import orjson
import pandas as pd
import pytest
from sklearn.ensemble import RandomForestClassifier

from raylift.domain.errors import InvalidRequest, PlatformError
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.schema import schema_of
from serve_apps.model_server.inputs.signature import Column, Signature, Tensor
from serve_apps.model_server.loading.fast_path_check import accelerated
from serve_apps.model_server.model import Model
from serve_apps.model_server.predictors.sklearn import SklearnPredictor

_NAMES: Final = ["a", "b", "c"]
_ROWS: Final = [[0.25, -1.0, 3.5], [1, 2, 3]]
_RECORDS: Final[Any] = [dict(zip(_NAMES, row, strict=True)) for row in _ROWS]
_COLUMNS: Final[Any] = {name: [row[index] for row in _ROWS] for index, name in enumerate(_NAMES)}

_PLAIN: Final[dict[str, Any]] = {
    "split": {"dataframe_split": {"columns": _NAMES, "data": _ROWS}},
    "split, as pandas writes it": {"dataframe_split": {"index": [7, 9], "columns": _NAMES, "data": _ROWS}},
    "split without columns": {"dataframe_split": {"data": _ROWS}},
    "records": {"dataframe_records": _RECORDS},
    "records in another order": {"dataframe_records": [dict(reversed(record.items())) for record in _RECORDS]},
    "instances": {"instances": _RECORDS},
    "inputs by column": {"inputs": _COLUMNS},
    "rows": {"inputs": _ROWS},
}
_BY_FRAME: Final[dict[str, Any]] = {
    "another order": {"dataframe_split": {"columns": _NAMES[::-1], "data": _ROWS}},
    "a column too many": {"dataframe_split": {"columns": [*_NAMES, "d"], "data": [[*row, 5] for row in _ROWS]}},
    "a null": {"dataframe_split": {"columns": _NAMES, "data": [[None, 1.0, 2.0]]}},
    "numbers as text": {"dataframe_split": {"columns": _NAMES, "data": [["0.5", "1", "2"]]}},
    "records in a split": {"dataframe_split": {"columns": _NAMES, "data": _RECORDS}},
    "a record with more": {"dataframe_records": [{**record, "d": 1} for record in _RECORDS]},
}
_WRONG: Final[dict[str, Any]] = {
    "an index of another length": {"dataframe_split": {"index": [1], "columns": _NAMES, "data": _ROWS}},
    "a field that is none": {"dataframe_split": {"columns": _NAMES, "data": _ROWS, "dtype": "int"}},
    "columns for records": {"dataframe_records": _COLUMNS},
    "no rows": {"dataframe_split": {"columns": _NAMES, "data": []}},
}


def _model(*, is_named: bool) -> Model:
    random = np.random.default_rng(0)
    rows: Any = random.standard_normal((200, 3))
    data = pd.DataFrame(rows, columns=_NAMES) if is_named else rows
    predictor = SklearnPredictor(RandomForestClassifier(20, random_state=0).fit(data, rows[:, 0] > rows[:, 1]))
    columns = tuple(Column(name, ColumnType.DOUBLE) for name in _NAMES)
    signature = Signature(columns=columns) if is_named else Signature(tensors=(Tensor(None, "float64", (-1, 3)),))
    return accelerated(Model("m", "1", predictor, schema_of(signature, predictor.features, is_native=True)[0], signature, "3"))


_MODEL: Final = _model(is_named=True)


def _decoded(body: Any, model: Model) -> Any:
    return ScoringCodec().decode(orjson.dumps(body), {"content-type": "application/json"}, model)


@pytest.mark.parametrize("body", _PLAIN.values(), ids=_PLAIN.keys())
def test_plain_numbers_are_read_in_one_step(body: Any) -> None:
    request, by_frame = _decoded(body, _MODEL), _decoded(body, replace(_MODEL, reader=None, fast=None))
    assert request.is_array
    assert request.batch.tolist() == by_frame.batch[_NAMES].to_numpy().tolist()
    assert _MODEL.predict(request).predictions.tolist() == _MODEL.predict(by_frame).predictions.tolist()


@pytest.mark.parametrize("body", _BY_FRAME.values(), ids=_BY_FRAME.keys())
def test_other_bodies_become_a_frame_first(body: Any) -> None:
    request, by_frame = _decoded(body, _MODEL), _decoded(body, replace(_MODEL, reader=None, fast=None))
    assert not request.is_array
    pd.testing.assert_frame_equal(request.batch, by_frame.batch)


@pytest.mark.parametrize("body", _WRONG.values(), ids=_WRONG.keys())
def test_malformed_bodies_are_refused_as_by_a_frame(body: Any) -> None:
    refusals: list[str] = []
    for model in (_MODEL, replace(_MODEL, reader=None, fast=None)):
        with pytest.raises(PlatformError) as refusal:
            _decoded(body, model)
        refusals.append(repr(refusal.value))
    assert refusals[0] == refusals[1]


@pytest.mark.parametrize("columns", [None, [0, 1, 2], _NAMES])
def test_model_of_arrays_takes_columns_in_their_order(columns: Any) -> None:
    model = _model(is_named=False)
    request = _decoded({"dataframe_split": {"columns": columns, "data": _ROWS}}, model)
    assert request.is_array
    assert request.batch.tolist() == _ROWS


def test_duplicate_columns_are_refused_for_arrays() -> None:
    model = _model(is_named=False)
    body = {"dataframe_split": {"columns": ["a", "a", "b"], "data": _ROWS}}
    with pytest.raises(InvalidRequest, match="The column a is given more than once"):
        _decoded(body, model)
