"""Fast paths for columns of text, numbers and booleans: the library's answers bit by bit, or no fast path."""

from __future__ import annotations

import json
import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, Final

import lightgbm
import numpy as np
import orjson
import pandas as pd
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    RobustScaler,
    StandardScaler,
    TargetEncoder,
)

from job_entrypoints.tracking import training_table as hooks
from raylift.domain.errors import PlatformError
from serve_apps.model_server.codecs.mlflow_scoring import ScoringCodec
from serve_apps.model_server.codecs.open_inference.codec import OpenInferenceCodec
from serve_apps.model_server.codecs.raylift import tabular
from serve_apps.model_server.inputs.column_reader import ColumnReader
from serve_apps.model_server.inputs.schema import schema_of
from serve_apps.model_server.inputs.training_table import parse_training_table
from serve_apps.model_server.loading.fast_path_check import accelerated
from serve_apps.model_server.model import Model
from serve_apps.model_server.predictors.sklearn import SklearnPredictor
from serve_apps.model_server.server.speed import is_quick

_COUNT: Final = 300
_NUMBERS: Final = ["age", "income", "rooms"]
_TEXTS: Final = ["city", "plan"]
_random: Final = np.random.default_rng(0)
_FRAME: Final = pd.DataFrame(
    {
        "age": np.where(_random.random(_COUNT) < 0.1, np.nan, _random.normal(40, 10, _COUNT)),
        "income": _random.lognormal(10, 1, _COUNT),
        "rooms": _random.integers(0, 6, _COUNT),
        "city": _random.choice(["Ulm", "Bonn", "Köln"], _COUNT),
        "plan": _random.choice(["basic", "plus", "pro"], _COUNT),
        "member": _random.random(_COUNT) > 0.5,
    }
)
_VALUES: Any = np.nan_to_num(_FRAME["age"]) + 3 * _FRAME["rooms"] + 5 * (_FRAME["city"] == "Ulm")
_LABELS: Any = np.where(_VALUES > 45, "yes", "no")
_THREE: Any = np.digitize(_VALUES, [35, 50])


def _filled(*scalers: Any, strategy: str = "median") -> Any:
    return make_pipeline(SimpleImputer(strategy=strategy), *scalers)


def _one_hot(handle_unknown: str = "ignore") -> ColumnTransformer:
    encoder = OneHotEncoder(handle_unknown=handle_unknown, sparse_output=False)
    return ColumnTransformer([("n", _filled(StandardScaler()), _NUMBERS), ("c", encoder, ["city", "plan"])])


def _sparse() -> ColumnTransformer:
    encoder = OneHotEncoder(handle_unknown="ignore")
    parts = [("c", encoder, ["city", "plan", "rooms"]), ("n", _filled(MinMaxScaler(), strategy="mean"), ["age", "income"])]
    return ColumnTransformer(parts, sparse_threshold=1.0)


def _ordinal() -> ColumnTransformer:
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    filled = SimpleImputer(strategy="most_frequent")
    return ColumnTransformer([("c", encoder, ["city", "plan"]), ("n", filled, _NUMBERS)], remainder="passthrough")


def _filled_text() -> ColumnTransformer:
    text = make_pipeline(SimpleImputer(strategy="constant", fill_value="none"), OneHotEncoder(drop="first"))
    return ColumnTransformer([("c", text, ["plan"]), ("n", _filled(RobustScaler()), _NUMBERS), ("d", "drop", ["city"])])


def _rare() -> ColumnTransformer:
    rare = OneHotEncoder(handle_unknown="infrequent_if_exist", min_frequency=40, sparse_output=False)
    parts = [("t", TargetEncoder(cv=2), ["city"]), ("r", rare, ["rooms", "plan"]), ("n", _filled(), _NUMBERS)]
    return ColumnTransformer(parts)


