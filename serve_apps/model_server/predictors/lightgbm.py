"""Predictors of LightGBM: its scikit-learn API and its native boosters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
from numpy.typing import NDArray

from serve_apps.model_server.inputs.features import Batch
from serve_apps.model_server.predictors.fast_paths import lightgbm as lightgbm_path
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, both_classes
from serve_apps.model_server.predictors.records.lightgbm import features_of
from serve_apps.model_server.predictors.sklearn import classes_of


class LightGBMPredictor:
    """A model of LightGBM's scikit-learn API."""

    flavor = "lightgbm"
    predicts_labels = True
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, lightgbm.basic.LightGBMError)

    def __init__(self, model: lightgbm.LGBMModel) -> None:
        self._model = model
        self.features = features_of(model.booster_)
        self.classes = classes_of(model)

    def fast_path(self) -> FastPath | None:
        return lightgbm_path.estimator_path(self._model)

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        return self._model.predict(batch, num_threads=1)

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        return self._model.predict_proba(batch, num_threads=1)  # pyright: ignore[reportAttributeAccessIssue]


class BoosterPredictor:
    """A native booster. It predicts as ``Booster.predict`` does: probabilities for a classifier."""

    flavor = "lightgbm"
    predicts_labels = False
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, lightgbm.basic.LightGBMError)

    def __init__(self, booster: lightgbm.Booster) -> None:
        self._booster = booster
        self.features = features_of(booster)
        self.classes = _classes(booster)

    def fast_path(self) -> FastPath | None:
        return lightgbm_path.booster_path(self._booster)

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        return self._booster.predict(batch, num_threads=1)

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        return both_classes(np.asarray(self._booster.predict(batch, num_threads=1)))


def _classes(booster: lightgbm.Booster) -> Sequence[int] | None:
    objective = re.search(r"^objective=(\w+)", booster.model_to_string(num_iteration=1), re.MULTILINE)
    name = objective[1] if objective else ""
    if name == "binary":
        return [0, 1]
    if name not in ("multiclass", "multiclassova"):
        return None
    return list(range(booster.num_model_per_iteration()))
