"""Loads models of the flavours with a native predictor as MLflow does, without importing MLflow.

Models saved in an unknown way are left to MLflow's loader (``UnknownFormat``).
"""

from __future__ import annotations

import importlib
import os
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

_ALLOW_PICKLE: Final = ("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "MLFLOW_ALLOW_MODEL_CODE_EXECUTION")
"""MLflow's own settings, which its loaders read too. The second one is new in MLflow 3.18 and replaces the first."""
_XGBOOST_CLASSES: Final = "xgboost."
_LIGHTGBM_BOOSTER: Final = "lightgbm.basic.Booster"


class UnknownFormat(Exception):
    """The model can only be loaded by MLflow."""


def read_sklearn(path: Path, flavor: Mapping[str, Any]) -> Any:
    """Load a scikit-learn estimator.

    Raises:
        UnknownFormat: It must be loaded by MLflow.
    """
    return _unpickle(path / _data_file(flavor, "pickled_model"), flavor, flavor.get("serialization_format", "pickle"))


def read_xgboost(path: Path, flavor: Mapping[str, Any]) -> Any:
    """Load a booster or a model of XGBoost's scikit-learn interface.

    Raises:
        UnknownFormat: It must be loaded by MLflow.
    """
    module, _, name = str(flavor.get("model_class", "xgboost.core.Booster")).rpartition(".")
    if not module.startswith(_XGBOOST_CLASSES):
        raise UnknownFormat(f"its class is {module}.{name}")
    model = getattr(importlib.import_module(module), name)()
    model.load_model(str(path / _data_file(flavor, "data")))
    return model


def read_lightgbm(path: Path, flavor: Mapping[str, Any]) -> Any:
    """Load a booster or a model of LightGBM's scikit-learn interface.

    Raises:
        UnknownFormat: It must be loaded by MLflow.
    """
    file = path / _data_file(flavor, "data")
    if flavor.get("model_class", _LIGHTGBM_BOOSTER) != _LIGHTGBM_BOOSTER:
        return _unpickle(file, flavor, flavor.get("serialization_format", "cloudpickle"))
    import lightgbm

    return lightgbm.Booster(model_file=str(file))


def _data_file(flavor: Mapping[str, Any], data: str) -> str:
    """Name of the model's file."""
    if flavor.get("code"):
        raise UnknownFormat("it brings code of its own")
    if not isinstance(flavor.get(data), str):
        raise UnknownFormat(f"its MLmodel file does not say {data}")
    return flavor[data]


def _unpickle(file: Path, flavor: Mapping[str, Any], how: str) -> Any:
    for variable in _ALLOW_PICKLE:
        if os.getenv(variable, "true").lower() not in {"true", "1"}:  # noqa: TID251
            raise UnknownFormat(f"{variable} is set")
    if how == "skops":
        import skops.io

        return skops.io.load(file, trusted=flavor.get("skops_trusted_types"))
    if how not in {"pickle", "cloudpickle"}:
        raise UnknownFormat(f"its serialization_format is {how}")
    with file.open("rb") as stream:
        # Data of cloudpickle names cloudpickle where it needs it.
        return pickle.load(stream)  # noqa: S301 - a model is code and runs in its own process
