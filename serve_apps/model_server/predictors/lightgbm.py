"""LightGBM: its scikit-learn API and its native boosters."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.predictors import lightgbm_path
from serve_apps.model_server.predictors.base import Batch, Features
from serve_apps.model_server.predictors.fast_path import FastPath
from serve_apps.model_server.predictors.sklearn import classes_of


class LightGBMPredictor:
    """A model of LightGBM's scikit-learn API."""

    flavor = "lightgbm"
    predicts_labels = True
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, lightgbm.basic.LightGBMError)

    def __init__(self, model: lightgbm.LGBMModel) -> None:
        self._model = model
        self._adapt = _Adapter(model.booster_)
        self.features = self._adapt.features
        self.classes = classes_of(model)

    def fast_path(self) -> FastPath | None:
        return lightgbm_path.estimator_path(self._model)

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        return self._model.predict(self._adapt(batch), num_threads=1)

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        return self._model.predict_proba(self._adapt(batch), num_threads=1)  # pyright: ignore[reportAttributeAccessIssue]


class BoosterPredictor:
    """A native booster. It answers what ``Booster.predict`` answers: for a classifier, probabilities."""

    flavor = "lightgbm"
    predicts_labels = False
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, lightgbm.basic.LightGBMError)

    def __init__(self, booster: lightgbm.Booster) -> None:
        self._booster = booster
        self._adapt = _Adapter(booster)
        self.features = self._adapt.features
        self.classes = _classes(booster)

    def fast_path(self) -> FastPath | None:
        return lightgbm_path.booster_path(self._booster)

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        return self._booster.predict(self._adapt(batch), num_threads=1)

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        predicted = np.asarray(self._booster.predict(self._adapt(batch), num_threads=1))
        return predicted if predicted.ndim == 2 else np.column_stack([1.0 - predicted, predicted])


class _Adapter:
    """Gives a booster its batch, with the categories it was trained on in the columns that had some."""

    def __init__(self, booster: lightgbm.Booster) -> None:
        names = booster.feature_name()
        unnamed = all(re.fullmatch(rf"Column_{index}", name) for index, name in enumerate(names))
        # LightGBM writes its features' names with underscores for spaces.
        self.features = Features(None if unnamed else tuple(names), len(names), spelling=lambda name: name.replace(" ", "_"))
        self._categories: list[list[Any]] = booster.pandas_categorical or []  # pyright: ignore[reportAttributeAccessIssue]
        infos = booster.dump_model(num_iteration=1)["feature_infos"]
        self._categorical = {name for name, info in infos.items() if info.get("values")}

    def __call__(self, batch: Batch) -> Batch:
        if not self._categories or not isinstance(batch, pd.DataFrame):
            return batch
        columns = [
            name
            for name in batch.columns
            if self.features.spelling(str(name)) in self._categorical or not _is_number(batch[name])
        ]
        if len(columns) != len(self._categories):
            raise ValueError(
                f"the model was trained with {len(self._categories)} categorical columns, the inputs have {len(columns)}"
            )
        # LightGBM takes a category that it has not seen for a missing value.
        typed = {
            name: pd.Categorical(batch[name].where(batch[name].isin(known)), categories=known)
            for name, known in zip(columns, self._categories, strict=True)
        }
        return batch.assign(**typed)


def _classes(booster: lightgbm.Booster) -> Sequence[int] | None:
    objective = re.search(r"^objective=(\w+)", booster.model_to_string(num_iteration=1), re.MULTILINE)
    name = objective[1] if objective else ""
    if name == "binary":
        return [0, 1]
    if name not in ("multiclass", "multiclassova"):
        return None
    return list(range(booster.num_model_per_iteration()))


def _is_number(values: Any) -> bool:
    return pd.api.types.is_numeric_dtype(values)
