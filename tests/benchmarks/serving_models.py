"""The models of the serving benchmark, made once in the cache: 20 features, two classes."""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from mlflow import lightgbm as mlflow_lightgbm
from mlflow import sklearn as mlflow_sklearn
from mlflow import xgboost as mlflow_xgboost
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

FEATURES = 20
COLUMNS = [f"c{number}" for number in range(FEATURES)]
FRAME = "lr-frame"
"""The logistic regression as most are logged: trained on a frame, with a signature of named columns."""
_flavors: Any = {"lightgbm": mlflow_lightgbm, "xgboost": mlflow_xgboost}

MODELS: dict[str, Callable[[], Any]] = {
    "lr": lambda: LogisticRegression(max_iter=1000),
    FRAME: lambda: LogisticRegression(max_iter=1000),
    "rf": lambda: RandomForestClassifier(100, random_state=0),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=100, verbose=-1, random_state=0),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=100, random_state=0),
}


def make(name: str, cache: Path) -> Path:
    """The directory of a model: ``model.joblib`` (the estimator), ``native`` (a booster's own file), ``mlflow/``."""
    directory = cache / "models" / name
    if (directory / "mlflow").exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    features, labels = make_classification(5000, FEATURES, n_informative=10, random_state=0)
    model = MODELS[name]().fit(_table(name, features), labels)
    joblib.dump(model, directory / "model.joblib")
    if name == "lightgbm":
        model.booster_.save_model(directory / "model.bst")
    if name == "xgboost":
        model.get_booster().save_model(directory / "model.json")
    options = _options(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        flavor: Any = _flavors.get(name, mlflow_sklearn)
        flavor.save_model(model, str(directory / "mlflow"), pip_requirements=[], **options)
    return directory


def register(name: str, directory: Path, mlflow_url: str) -> None:
    """Register a model with the platform's MLflow as version 1 of its name."""
    model = joblib.load(directory / "model.joblib")
    mlflow.set_tracking_uri(mlflow_url)
    flavor: Any = _flavors.get(name, mlflow_sklearn)
    options = _options(name)
    with warnings.catch_warnings(), mlflow.start_run():
        warnings.simplefilter("ignore")
        flavor.log_model(model, name="model", registered_model_name=name, pip_requirements=[], **options)


def _table(name: str, features: Any) -> Any:
    return pd.DataFrame(features, columns=COLUMNS) if name == FRAME else features


def _options(name: str) -> dict[str, Any]:
    if name in _flavors:
        return {}
    example = {"input_example": _table(name, np.zeros((2, FEATURES)))} if name == FRAME else {}
    return {"serialization_format": "cloudpickle", **example}
