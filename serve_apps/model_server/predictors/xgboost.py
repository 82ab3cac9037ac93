"""Predictors of XGBoost: its scikit-learn API and its native boosters."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
import pandas as pd
import xgboost
from numpy.typing import NDArray

from serve_apps.model_server.inputs.features import Batch, Features
from serve_apps.model_server.predictors.fast_paths import xgboost as xgboost_path
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, both_classes
from serve_apps.model_server.predictors.records.xgboost import features_of
from serve_apps.model_server.predictors.sklearn import classes_of, single_threaded

_BINARY: Final = "binary:logistic"
_MULTICLASS: Final = "multi:softprob"


class XGBoostPredictor:
    """A model of XGBoost's scikit-learn API."""

    flavor = "xgboost"
    predicts_labels = True
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, xgboost.core.XGBoostError)

    def __init__(self, model: xgboost.XGBModel) -> None:
        single_threaded(model)
        booster = model.get_booster()
        booster.set_param({"nthread": 1})
        self._model = model
        self.features = features_of(booster)
        self.classes = classes_of(model)

    def fast_path(self) -> FastPath | None:
        return xgboost_path.estimator_path(self._model)

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        return self._model.predict(self._rows(batch), **_only(params, ("output_margin", "iteration_range", "base_margin")))

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        return self._model.predict_proba(self._rows(batch))  # pyright: ignore[reportAttributeAccessIssue]

    def _rows(self, batch: Batch) -> Batch:
        return _as_trained_on(batch, self.features)


class BoosterPredictor:
    """A native booster. It predicts as ``Booster.predict`` does: probabilities for a classifier."""

    flavor = "xgboost"
    predicts_labels = False
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, xgboost.core.XGBoostError)

    def __init__(self, booster: xgboost.Booster) -> None:
        booster.set_param({"nthread": 1})
        self._booster = booster
        self.features = features_of(booster)
        learner = json.loads(booster.save_config())["learner"]
        self._objective: str = learner["objective"]["name"]
        self.classes = _classes(self._objective, int(learner["learner_model_param"]["num_class"]))

    def fast_path(self) -> FastPath | None:
        return xgboost_path.booster_path(self._booster, None if self.classes is None else len(self.classes))

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        options = _only(
            params, ("output_margin", "pred_leaf", "pred_contribs", "pred_interactions", "iteration_range", "strict_shape")
        )
        return self._booster.predict(self._matrix(batch), **options)

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        predicted = self._booster.predict(self._matrix(batch))
        return predicted if self._objective == _MULTICLASS else both_classes(predicted.astype(np.float64))

    def _matrix(self, batch: Batch) -> xgboost.DMatrix:
        types = self._booster.feature_types or []
        # The library reads codes as categories only with these arguments.
        categorical = {"feature_types": types, "enable_categorical": True} if "c" in types else {}
        return xgboost.DMatrix(_as_trained_on(batch, self.features), nthread=1, **categorical)


def _as_trained_on(batch: Batch, features: Features) -> Batch:
    """The batch as an array if the model was trained on one: a frame's names would be refused."""
    return batch.to_numpy() if features.names is None and isinstance(batch, pd.DataFrame) else batch


def _classes(objective: str, count: int) -> Sequence[int] | None:
    if objective == _BINARY:
        return [0, 1]
    return list(range(count)) if objective == _MULTICLASS else None


def _only(params: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: value for name, value in params.items() if name in names}
