"""Models of every library with a predictor of its own, fitted on a random table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, OrdinalEncoder, StandardScaler

from serve_apps.model_server.predictors.base import Predictor
from serve_apps.model_server.predictors.lightgbm import LightGBMPredictor
from serve_apps.model_server.predictors.sklearn import SklearnPredictor
from serve_apps.model_server.predictors.xgboost import XGBoostPredictor
from tests.unit.model_server.drawn_tables import CATEGORIES, NULLABLE, NUMERIC, TEXT, TIMES


@dataclass(frozen=True)
class Family:
    """Models that are made, fitted and called alike."""

    kinds: tuple[str, ...]
    """Kinds of columns that the models take."""
    make: Callable[[pd.DataFrame], Any]
    predictor: Callable[[Any], Predictor]
    is_classifier: bool = False


def _seconds(frame: pd.DataFrame) -> Any:
    """Times as integers in a unit of their own, as many scripts make them."""
    return np.column_stack([frame[name].astype("int64").to_numpy() / 1e6 for name in frame.columns])


def _pipeline(final: Any, *, sparse_threshold: float = 0.3) -> Callable[[pd.DataFrame], Any]:
    def make(frame: pd.DataFrame) -> Any:
        parts: list[tuple[str, Any, list[str]]] = []
        for name in frame.columns:
            column = frame[name]
            if column.dtype.kind == "M":
                parts.append((name, FunctionTransformer(_seconds), [name]))
            elif isinstance(column.dtype, pd.CategoricalDtype):
                parts.append(
                    (
                        name,
                        OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-9, encoded_missing_value=-1),
                        [name],
                    )
                )
            elif column.dtype == object or isinstance(column.dtype, pd.StringDtype):
                parts.append((name, make_pipeline(_text_imputer(column), OneHotEncoder(handle_unknown="ignore")), [name]))
            else:
                parts.append((name, make_pipeline(SimpleImputer(), StandardScaler()), [name]))
        return make_pipeline(ColumnTransformer(parts, sparse_threshold=sparse_threshold), final())

    return make


def _text_imputer(column: Any) -> Any:
    missing: Any = next((value for value in column if pd.isna(value)), np.nan)
    return SimpleImputer(missing_values=missing, strategy="constant", fill_value="gone")


_XGBOOST: dict[str, Any] = {"n_estimators": 5, "max_depth": 3, "enable_categorical": True, "n_jobs": 1}
_LIGHTGBM: dict[str, Any] = {
    "n_estimators": 5,
    "min_child_samples": 2,
    "min_data_per_group": 1,
    "cat_smooth": 0.1,
    "verbose": -1,
    "n_jobs": 1,
}
_HISTOGRAM: dict[str, Any] = {"max_iter": 5, "min_samples_leaf": 2}
_CODED = (*NUMERIC, *CATEGORIES)
_PLAIN = tuple(kind for kind in NUMERIC if kind not in ("gaps", "float32"))
_WIDE = tuple(kind for kind in NUMERIC if kind != "float32")
"""pandas turns a frame of float32 into a read-only array, which scikit-learn's forests refuse."""
_BOOSTERS = (*NUMERIC, *NULLABLE, *CATEGORIES)
_XGBOOST_KINDS = tuple(kind for kind in _BOOSTERS if kind != "numbered")
"""XGBoost does not train on categories of pandas' nullable integers."""
_TABLES = (*NUMERIC, *CATEGORIES, *TEXT, *TIMES)

FAMILIES: dict[str, Family] = {
    "linear": Family(_PLAIN, lambda _: LinearRegression(), SklearnPredictor),
    "logistic": Family(
        ("bool", "int8", "float64"), lambda _: make_pipeline(StandardScaler(), LogisticRegression()), SklearnPredictor, True
    ),
    "forest": Family(_WIDE, lambda _: RandomForestRegressor(8, random_state=0), SklearnPredictor),
    "forest of classes": Family(_WIDE, lambda _: RandomForestClassifier(8, random_state=0), SklearnPredictor, True),
    "histogram": Family(
        (*NUMERIC, *CATEGORIES), lambda _: HistGradientBoostingRegressor(max_iter=5, min_samples_leaf=2), SklearnPredictor
    ),
    "histogram of classes": Family(
        (*NUMERIC, *CATEGORIES),
        lambda _: HistGradientBoostingClassifier(max_iter=5, min_samples_leaf=2),
        SklearnPredictor,
        True,
    ),
    "xgboost": Family(_XGBOOST_KINDS, lambda _: xgboost.XGBRegressor(**_XGBOOST), XGBoostPredictor),
    "xgboost of classes": Family(_XGBOOST_KINDS, lambda _: xgboost.XGBClassifier(**_XGBOOST), XGBoostPredictor, True),
    "lightgbm": Family(_BOOSTERS, lambda _: lightgbm.LGBMRegressor(**_LIGHTGBM), LightGBMPredictor),
    "lightgbm of classes": Family(_BOOSTERS, lambda _: lightgbm.LGBMClassifier(**_LIGHTGBM), LightGBMPredictor, True),
    "pipeline, linear": Family(_TABLES, _pipeline(LinearRegression), SklearnPredictor),
    "pipeline, logistic": Family(_TABLES, _pipeline(LogisticRegression), SklearnPredictor, True),
    "pipeline, histogram": Family(
        # Histogram gradient boosting takes no sparse matrix.
        _TABLES,
        _pipeline(lambda: HistGradientBoostingRegressor(**_HISTOGRAM), sparse_threshold=0.0),
        SklearnPredictor,
    ),
}