_PIPELINES: Final[dict[str, Callable[[], Any]]] = {
    "one-hot, histograms": lambda: make_pipeline(_one_hot(), HistGradientBoostingClassifier(max_iter=20)).fit(_FRAME, _LABELS),
    "one-hot, histograms of values": lambda: make_pipeline(
        _one_hot(), HistGradientBoostingRegressor(loss="poisson", max_iter=20)
    ).fit(_FRAME, _VALUES),
    "one-hot, logistic": lambda: make_pipeline(_one_hot(), LogisticRegression()).fit(_FRAME, _LABELS),
    "one-hot, scaled again, three classes": lambda: make_pipeline(_one_hot(), StandardScaler(), LogisticRegression()).fit(
        _FRAME, _THREE
    ),
    "one-hot, refusing": lambda: make_pipeline(_one_hot(handle_unknown="error"), Ridge()).fit(_FRAME, _VALUES),
    "sparse, logistic": lambda: make_pipeline(_sparse(), LogisticRegression(max_iter=300)).fit(_FRAME, _THREE),
    "sparse, linear": lambda: make_pipeline(_sparse(), LinearRegression()).fit(_FRAME, _VALUES),
    "sparse, forest": lambda: make_pipeline(_sparse(), RandomForestClassifier(20, random_state=0)).fit(_FRAME, _LABELS),
    "ordinal, stages": lambda: make_pipeline(_ordinal(), GradientBoostingClassifier(n_estimators=9)).fit(_FRAME, _THREE),
    "filled text, ridge": lambda: make_pipeline(_filled_text(), Ridge()).fit(_FRAME, _VALUES),
    "rare, histograms": lambda: make_pipeline(_rare(), HistGradientBoostingClassifier(max_iter=9)).fit(_FRAME, _THREE),
    "a search": lambda: GridSearchCV(make_pipeline(_one_hot(), Ridge()), {"ridge__alpha": [1.0, 2.0]}, cv=2).fit(
        _FRAME, _VALUES
    ),
    "one-hot, XGBoost": lambda: make_pipeline(_one_hot(), xgboost.XGBClassifier(n_estimators=9)).fit(_FRAME, _THREE),
    "ordinal, LightGBM": lambda: make_pipeline(_ordinal(), lightgbm.LGBMRegressor(n_estimators=9, verbose=-1)).fit(
        _FRAME, _VALUES
    ),
    "numbers of several types": lambda: RandomForestClassifier(20, random_state=0).fit(
        _FRAME[["income", "rooms", "member"]], _LABELS
    ),
}
_LEFT_ALONE: Final[dict[str, Callable[[], Any]]] = {
    "numbers of several types, a product": lambda: LogisticRegression().fit(_FRAME[["income", "rooms", "member"]], _LABELS),
    "weights": lambda: make_pipeline(
        ColumnTransformer([("n", _filled(), _NUMBERS)], transformer_weights={"n": 2.0}), Ridge()
    ).fit(_FRAME, _VALUES),
    "a function": lambda: make_pipeline(
        ColumnTransformer([("n", make_pipeline(_filled(), FunctionTransformer(np.log1p)), ["income"])]), Ridge()
    ).fit(_FRAME, _VALUES),
    "products of columns": lambda: make_pipeline(
        ColumnTransformer([("n", make_pipeline(StandardScaler(), PolynomialFeatures(2)), ["rooms"])]), Ridge()
    ).fit(_FRAME, _VALUES),
    "an indicator": lambda: make_pipeline(ColumnTransformer([("n", SimpleImputer(add_indicator=True), _NUMBERS)]), Ridge()).fit(
        _FRAME, _VALUES
    ),
}
_RECORD: Final[dict[str, Any]] = {"age": 31.5, "income": 2100, "rooms": 3, "city": "Köln", "plan": "pro", "member": True}
_CELLS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "age": st.one_of(st.none(), st.floats(-100, 100), st.integers(-5, 90)),
    "income": st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**60), 2**60)),
    "rooms": st.one_of(st.integers(-2, 8), st.integers(-(2**62), 2**62)),
    "city": st.one_of(st.sampled_from(["Ulm", "Bonn", "Köln"]), st.text(max_size=3)),
    "plan": st.sampled_from(["basic", "plus", "pro", "other"]),
    "member": st.booleans(),
}


