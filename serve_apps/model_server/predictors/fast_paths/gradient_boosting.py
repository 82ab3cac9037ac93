"""scikit-learn's gradient boosting: an initial prediction, and trees that correct it."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.ensemble import GradientBoostingClassifier, GradientBoostingRegressor
from sklearn.ensemble._gradient_boosting import predict_stages

from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, Labels, all_in_float32

_LANDMARKS: Final = 200


def gradient_boosting_path(model: Any) -> FastPath | None:
    """Path of a gradient boosting whose initial prediction is the same for every row; None for any other."""
    kind = type(model)
    if kind not in (GradientBoostingClassifier, GradientBoostingRegressor):
        return None
    if not (isinstance(model.init_, str) or type(model.init_) in (DummyClassifier, DummyRegressor)):
        return None
    scores = _Stages(model)
    if kind is GradientBoostingRegressor:
        return FastPath(all_in_float32, scores, _flat, landmarks=_landmarks(model))
    return FastPath(all_in_float32, scores, Labels(model.classes_, _label_indices), _Probabilities(model), _landmarks(model))


class _Stages:
    def __init__(self, model: Any) -> None:
        self.estimators = model.estimators_
        self.learning_rate = model.learning_rate
        self.first: NDArray[Any] = model._raw_predict_init(np.zeros((1, model.n_features_in_), dtype=np.float32))

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        raw = self.first.repeat(len(rows), axis=0)
        predict_stages(self.estimators, rows, self.learning_rate, raw)
        return raw


def _label_indices(scores: NDArray[Any]) -> NDArray[Any]:
    return (scores[:, 0] >= 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)


class _Probabilities:
    def __init__(self, model: Any) -> None:
        self.loss = model._loss

    def __call__(self, scores: NDArray[Any]) -> NDArray[Any]:
        return self.loss.predict_proba(_flat(scores.copy()) if scores.shape[1] == 1 else scores.copy())


def _flat(scores: NDArray[Any]) -> NDArray[Any]:
    return scores.ravel()


def _landmarks(model: Any) -> list[tuple[int, float]]:
    roots = [estimator.tree_ for estimator in model.estimators_.ravel()[:_LANDMARKS]]
    return [(int(tree.feature[0]), float(tree.threshold[0])) for tree in roots if tree.node_count > 1]
