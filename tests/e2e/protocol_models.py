"""The models of the protocol tests: one of each flavour, logged with an input example."""

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
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from raylift import Client, NotFound

PICKLED = {"serialization_format": "cloudpickle"}
_IRIS: Any = load_iris()
ROWS: Any = _IRIS.data[::30]
PEOPLE = pd.DataFrame({"age": [23, 45, 31, 60], "city": ["Rome", "Oslo", "Rome", "Bonn"]})


class Echo(PythonModel):
    """Returns the frame of the request."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return model_input


class Scale(PythonModel):
    """Returns the column ``x`` times the parameter ``factor``."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return (model_input["x"] * (params or {})["factor"]).to_numpy()


@dataclass(frozen=True)
class Logged:
    """A model, the function that logs it, and its input example."""

    log: Callable[..., Any]
    model: Any
    example: Any
    options: dict[str, Any] = field(default_factory=dict[str, Any])

    def expected(self, inputs: Any) -> Any:
        """The library's own answer."""
        return self.model.predict(inputs)


def models() -> dict[str, Logged]:
    """The models by name: scikit-learn on arrays and frames, XGBoost, LightGBM, and functions with and without a signature."""
    linear = LogisticRegression(max_iter=500).fit(_IRIS.data, _IRIS.target)
    pipeline: Any = make_pipeline(
        ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough"), LogisticRegression()
    )
    pipeline.fit(PEOPLE, ["no", "yes", "no", "yes"])
    booster = xgboost.XGBClassifier(n_estimators=5).fit(_IRIS.data, _IRIS.target)
    light = lightgbm.LGBMRegressor(n_estimators=5, verbose=-1).fit(_IRIS.data, _IRIS.target)
    scaled = pd.DataFrame({"x": [1.0, 2.0]})
    signature = infer_signature(scaled, np.array([1.0]), params={"factor": 2.0})
    return {
        "iris": Logged(mlflow.sklearn.log_model, linear, ROWS, PICKLED),
        "people": Logged(mlflow.sklearn.log_model, pipeline, PEOPLE, PICKLED),
        "boosted": Logged(mlflow.xgboost.log_model, booster, ROWS),
        "light": Logged(mlflow.lightgbm.log_model, light, ROWS),
        "scale": Logged(mlflow.pyfunc.log_model, Scale(), scaled, {"signature": signature}),
        "echo": Logged(mlflow.pyfunc.log_model, Echo(), None),
    }


@dataclass(frozen=True)
class Served:
    """The models of ``protocol_models`` behind a platform."""

    url: str
    prefix: str
    models: dict[str, Logged]

    def name(self, model: str) -> str:
        return f"{self.prefix}-{model}"

    def expected(self, model: str, inputs: Any) -> Any:
        return self.models[model].expected(inputs)


def register(models: dict[str, Logged], prefix: str, mlflow_url: str) -> None:
    """Log and register each model as the next version of ``{prefix}-{name}``, with MLflow's own client only."""
    former = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(mlflow_url)
    try:
        # Not ``set_experiment``: it sets MLFLOW_EXPERIMENT_ID for this process and all its children.
        found = mlflow.get_experiment_by_name(prefix)
        experiment = found.experiment_id if found else mlflow.create_experiment(prefix)
        for name, logged in models.items():
            with mlflow.start_run(experiment_id=experiment), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                what = {"python_model": logged.model} if logged.log is mlflow.pyfunc.log_model else {}
                positional = () if what else (logged.model,)
                if logged.example is not None:
                    what["input_example"] = logged.example
                logged.log(
                    *positional,
                    name="model",
                    registered_model_name=f"{prefix}-{name}",
                    pip_requirements=[],
                    **what,
                    **logged.options,
                )
    finally:
        mlflow.set_tracking_uri(former)


def is_found(client: Client, name: str, version: str) -> bool:
    """Tell whether the supervisor has found the version in MLflow's registry."""
    try:
        client.deployments.get(name, version)
    except NotFound:
        return False
    return True
