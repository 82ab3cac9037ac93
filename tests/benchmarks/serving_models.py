"""Models of the serving benchmark, made once in the cache: two classes, from 20 numbers or from a table of mixed columns."""

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
from sklearn.compose import ColumnTransformer
from sklearn.datasets import make_classification
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

FEATURES = 20
COLUMNS = [f"c{number}" for number in range(FEATURES)]
FRAME = "lr-frame"
"""A logistic regression as most are logged: trained on a frame, with a signature of named columns."""
PIPELINES = ("pipeline", "pipeline-lr")
"""The most common table models: numbers imputed and scaled, text one-hot encoded, then a model. Trained on a frame."""
NUMBERS = ["age", "income", "balance", "visits", "tenure", "rating"]
TEXTS: dict[str, list[str]] = {
    "city": ["Bonn", "Köln", "Ulm", "Jena", "Kiel"],
    "plan": ["basic", "plus", "pro"],
    "channel": ["web", "shop", "phone", "mail"],
}
_flavors: Any = {"lightgbm": mlflow_lightgbm, "xgboost": mlflow_xgboost}

MODELS: dict[str, Callable[[], Any]] = {
    "lr": lambda: LogisticRegression(max_iter=1000),
    FRAME: lambda: LogisticRegression(max_iter=1000),
    "rf": lambda: RandomForestClassifier(100, random_state=0),
    "lightgbm": lambda: lightgbm.LGBMClassifier(n_estimators=100, verbose=-1, random_state=0),
    "xgboost": lambda: xgboost.XGBClassifier(n_estimators=100, random_state=0),
    "pipeline": lambda: make_pipeline(_columns(), HistGradientBoostingClassifier(random_state=0)),
    "pipeline-lr": lambda: make_pipeline(_columns(), LogisticRegression(max_iter=1000)),
}


def make(name: str, cache: Path) -> Path:
    """The directory of a model: ``model.joblib`` (the estimator), ``native`` (a booster's own file), ``mlflow/``."""
    directory = cache / "models" / name
    if (directory / "mlflow").exists():
        return directory
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    model = MODELS[name]().fit(*training(name))
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
    """Register a model with the platform's MLflow as version 1."""
    model = joblib.load(directory / "model.joblib")
    mlflow.set_tracking_uri(mlflow_url)
    flavor: Any = _flavors.get(name, mlflow_sklearn)
    options = _options(name)
    with warnings.catch_warnings(), mlflow.start_run():
        warnings.simplefilter("ignore")
        flavor.log_model(model, name="model", registered_model_name=name, pip_requirements=[], **options)


def sample(name: str, count: int, seed: int) -> list[Any]:
    """Rows of a request: lists of numbers, or records for a pipeline."""
    random = np.random.default_rng(seed)
    if name in PIPELINES:
        return _mixed(count, random).to_dict("records")
    return (random.standard_normal((count, FEATURES)) * random.choice([0.1, 1.0, 10.0], (count, 1))).round(6).tolist()


def batch(name: str, rows: list[Any]) -> Any:
    """The same rows in the form that the library takes."""
    return pd.DataFrame(rows) if name in PIPELINES else np.array(rows)


def training(name: str) -> tuple[Any, Any]:
    if name in PIPELINES:
        table = _mixed(5000, np.random.default_rng(0))
        labels = (table["income"] > 30_000) ^ (table["city"].isin(["Ulm", "Kiel"]) & (table["age"] > 35))
        table.loc[::9, "age"] = np.nan
        return table, labels.astype(int)
    features, labels = make_classification(5000, FEATURES, n_informative=10, random_state=0)
    return (pd.DataFrame(features, columns=COLUMNS) if name == FRAME else features), labels


def _columns() -> ColumnTransformer:
    numbers = make_pipeline(SimpleImputer(strategy="median"), StandardScaler())
    texts = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
    return ColumnTransformer([("numbers", numbers, NUMBERS), ("texts", texts, list(TEXTS))])


def _mixed(count: int, random: np.random.Generator) -> pd.DataFrame:
    columns: dict[str, Any] = {name: random.normal(40, 12, count).round(2) for name in NUMBERS}
    columns["income"] = random.lognormal(10, 1, count).round(2)
    columns["visits"] = random.integers(0, 50, count)
    return pd.DataFrame(columns | {name: random.choice(values, count) for name, values in TEXTS.items()})


def _options(name: str) -> dict[str, Any]:
    if name in _flavors:
        return {}
    example: dict[str, Any] = {}
    if name == FRAME:
        example = {"input_example": pd.DataFrame(np.zeros((2, FEATURES)), columns=COLUMNS)}
    elif name in PIPELINES:
        example = {"input_example": training(name)[0].iloc[1:3]}
    return {"serialization_format": "cloudpickle", **example}
