"""The models of the soak test: several flavours with several versions each, and the libraries' own answers to its inputs."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import xgboost
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

FEATURES = 8
COLUMNS = [f"f{number}" for number in range(FEATURES)]
SMALL, MEDIUM, LARGE = 1, 40, 3000
"""Rows of a request. The largest makes half a megabyte."""
VERSIONS = 5

_NAMED = frozenset({"line", "xgboost", "lightgbm", "function"})
"""Models with named columns."""


@dataclass(frozen=True)
class Inputs:
    """The rows of one request, in the forms that the routes take."""

    rows: list[list[float]]
    name: str

    @property
    def frame(self) -> pd.DataFrame:
        return pd.DataFrame(self.rows, columns=COLUMNS)


@dataclass(frozen=True)
class Expected:
    predictions: list[Any]
    probabilities: list[list[float]] | None


@dataclass
class SoakModel:
    name: str
    artifacts: list[Any]
    """Models that MLflow logged. Version n is at index n - 1."""
    expected: list[dict[str, Expected]]
    """Answers of the library, by version and by the name of the inputs."""
    registered: int = 0
    answering: list[str] = field(default_factory=list[str])
    """Versions that are deployed and ready. Requests may name them."""

    @property
    def is_named(self) -> bool:
        return self.name in _NAMED


def _function(factor: float) -> Any:
    class Function(mlflow.pyfunc.PythonModel):
        """Defined here so that it is pickled whole: a replica cannot import the tests."""

        def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
            return model_input["f0"] * factor + model_input["f1"]

    return Function()


_MAKE: dict[str, Callable[[int], Any]] = {
    "line": lambda seed: LogisticRegression(C=0.1 + seed),
    "forest": lambda seed: RandomForestClassifier(20, random_state=seed),
    "xgboost": lambda seed: xgboost.XGBClassifier(n_estimators=20 + seed, random_state=seed),
    "lightgbm": lambda seed: lightgbm.LGBMClassifier(n_estimators=20 + seed, random_state=seed, verbose=-1),
    "function": lambda seed: _function(1.0 + seed),
}


def inputs() -> dict[str, Inputs]:
    """Several inputs of each size, by name."""
    rng = np.random.default_rng(7)
    sizes = [SMALL] * 24 + [MEDIUM] * 4 + [LARGE]
    made = (Inputs(rng.random((rows, FEATURES)).tolist(), f"{rows} rows, {number}") for number, rows in enumerate(sizes))
    return {one.name: one for one in made}


def models(asked: dict[str, Inputs]) -> list[SoakModel]:
    """Train and log all versions of all models. Registers none."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.random((400, FEATURES)), columns=COLUMNS)
    made: list[SoakModel] = []
    for name in _MAKE:
        versions = [_version(name, seed, frame, asked, rng) for seed in range(VERSIONS)]
        made.append(SoakModel(name, [artifact for artifact, _ in versions], [expected for _, expected in versions]))
    return made


def _version(
    name: str, seed: int, frame: pd.DataFrame, asked: dict[str, Inputs], rng: np.random.Generator
) -> tuple[Any, dict[str, Expected]]:
    target = rng.integers(0, 2, len(frame))
    features: Any = frame if name in _NAMED else frame.to_numpy()
    model = _MAKE[name](seed)
    if name == "function":
        signature = mlflow.models.infer_signature(frame, frame["f0"])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            artifact = mlflow.pyfunc.log_model(name=name, python_model=model, signature=signature, pip_requirements=[])
    else:
        model.fit(features, target)
        flavor: Any = {"xgboost": mlflow.xgboost, "lightgbm": mlflow.lightgbm}.get(name, mlflow.sklearn)
        options = {"serialization_format": "cloudpickle"} if flavor is mlflow.sklearn else {}
        signature = mlflow.models.infer_signature(features, target)
        artifact = flavor.log_model(model, name=name, signature=signature, pip_requirements=[], **options)
    return artifact, {key: _answer(model, name, one) for key, one in asked.items()}


def _answer(model: Any, name: str, asked: Inputs) -> Expected:
    given: Any = asked.frame if name in _NAMED else asked.frame.to_numpy()
    if name == "function":
        return Expected(model.predict(None, given).tolist(), None)
    return Expected(model.predict(given).tolist(), model.predict_proba(given).astype(float).tolist())
