"""Reads models of the flavours that have a predictor of their own, as MLflow's loaders do, without importing MLflow.

What is written in a way that is not known here is left to MLflow's loader (``Unknown``).
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


class Unknown(Exception):
    """Only MLflow knows how to load this one."""


def read_sklearn(path: Path, flavor: Mapping[str, Any]) -> Any:
    """A scikit-learn estimator.

    Raises:
        Unknown: see there.
    """
    return _unpickle(path / _known(flavor, "pickled_model"), flavor, flavor.get("serialization_format", "pickle"))


def read_xgboost(path: Path, flavor: Mapping[str, Any]) -> Any:
    """A booster, or a model of XGBoost's scikit-learn interface.

    Raises:
        Unknown: see there.
    """
    module, _, name = str(flavor.get("model_class", "xgboost.core.Booster")).rpartition(".")
    if not module.startswith(_XGBOOST_CLASSES):
        raise Unknown(f"its class is {module}.{name}")
    model = getattr(importlib.import_module(module), name)()
    model.load_model(str(path / _known(flavor, "data")))
    return model


def read_lightgbm(path: Path, flavor: Mapping[str, Any]) -> Any:
    """A booster, or a model of LightGBM's scikit-learn interface.

    Raises:
        Unknown: see there.
    """
    file = path / _known(flavor, "data")
    if flavor.get("model_class", _LIGHTGBM_BOOSTER) != _LIGHTGBM_BOOSTER:
        return _unpickle(file, flavor, flavor.get("serialization_format", "cloudpickle"))
    import lightgbm

    return lightgbm.Booster(model_file=str(file))


def _known(flavor: Mapping[str, Any], data: str) -> str:
    """The name of the model's file."""
    if flavor.get("code"):
        raise Unknown("it brings code of its own")
    if not isinstance(flavor.get(data), str):
        raise Unknown(f"its MLmodel file does not say {data}")
    return flavor[data]


def _unpickle(file: Path, flavor: Mapping[str, Any], how: str) -> Any:
    for variable in _ALLOW_PICKLE:
        if os.getenv(variable, "true").lower() not in {"true", "1"}:  # noqa: TID251
            raise Unknown(f"{variable} is set")
    if how == "skops":
        import skops.io

        return skops.io.load(file, trusted=flavor.get("skops_trusted_types"))
    if how not in {"pickle", "cloudpickle"}:
        raise Unknown(f"its serialization_format is {how}")
    with file.open("rb") as stream:
        # What cloudpickle wrote says by itself where it needs cloudpickle.
        return pickle.load(stream)  # noqa: S301 - a model is code; it runs in a process of its own