@cache
def _model(name: str) -> Model:
    return _loaded((_PIPELINES | _LEFT_ALONE)[name]())


def _loaded(estimator: Any, frame: pd.DataFrame = _FRAME) -> Model:
    """The model as a replica has it, with the training table that the job's hooks recorded."""
    predictor = SklearnPredictor(estimator)
    table = parse_training_table(json.loads(json.dumps(hooks.schema_of(frame[list(estimator.feature_names_in_)]))))
    schema, origin = schema_of(None, predictor.features, is_native=True, table=table)
    return accelerated(Model("m", "1", predictor, schema, None, "3", origin))


def _answers(model: Model, inputs: Any) -> tuple[bool, Any]:
    """True if the fast path was taken, and the answer or the message of the refusal."""
    try:
        request = model.prediction_request(inputs, lambda given: tabular(given, model), probabilities=model.classes is not None)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            answer = model.predict(request)
    except PlatformError as error:
        return False, str(error)
    probabilities = None if answer.probabilities is None else answer.probabilities.tobytes()
    return request.is_array, (answer.predictions.dtype, answer.predictions.tolist(), probabilities)


def _by_library(model: Model) -> Model:
    return replace(model, reader=None, fast=None)


def _wanted(model: Model, records: Any) -> list[dict[str, Any]]:
    return [{str(column.name): record[column.name] for column in model.schema.columns} for record in records]


@pytest.mark.parametrize("name", _PIPELINES)
def test_pipeline_answers_equal_the_library_s_bit_by_bit(name: str) -> None:
    model = _model(name)
    assert isinstance(model.reader, ColumnReader)
    table: Any = _FRAME.astype(object).where(_FRAME.notna(), None)
    records = _wanted(model, table.to_dict("records"))
    for start, size in ((0, 1), (1, 1), (5, 2), (9, 7), (0, 40), (0, _COUNT)):
        group = records[start : start + size]
        is_short, answer = _answers(model, group)
        assert is_short
        assert answer == _answers(_by_library(model), group)[1]
        columns = {name: [record[name] for record in group] for name in group[0]}
        assert _answers(model, columns) == (True, answer)
        assert _answers(model, [list(record.values()) for record in group]) == (True, answer)


@pytest.mark.parametrize("name", _PIPELINES)
@settings(max_examples=15, deadline=None)
@given(records=st.lists(st.fixed_dictionaries(_CELLS), min_size=1, max_size=4))
def test_answers_to_random_requests_equal_the_library_s(name: str, records: list[dict[str, Any]]) -> None:
    model = _model(name)
    asked = _wanted(model, records)
    assert _answers(model, asked)[1] == _answers(_by_library(model), asked)[1]


@pytest.mark.parametrize("name", _LEFT_ALONE)
def test_unknown_pipeline_has_no_fast_path(name: str) -> None:
    model = _model(name)
    assert model.fast is None
    asked = _wanted(model, [_RECORD])
    assert _answers(model, asked) == (False, _answers(_by_library(model), asked)[1])


@pytest.mark.parametrize(
    "change",
    [
        {"age": "31.5"},
        {"age": True},
        {"age": float("inf")},
        {"age": 2**60},
        {"rooms": None},
        {"rooms": 2.5},
        {"rooms": 2**70},
        {"city": 7},
        {"member": 1},
        {"member": None},
        {"other": 1},
    ],
    ids=str,
)
def test_unusual_value_is_read_by_the_schema(change: dict[str, Any]) -> None:
    model = _model("ordinal, stages")
    assert _answers(model, [_RECORD])[0]
    assert _answers(model, [_RECORD | change]) == (False, _answers(_by_library(model), [_RECORD | change])[1])


def test_unknown_category_is_refused_if_the_encoder_refuses_it() -> None:
    model = _model("one-hot, refusing")
    assert _answers(model, _wanted(model, [_RECORD]))[0]
    is_short, said = _answers(model, _wanted(model, [_RECORD | {"city": "Rom"}]))
    assert not is_short
    assert "unknown categories" in said


