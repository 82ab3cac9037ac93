"""Fast paths of real models: the library's answers bit by bit, and disabled if they differ."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import (
    ExtraTreesClassifier,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import (
    ElasticNet,
    LinearRegression,
    LogisticRegression,
    LogisticRegressionCV,
    Ridge,
    RidgeClassifier,
    SGDClassifier,
    SGDRegressor,
)
from sklearn.model_selection import GridSearchCV
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MaxAbsScaler, MinMaxScaler, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor

from serve_apps.model_server.codecs.raylift import tabular
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.schema import schema_of
from serve_apps.model_server.inputs.signature import Column, Signature, Tensor
from serve_apps.model_server.inputs.tabular import from_rows
from serve_apps.model_server.loading.fast_path_check import accelerated
from serve_apps.model_server.model import Model
from serve_apps.model_server.predictors.lightgbm import BoosterPredictor as LightGBMBooster
from serve_apps.model_server.predictors.lightgbm import LightGBMPredictor
from serve_apps.model_server.predictors.sklearn import SklearnPredictor
from serve_apps.model_server.predictors.xgboost import BoosterPredictor as XGBoostBooster
from serve_apps.model_server.predictors.xgboost import XGBoostPredictor

_DATA: Any = make_classification(400, 6, n_informative=4, random_state=0)
_X, _BINARY = _DATA
_THREE: Any = make_classification(400, 6, n_informative=4, n_classes=3, random_state=0)[1]
_TEXT = np.array(["no", "yes", "maybe"])[_THREE]
_VALUES: Any = make_regression(400, 6, n_informative=4, random_state=0)[1]
_SEARCHED: Any = LogisticRegressionCV
_NAMES = [f"f{index}" for index in range(6)]
_FRAME = pd.DataFrame(_X, columns=_NAMES)
_ROWS = np.vstack([_X[:60] * 1.01, np.round(_X[:20]), np.full((1, 6), 1e-310), np.full((1, 6), -0.0)])

_REVERSED: Any = [(_X[::-1], _VALUES)]
_ALL_LEAVES: dict[str, Any] = {"max_leaf_nodes": None}
_CODED: dict[str, Any] = {"categorical_features": [0, 3]}
_BOOSTED: dict[str, Any] = {"n_estimators": 12, "random_state": 0}
_FAST: dict[str, Callable[[], Any]] = {
    "logistic": lambda: SklearnPredictor(LogisticRegression().fit(_X, _BINARY)),
    "logistic, three texts": lambda: SklearnPredictor(LogisticRegression(class_weight="balanced").fit(_X, _TEXT)),
    "logistic, warm": lambda: SklearnPredictor(LogisticRegression(warm_start=True, fit_intercept=False).fit(_X, _THREE)),
    "logistic in float32": lambda: SklearnPredictor(LogisticRegression().fit(_X.astype(np.float32), _THREE)),
    "logistic, searched": lambda: SklearnPredictor(
        _SEARCHED(Cs=2, cv=2, l1_ratios=(0,), use_legacy_attributes=False).fit(_X, _BINARY)
    ),
    "linear": lambda: SklearnPredictor(LinearRegression().fit(_X, _VALUES)),
    "linear, two outputs": lambda: SklearnPredictor(LinearRegression().fit(_X, np.column_stack([_VALUES, -_VALUES]))),
    "ridge": lambda: SklearnPredictor(Ridge().fit(_X, _VALUES)),
    "elastic net": lambda: SklearnPredictor(ElasticNet().fit(_X, _VALUES)),
    "gradient descent": lambda: SklearnPredictor(SGDRegressor(random_state=0).fit(_X, _VALUES)),
    "classes by gradient descent": lambda: SklearnPredictor(SGDClassifier(random_state=0).fit(_X, _TEXT)),
    "support vectors": lambda: SklearnPredictor(LinearSVC(random_state=0).fit(_X, _TEXT)),
    "scaled": lambda: SklearnPredictor(make_pipeline(StandardScaler(), LogisticRegression()).fit(_X, _TEXT)),
    "filled and scaled": lambda: SklearnPredictor(
        make_pipeline(SimpleImputer(strategy="median"), MinMaxScaler(clip=True), "passthrough", Ridge()).fit(_X, _VALUES)
    ),
    "scaled forest": lambda: SklearnPredictor(make_pipeline(StandardScaler(), RandomForestClassifier(20)).fit(_X, _TEXT)),
    "tree": lambda: SklearnPredictor(DecisionTreeClassifier(random_state=0).fit(_X, _TEXT)),
    "tree of values": lambda: SklearnPredictor(DecisionTreeRegressor(random_state=0).fit(_X, _VALUES)),
    "forest": lambda: SklearnPredictor(RandomForestClassifier(30, random_state=0).fit(_X, _BINARY)),
    "forest of texts on a frame": lambda: SklearnPredictor(RandomForestClassifier(30, random_state=0).fit(_FRAME, _TEXT)),
    "forest of values": lambda: SklearnPredictor(RandomForestRegressor(30, random_state=0).fit(_X, _VALUES)),
    "small forest": lambda: SklearnPredictor(RandomForestRegressor(3, random_state=0).fit(_X, _VALUES)),
    "extra trees": lambda: SklearnPredictor(ExtraTreesClassifier(40, max_depth=4, random_state=0).fit(_X, _THREE)),
    "stages": lambda: SklearnPredictor(GradientBoostingClassifier(**_BOOSTED).fit(_X, _BINARY)),
    "stages of three": lambda: SklearnPredictor(GradientBoostingClassifier(**_BOOSTED).fit(_X, _TEXT)),
    "stages from zero": lambda: SklearnPredictor(GradientBoostingRegressor(init="zero", **_BOOSTED).fit(_X, _VALUES)),
    "histograms": lambda: SklearnPredictor(HistGradientBoostingClassifier(max_iter=20).fit(_X, _TEXT)),
    "histograms of values": lambda: SklearnPredictor(HistGradientBoostingRegressor(max_iter=20).fit(_FRAME, _VALUES)),
    "histograms, many leaves": lambda: SklearnPredictor(
        HistGradientBoostingRegressor(max_iter=3, min_samples_leaf=2, **_ALL_LEAVES).fit(_X, _VALUES)
    ),
    "histograms, one guess": lambda: SklearnPredictor(
        HistGradientBoostingClassifier(max_iter=2, min_samples_leaf=400).fit(_X, _BINARY)
    ),
    "histograms, categories": lambda: SklearnPredictor(
        HistGradientBoostingRegressor(max_iter=20, **_CODED).fit(np.abs(np.round(_X)), _VALUES)
    ),
    "robustly scaled": lambda: SklearnPredictor(
        make_pipeline(make_pipeline(RobustScaler(), MaxAbsScaler()), Ridge()).fit(_X, _VALUES)
    ),
    "searched": lambda: SklearnPredictor(GridSearchCV(Ridge(), {"alpha": [1.0, 2.0]}, cv=2).fit(_FRAME, _VALUES)),
    "LightGBM": lambda: LightGBMPredictor(lightgbm.LGBMClassifier(verbose=-1, **_BOOSTED).fit(_FRAME, _BINARY)),
    "LightGBM, three texts": lambda: LightGBMPredictor(lightgbm.LGBMClassifier(verbose=-1, **_BOOSTED).fit(_X, _TEXT)),
    "LightGBM of values": lambda: LightGBMPredictor(lightgbm.LGBMRegressor(verbose=-1, **_BOOSTED).fit(_X, _VALUES)),
    "LightGBM's booster": lambda: LightGBMBooster(lightgbm.LGBMClassifier(verbose=-1, **_BOOSTED).fit(_X, _THREE).booster_),
    "XGBoost": lambda: XGBoostPredictor(xgboost.XGBClassifier(**_BOOSTED).fit(_FRAME, _BINARY)),
    "XGBoost, three classes": lambda: XGBoostPredictor(xgboost.XGBClassifier(**_BOOSTED).fit(_X, _THREE)),
    "XGBoost, stopped early": lambda: XGBoostPredictor(
        xgboost.XGBRegressor(early_stopping_rounds=1, **_BOOSTED).fit(
            _X, _VALUES, eval_set=[(_X[::-1], _VALUES)], verbose=False
        )
    ),
    "XGBoost's booster": lambda: XGBoostBooster(xgboost.XGBClassifier(**_BOOSTED).fit(_X, _BINARY).get_booster()),
    "XGBoost's booster of three": lambda: XGBoostBooster(xgboost.XGBClassifier(**_BOOSTED).fit(_X, _THREE).get_booster()),
}


class _Surprising(LogisticRegression):
    def predict(self, X: Any) -> Any:  # noqa: N803 - scikit-learn's name
        return super().predict(X)[::-1]


_SLOW: dict[str, Callable[[], Any]] = {
    "a subclass": lambda: SklearnPredictor(_Surprising().fit(_X, _BINARY)),
    "two outputs of a forest": lambda: SklearnPredictor(RandomForestClassifier(5).fit(_X, np.column_stack([_BINARY, _THREE]))),
    "calibrated": lambda: SklearnPredictor(CalibratedClassifierCV(LogisticRegression(), cv=2).fit(_X, _BINARY)),
    "another method for predict": lambda: SklearnPredictor(LogisticRegression().fit(_X, _BINARY), "predict_proba"),
    "made sparse": lambda: SklearnPredictor(LogisticRegression().fit(_X, _BINARY).sparsify()),
    "own predict": lambda: SklearnPredictor(RidgeClassifier().fit(_X, _BINARY)),
    "probabilities of another kind": lambda: SklearnPredictor(SGDClassifier(loss="log_loss").fit(_X, _BINARY)),
    "unknown step": lambda: SklearnPredictor(make_pipeline(SimpleImputer(add_indicator=True), Ridge()).fit(_X, _VALUES)),
    "first guess by a model": lambda: SklearnPredictor(
        GradientBoostingClassifier(init=LogisticRegression(), n_estimators=3).fit(_X, _BINARY)
    ),
    "unknown family": lambda: SklearnPredictor(GaussianNB().fit(_X, _BINARY)),
    "stops adding trees early": lambda: LightGBMPredictor(
        lightgbm.LGBMClassifier(verbose=-1, pred_early_stop=True, **_BOOSTED).fit(_X, _BINARY)
    ),
    "softmax": lambda: XGBoostPredictor(xgboost.XGBClassifier(objective="multi:softmax", n_estimators=3).fit(_X, _THREE)),
    "not of trees": lambda: XGBoostPredictor(xgboost.XGBRegressor(booster="gblinear", n_estimators=3).fit(_X, _VALUES)),
    "another missing value": lambda: XGBoostPredictor(xgboost.XGBRegressor(missing=0.0, n_estimators=3).fit(_X, _VALUES)),
}


def _model(predictor: Any, signature: Signature | None = None) -> Model:
    schema, _ = schema_of(signature, predictor.features, is_native=True)
    return accelerated(Model("m", "1", predictor, schema, signature, "3"))


@pytest.mark.parametrize("make", _FAST.values(), ids=_FAST.keys())
def test_answers_equal_the_library_s_bit_by_bit(make: Callable[[], Any]) -> None:
    predictor = make()
    model = _model(predictor)
    assert model.fast is not None
    for start, size in ((0, 1), (1, 1), (5, 2), (9, 7), (0, 40), (0, len(_ROWS)), (80, 1), (81, 1)):
        rows = _ROWS[start : start + size]
        request = model.prediction_request(
            rows.tolist(), lambda inputs: tabular(inputs, model), probabilities=model.classes is not None
        )
        answer = model.predict(request)
        assert request.is_array
        batch = model.schema.batch(from_rows(rows.tolist()))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert answer.predictions.tobytes() == np.asarray(predictor.predict(batch, {})).tobytes() or _is_text(answer)
            assert answer.predictions.tolist() == predictor.predict(batch, {}).tolist()
            if answer.probabilities is not None:
                assert answer.probabilities.tobytes() == predictor.probabilities(batch).tobytes()


@pytest.mark.parametrize("is_named", [True, False])
@pytest.mark.parametrize("is_fast", [True, False])
@pytest.mark.parametrize("given", ["rows", "records", "columns"])
def test_numbers_of_a_frame_are_stored_by_column(given: str, *, is_fast: bool, is_named: bool) -> None:
    """As in pandas. The order shows in the last bit of some rows of a matrix product."""
    data: Any = _FRAME if is_named else _X
    library: Any = LogisticRegression().fit(data, _BINARY)
    model = _model(SklearnPredictor(library))
    model = model if is_fast else replace(model, fast=None, reader=None)
    random = np.random.default_rng(5)
    for size in (1, 2, 40, 100, 300):
        rows = random.standard_normal((size, 6))
        frame = pd.DataFrame(rows, columns=_NAMES)
        forms: dict[str, Any] = {"rows": rows.tolist()}
        if is_named:
            forms |= {"records": frame.to_dict("records"), "columns": frame.to_dict("list")}
        if given not in forms:
            continue
        request = model.prediction_request(forms[given], lambda inputs: tabular(inputs, model), probabilities=True)
        probabilities = model.predict(request).probabilities
        assert probabilities is not None
        assert probabilities.tobytes() == library.predict_proba(frame if is_named else rows).tobytes()


def _is_text(answer: Any) -> bool:
    return answer.predictions.dtype.kind in "OU"


@pytest.mark.parametrize("make", _SLOW.values(), ids=_SLOW.keys())
def test_other_models_have_no_fast_path(make: Callable[[], Any]) -> None:
    predictor = make()
    model = _model(predictor)
    assert model.fast is None
    request = model.prediction_request(_X[:3].tolist(), lambda inputs: tabular(inputs, model))
    assert model.predict(request).predictions.tolist() == predictor.predict(_X[:3], {}).tolist()


def test_one_bit_of_difference_disables_the_fast_path(caplog: pytest.LogCaptureFixture) -> None:
    forest = RandomForestClassifier(30, random_state=0).fit(_X, _BINARY)
    original: Callable[[Any], Any] = forest.predict_proba
    forest.predict_proba = lambda rows: np.nextafter(original(rows), 2)
    with caplog.at_level(logging.WARNING):
        model = _model(SklearnPredictor(forest))
    assert model.fast is None
    assert "m version 1 is served by its library's own predict: the fast path differs on" in caplog.text
    assert len(caplog.records) == 1


@pytest.mark.filterwarnings("ignore:overflow encountered in cast")
@pytest.mark.parametrize("value", [np.inf, -np.inf, 1e39])
def test_inputs_that_the_library_refuses_are_refused(value: float) -> None:
    model = _model(SklearnPredictor(RandomForestClassifier(30).fit(_X, _BINARY)))
    rows = _X[:1].copy()
    rows[0, 2] = value
    with pytest.raises(ValueError, match="Input X contains"):
        model.compute(rows)


def test_forest_with_missing_values_uses_the_library() -> None:
    forest = RandomForestClassifier(30, random_state=0).fit(_X, _BINARY)
    holes = np.where(np.arange(_X.size).reshape(_X.shape) % 7 == 0, np.nan, _X)
    assert _model(SklearnPredictor(forest)).compute(holes).probabilities.tobytes() == forest.predict_proba(holes).tobytes()


def test_booster_takes_missing_values() -> None:
    holes = np.where(np.arange(_X.size).reshape(_X.shape) % 7 == 0, np.nan, _X)
    classifier: Any = lightgbm.LGBMClassifier(verbose=-1, **_BOOSTED).fit(holes, _BINARY)
    model = _model(LightGBMPredictor(classifier))
    assert model.fast is not None
    assert model.compute(holes).probabilities.tobytes() == classifier.predict_proba(holes).tobytes()


@pytest.mark.parametrize("api", [lightgbm.LGBMClassifier, xgboost.XGBClassifier])
def test_large_integers_are_converted_as_in_the_library(api: Any) -> None:
    """For example times in seconds: float32 cannot hold each of them, and LightGBM converts an array of integers to it."""
    random = np.random.default_rng(0)
    moments = random.integers(1_700_000_000, 1_700_002_000, (2000, 3))
    classifier = api(n_estimators=30, verbosity=-1 if api is lightgbm.LGBMClassifier else 0)
    classifier.fit(moments, moments[:, 0] % 700 > 350)
    predictor = LightGBMPredictor(classifier) if api is lightgbm.LGBMClassifier else XGBoostPredictor(classifier)
    model = _model(predictor, Signature(tensors=(Tensor(None, "int64", (-1, 3)),)))
    assert model.fast is not None
    asked = random.integers(1_700_000_000, 1_700_002_000, (5000, 3))
    assert model.compute(asked).probabilities.tobytes() == classifier.predict_proba(asked).tobytes()


def test_signature_in_another_order_is_read_by_name() -> None:
    forest: Any = RandomForestClassifier(5, random_state=0).fit(_FRAME, _BINARY)
    columns = tuple(Column(name, ColumnType.DOUBLE) for name in _NAMES[::-1])
    model = _model(SklearnPredictor(forest), Signature(columns=columns))
    records: Any = _FRAME.iloc[:40, ::-1].to_dict("records")
    answer = model.predict(model.prediction_request(records, lambda inputs: tabular(inputs, model), probabilities=True))
    assert answer.probabilities is not None
    assert answer.probabilities.tobytes() == forest.predict_proba(_FRAME.iloc[:40]).tobytes()


def test_integers_are_accepted_for_double_columns() -> None:
    predictor = SklearnPredictor(RandomForestClassifier(30, random_state=0).fit(_FRAME, _BINARY))
    model = _model(predictor, Signature(columns=tuple(Column(name, ColumnType.DOUBLE) for name in _NAMES)))
    for inputs in ([[1, 2, 3, 4, 5, 6]], [dict.fromkeys(_NAMES[::-1], 1)], {name: [1, 2.5] for name in _NAMES}):
        request = model.prediction_request(inputs, lambda given: tabular(given, model))
        assert request.is_array
        assert request.batch.dtype == np.float64


def test_tree_models_are_batched_and_linear_ones_are_not() -> None:
    wide, labels = make_classification(300, 40, n_informative=20, n_classes=3, random_state=0)
    assert _model(SklearnPredictor(RandomForestClassifier(30).fit(wide, labels))).is_groupable
    assert not _model(SklearnPredictor(LogisticRegression(max_iter=500).fit(wide, labels))).is_groupable
    assert not _model(SklearnPredictor(SGDClassifier(random_state=0).fit(wide, labels))).is_groupable
