"""Predictor of scikit-learn models and of those with its interface."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from serve_apps.model_server.inputs.features import Batch, Features
from serve_apps.model_server.predictors.cannot_answer import lacks_method
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath
from serve_apps.model_server.predictors.records.sklearn import trained_columns

if TYPE_CHECKING:
    from serve_apps.model_server.predictors.fast_paths.column_stages import ColumnStages


class SklearnPredictor:
    flavor = "sklearn"
    predicts_labels = True
    refusals: tuple[type[Exception], ...] = (ValueError, TypeError, KeyError, IndexError)

    def __init__(self, model: Any, predict_fn: str = "predict") -> None:
        """``predict_fn`` is the method that MLflow's ``predict`` calls, as chosen when the model was logged."""
        if not hasattr(model, predict_fn):
            raise lacks_method(model, predict_fn)
        single_threaded(model)
        self._model = model
        self._predict = getattr(model, predict_fn)
        self.features = features_of(model)
        self.classes = classes_of(model)
        self._has_own_predict = predict_fn == "predict"

    @property
    def estimator(self) -> Any:
        """The library's object."""
        return self._model

    def fast_path(self) -> FastPath | None:
        return fast_path_of(self._model) if self._has_own_predict else None

    def column_stages(self) -> ColumnStages | None:
        return stages_of(self._model) if self._has_own_predict else None

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        return self._predict(batch)

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        return self._model.predict_proba(batch)


def fast_path_of(model: Any) -> FastPath | None:
    """Fast path of a model of a library's own class; None for subclasses, whose behaviour is unknown."""
    # Each family is imported only for its own models: scikit-learn's packages take long to import.
    match type(model).__module__.split(".")[:2]:
        case ["sklearn", "linear_model" | "svm"] if hasattr(model, "coef_"):
            from serve_apps.model_server.predictors.fast_paths.linear import linear_path

            return linear_path(model)
        case ["sklearn", "tree"]:
            from serve_apps.model_server.predictors.fast_paths.trees import tree_path

            return tree_path(model)
        case ["sklearn", "ensemble"]:
            from serve_apps.model_server.predictors.fast_paths.gradient_boosting import gradient_boosting_path
            from serve_apps.model_server.predictors.fast_paths.hist_gradient_boosting import hist_gradient_boosting_path
            from serve_apps.model_server.predictors.fast_paths.trees import tree_path

            return tree_path(model) or gradient_boosting_path(model) or hist_gradient_boosting_path(model)
        case ["sklearn", "pipeline"]:
            from serve_apps.model_server.predictors.fast_paths.pipelines import pipeline_path

            return pipeline_path(model, fast_path_of)
        case ["sklearn", "model_selection"] if hasattr(model, "best_estimator_"):
            return fast_path_of(model.best_estimator_)
        case ["xgboost", *_] if hasattr(model, "get_booster"):
            from serve_apps.model_server.predictors.fast_paths import xgboost

            return xgboost.estimator_path(model)
        case ["lightgbm", *_] if hasattr(model, "booster_"):
            from serve_apps.model_server.predictors.fast_paths import lightgbm

            return lightgbm.estimator_path(model)
        case _:
            return None


def stages_of(model: Any) -> ColumnStages | None:
    """Stages of a model that begins with a ColumnTransformer; None for any other."""
    match type(model).__module__.split(".")[:2]:
        case ["sklearn", "model_selection"] if hasattr(model, "best_estimator_"):
            return stages_of(model.best_estimator_)
        case ["sklearn", "pipeline" | "ensemble"]:
            from serve_apps.model_server.predictors.fast_paths.column_stages import column_stages_of

            return column_stages_of(model, fast_path_of)
        case _:
            return None


def features_of(model: Any) -> Features:
    names = getattr(model, "feature_names_in_", None)
    if names is not None:
        return Features(tuple(str(name) for name in names), len(names), records=lambda _: trained_columns(model))
    count = getattr(model, "n_features_in_", None)
    return Features(None, None if count is None else int(count))


def classes_of(model: Any) -> Sequence[Any] | None:
    """Classes of a classifier with probabilities; None for other models and for several outputs."""
    classes = getattr(model, "classes_", None)
    if classes is None or not hasattr(model, "predict_proba"):
        return None
    array = np.asarray(classes) if not isinstance(classes, list) else None
    return None if array is None or array.ndim != 1 else array.tolist()


def single_threaded(model: Any) -> None:
    """Make a model predict on one thread: starting threads takes longer than a row, and a replica has a fraction of a CPU.

    Predictions stay equal bit by bit.
    """
    for estimator in estimators_in(model):
        if getattr(estimator, "n_jobs", None) not in (None, 1):
            estimator.n_jobs = 1


def estimators_in(model: Any) -> Iterator[Any]:
    """A model and the estimators inside it: steps of pipelines, members of ensembles, the best of a search."""
    return _estimators(model, set())


def _estimators(value: Any, seen: set[int]) -> Iterator[Any]:
    if id(value) in seen:
        return
    if isinstance(value, (list, tuple)):
        seen.add(id(value))
        for item in value:  # pyright: ignore[reportUnknownVariableType]
            yield from _estimators(item, seen)
    elif hasattr(value, "get_params") and hasattr(value, "__dict__"):
        seen.add(id(value))
        yield value
        for item in list(vars(value).values()):
            yield from _estimators(item, seen)