def test_encoder_knows_integers_that_it_keeps_as_floats() -> None:
    """scikit-learn keeps integer categories as floating point if the column had gaps."""
    frame = pd.DataFrame({"code": pd.Categorical([10, None] * 20, [10, 20])})
    encoder = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-9, encoded_missing_value=-1)
    pipeline = make_pipeline(ColumnTransformer([("c", encoder, ["code"])]), LinearRegression())
    model = _loaded(pipeline.fit(frame, [1.0, 5.0] * 20), frame)
    is_short, (_, values, _) = _answers(model, [{"code": 10}])
    assert is_short
    assert values == pipeline.predict(frame[:1]).tolist()


def test_histogram_boosting_knows_the_categories_of_a_frame() -> None:
    frame = _FRAME.astype({"city": "category", "plan": "category"})
    library: Any = HistGradientBoostingClassifier(max_iter=20).fit(frame, _THREE)
    model = _loaded(library, frame)
    assert isinstance(model.reader, ColumnReader)
    records = [_RECORD, _RECORD | {"city": "Rom", "age": None}, _RECORD | {"plan": "basic", "rooms": 0}]
    table: Any = pd.DataFrame(records)[list(_FRAME)]
    texts: dict[str, Any] = {name: table[name].where(table[name] != "Rom") for name in _TEXTS}
    asked = table.assign(**{name: pd.Categorical(texts[name], frame[name].cat.categories) for name in _TEXTS})
    is_short, (_, predictions, probabilities) = _answers(model, records)
    assert is_short
    assert predictions == library.predict(asked).tolist()
    assert probabilities == library.predict_proba(asked).tobytes()


def test_one_bit_of_difference_disables_the_fast_path(caplog: pytest.LogCaptureFixture) -> None:
    pipeline: Any = _PIPELINES["one-hot, logistic"]()
    original: Callable[[Any], Any] = pipeline.predict_proba
    pipeline.predict_proba = lambda frame: np.nextafter(original(frame), 2)
    with caplog.at_level(logging.WARNING):
        model = _loaded(pipeline)
    assert model.fast is None
    assert "m version 1 is served by its library's own predict: the fast path differs on" in caplog.text


@pytest.mark.parametrize(
    "body",
    [
        {"dataframe_records": [_RECORD, _RECORD | {"age": None}]},
        {"dataframe_split": {"columns": list(_RECORD), "data": [list(_RECORD.values())]}},
    ],
    ids=["records", "split"],
)
def test_mlflow_forms_of_columns_take_the_fast_path(body: Any) -> None:
    model = _model("ordinal, stages")
    answers: list[Any] = []
    for asked in (model, _by_library(model)):
        request = ScoringCodec().decode(orjson.dumps(body), {"content-type": "application/json"}, asked)
        answers.append((request.is_array, asked.predict(request).predictions.tolist()))
    assert answers == [(True, answers[0][1]), (False, answers[0][1])]


def test_named_tensors_take_the_fast_path() -> None:
    model = _model("ordinal, stages")
    datatypes = {"age": "FP64", "income": "FP64", "rooms": "INT64", "city": "BYTES", "plan": "BYTES", "member": "BOOL"}
    tensors = [{"name": n, "shape": [1], "datatype": kind, "data": [_RECORD[n]]} for n, kind in datatypes.items()]
    answers: list[Any] = []
    for asked in (model, _by_library(model)):
        request = OpenInferenceCodec().decode(orjson.dumps({"inputs": tensors}), {}, asked)
        answers.append((request.is_array, asked.predict(request).predictions.tolist()))
    assert answers == [(True, answers[0][1]), (False, answers[0][1])]


def test_tree_pipelines_are_batched_and_linear_ones_are_not() -> None:
    assert not _model("one-hot, logistic").is_groupable
    assert _model("sparse, forest").is_groupable


def test_model_of_columns_is_timed_by_its_own_path() -> None:
    assert is_quick(_model("one-hot, histograms"))
