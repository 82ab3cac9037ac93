"""Loading a model version. The only module of the replica that imports MLflow."""

from __future__ import annotations

import logging
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import mlflow
import mlflow.artifacts
import mlflow.pyfunc
import yaml
from mlflow.exceptions import MlflowException

from serve_apps.model_server.model import Model
from serve_apps.model_server.predictors.base import Predictor
from serve_apps.model_server.predictors.pyfunc import PyfuncPredictor
from serve_apps.model_server.predictors.sklearn import SklearnPredictor
from serve_apps.model_server.schema import schema_of
from serve_apps.model_server.signature import parse_signature

_log = logging.getLogger(__name__)


def load_model(name: str, version: str, model_uri: str, mlflow_url: str) -> Model:
    """Download a model version and load it: natively where the replica knows its library, else as a Python function.

    Raises:
        RuntimeError: It does not load; the message begins with the reason and what to do about it.
    """
    started = time.perf_counter()
    mlflow.set_tracking_uri(mlflow_url)
    # Some models read their files only when they are asked. The directory lives as long as they may.
    directory = tempfile.TemporaryDirectory(prefix="raylift-model-", ignore_cleanup_errors=True)
    try:
        path = Path(mlflow.artifacts.download_artifacts(artifact_uri=model_uri, dst_path=directory.name))
        model = load_directory(name, version, path)
    except Exception as error:
        directory.cleanup()
        raise RuntimeError(_reason(name, version, error)) from error
    _keep_or_clean(directory, model, path)
    _log.info(
        "Loaded %s version %s with its %s flavour in %.2f s",
        name,
        version,
        model.predictor.flavor,
        time.perf_counter() - started,
    )
    return model


def load_directory(name: str, version: str, path: Path) -> Model:
    """Load the model whose MLmodel file lies in a directory."""
    mlmodel: dict[str, Any] = yaml.safe_load((path / "MLmodel").read_text())
    signature = parse_signature(mlmodel)
    predictor = _predictor(path, mlmodel)
    is_native = not isinstance(predictor, PyfuncPredictor)
    return Model(
        name=name,
        version=version,
        predictor=predictor,
        schema=schema_of(signature, predictor.features, is_native=is_native),
        signature=signature,
        mlflow_version=mlflow.__version__,
    )


_kept: Final[list[tempfile.TemporaryDirectory[str]]] = []


def _keep_or_clean(directory: tempfile.TemporaryDirectory[str], model: Model, path: Path) -> None:
    has_code = (path / "code").exists()
    if isinstance(model.predictor, PyfuncPredictor) or has_code:
        _kept.append(directory)
    else:
        # Replicas are killed rather than closed, so what is not needed goes now.
        directory.cleanup()


def _predictor(path: Path, mlmodel: Mapping[str, Any]) -> Predictor:
    flavors: Mapping[str, Any] = mlmodel.get("flavors", {})
    function: Mapping[str, Any] = flavors.get("python_function", {})
    native = _NATIVE.get(function.get("loader_module", ""))
    if native is not None:
        return native(str(path), function.get("predict_fn", "predict"))
    return PyfuncPredictor(mlflow.pyfunc.load_model(str(path)), (MlflowException,))


# Below, each library is imported only for its own models: a replica holds one, and imports are most of its start.


def _sklearn(path: str, predict_fn: str) -> Predictor:
    from mlflow import sklearn as flavor

    return SklearnPredictor(flavor.load_model(path), predict_fn)


def _xgboost(path: str, predict_fn: str) -> Predictor:
    import xgboost
    from mlflow import xgboost as flavor

    from serve_apps.model_server.predictors.xgboost import BoosterPredictor, XGBoostPredictor

    model = flavor.load_model(path)
    return BoosterPredictor(model) if isinstance(model, xgboost.Booster) else XGBoostPredictor(model)


def _lightgbm(path: str, predict_fn: str) -> Predictor:
    import lightgbm
    from mlflow import lightgbm as flavor

    from serve_apps.model_server.predictors.lightgbm import BoosterPredictor, LightGBMPredictor

    model: Any = flavor.load_model(path)
    return BoosterPredictor(model) if isinstance(model, lightgbm.Booster) else LightGBMPredictor(model)


_NATIVE: Final[Mapping[str, Callable[[str, str], Predictor]]] = MappingProxyType(
    {"mlflow.sklearn": _sklearn, "mlflow.xgboost": _xgboost, "mlflow.lightgbm": _lightgbm}
)


def _reason(name: str, version: str, error: Exception) -> str:
    said = " ".join(str(error).split())
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = f" The module {error.name} is missing: add the package that holds it to the job's requirements."
    elif isinstance(error, (ImportError, AttributeError)):
        hint = " The packages here differ from those the model was made with: pin them in the job's requirements."
    elif isinstance(error, FileNotFoundError):
        hint = " Its artifacts are incomplete: is there an MLmodel file among them?"
    return f"{name} version {version} does not load. {type(error).__name__}: {said}{hint}"
