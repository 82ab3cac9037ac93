"""Loads a model version. The only module of the replica that imports MLflow, and only for models that need it."""

from __future__ import annotations

import logging
import os
import tempfile
import time
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version as version_of_package
from pathlib import Path
from typing import Any, Final

import yaml

from job_entrypoints.tracking.numerics import numerics
from raylift.domain.models.files import NOT_AS_REGISTERED, difference
from raylift.domain.models.replica import CANNOT_ANSWER
from raylift.engines.model_files.digests import download
from serve_apps.model_server.inputs.features import UnknownTable
from serve_apps.model_server.inputs.schema import schema_of
from serve_apps.model_server.inputs.signature import parse_signature
from serve_apps.model_server.inputs.training_table import read_reference, read_training_table
from serve_apps.model_server.loading.examples import logged_example
from serve_apps.model_server.loading.fast_path_check import accelerated
from serve_apps.model_server.loading.input_kind import with_input_kind
from serve_apps.model_server.loading.native_flavors import UnknownFormat, read_lightgbm, read_sklearn, read_xgboost
from serve_apps.model_server.loading.numerics import other_numerics
from serve_apps.model_server.model import Model
from serve_apps.model_server.predictors.base import Predictor
from serve_apps.model_server.predictors.cannot_answer import CannotAnswer
from serve_apps.model_server.predictors.pyfunc import PyfuncPredictor
from serve_apps.model_server.predictors.sklearn import SklearnPredictor

_log = logging.getLogger(__name__)

_SKLEARN: Final = "sklearn"


class _Changed(Exception):
    """The version's files are not those that were registered."""


def load_model(name: str, version: str, model_uri: str, mlflow_url: str, registered: Mapping[str, str] | None = None) -> Model:
    """Download and load a model version, with its library if the replica supports it, else as a Python function.

    Args:
        name: Name of the model.
        version: Its number.
        model_uri: URI that MLflow resolves.
        mlflow_url: MLflow's server.
        registered: Digests of the version's files. Others are refused before any of them is opened. None: all are loaded.

    Raises:
        RuntimeError: It does not load; the message begins with the reason and says what to do.
    """
    started = time.perf_counter()
    # For models that call MLflow, which reads it on use.
    os.environ["MLFLOW_TRACKING_URI"] = mlflow_url  # noqa: TID251
    # Some models read their files at prediction. The directory lives as long as they may.
    directory = tempfile.TemporaryDirectory(prefix="raylift-model-", ignore_cleanup_errors=True)
    try:
        path = _checked_copy(model_uri, mlflow_url, Path(directory.name), registered)
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


def fetch_copy(
    name: str, version: str, model_uri: str, mlflow_url: str, directory: Path, registered: Mapping[str, str] | None
) -> Path:
    """Download a version for processes that load it with ``load_copy``. Arguments and errors as of ``load_model``."""
    try:
        return _checked_copy(model_uri, mlflow_url, directory, registered)
    except Exception as error:
        raise RuntimeError(_reason(name, version, error)) from error


def load_copy(name: str, version: str, path: Path) -> Model:
    """Load a version from a directory that stays.

    Raises:
        RuntimeError: As ``load_model``.
    """
    try:
        return load_directory(name, version, path)
    except Exception as error:
        raise RuntimeError(_reason(name, version, error)) from error


def _checked_copy(model_uri: str, mlflow_url: str, directory: Path, registered: Mapping[str, str] | None) -> Path:
    """Make this process's own copy and compare it: what MLflow has may change between a check and its use."""
    path, found = download(model_uri, mlflow_url, directory)
    if registered is not None and (changes := difference(registered, found)) is not None:
        raise _Changed(changes)
    return path


def load_directory(name: str, version: str, path: Path) -> Model:
    """Load the model of a directory with an MLmodel file."""
    mlmodel: dict[str, Any] = yaml.safe_load((path / "MLmodel").read_text())
    signature = parse_signature(mlmodel)
    predictor = _predictor(path, mlmodel)
    is_native = not isinstance(predictor, PyfuncPredictor)
    table = read_training_table(path)
    schema, origin = schema_of(signature, predictor.features, is_native=is_native, table=table)
    other = other_numerics((table.numerics if table is not None else None) or {}, numerics())
    if other is not None:
        _log.warning("%s version %s: %s", name, version, other)
    for disagreement in origin.disagreements:
        _log.warning("%s version %s: %s", name, version, disagreement)
    model = Model(
        name=name,
        version=version,
        predictor=predictor,
        schema=schema,
        origin=origin,
        other_numerics=other,
        signature=signature,
        mlflow_version=version_of_package("mlflow"),
        reference=read_reference(path),
        example=logged_example(path, mlmodel),
    )
    return accelerated(with_input_kind(model))


_model_directories: Final[list[tempfile.TemporaryDirectory[str]]] = []


def _keep_or_clean(directory: tempfile.TemporaryDirectory[str], model: Model, path: Path) -> None:
    has_code = (path / "code").exists()
    if isinstance(model.predictor, PyfuncPredictor) or has_code:
        _model_directories.append(directory)
    else:
        # Replicas are killed without cleanup, so the files go now.
        directory.cleanup()


def _predictor(path: Path, mlmodel: Mapping[str, Any]) -> Predictor:
    flavors: Mapping[str, Any] = mlmodel.get("flavors", {})
    backend = flavors.get("keras", {}).get("keras_backend")
    if backend:
        # Keras reads it at import. The deployment's own variable has priority.
        os.environ.setdefault("KERAS_BACKEND", backend)  # noqa: TID251
    function: Mapping[str, Any] = flavors.get("python_function", {})
    # MLflow writes no python_function flavour for a scikit-learn model without the predicting method.
    loader = function.get("loader_module", "") if function or _SKLEARN not in flavors else f"mlflow.{_SKLEARN}"
    native = _NATIVE.get(loader)
    if native is not None:
        return native(path, flavors, function.get("predict_fn", "predict"))
    import mlflow.pyfunc
    from mlflow.exceptions import MlflowException

    return PyfuncPredictor(mlflow.pyfunc.load_model(str(path)), (MlflowException,))


def _read(flavor: str, read: Callable[[Path, Mapping[str, Any]], Any], path: Path, flavors: Mapping[str, Any]) -> Any:
    try:
        return read(path, flavors.get(flavor, {}))
    except UnknownFormat as reason:
        _log.info("MLflow's %s loader loads %s: %s", flavor, path.name, reason)
    return import_module(f"mlflow.{flavor}").load_model(str(path))


# Each library is imported only for its own models: a replica holds one, and imports take most of its start.


def _sklearn(path: Path, flavors: Mapping[str, Any], predict_fn: str) -> Predictor:
    return SklearnPredictor(_read("sklearn", read_sklearn, path, flavors), predict_fn)


def _xgboost(path: Path, flavors: Mapping[str, Any], predict_fn: str) -> Predictor:
    import xgboost

    from serve_apps.model_server.predictors.xgboost import BoosterPredictor, XGBoostPredictor

    model = _read("xgboost", read_xgboost, path, flavors)
    return BoosterPredictor(model) if isinstance(model, xgboost.Booster) else XGBoostPredictor(model)


def _lightgbm(path: Path, flavors: Mapping[str, Any], predict_fn: str) -> Predictor:
    import lightgbm

    from serve_apps.model_server.predictors.lightgbm import BoosterPredictor, LightGBMPredictor

    model = _read("lightgbm", read_lightgbm, path, flavors)
    return BoosterPredictor(model) if isinstance(model, lightgbm.Booster) else LightGBMPredictor(model)


_NATIVE: Final[Mapping[str, Callable[[Path, Mapping[str, Any], str], Predictor]]] = {
    "mlflow.sklearn": _sklearn,
    "mlflow.xgboost": _xgboost,
    "mlflow.lightgbm": _lightgbm,
}


def _reason(name: str, version: str, error: Exception) -> str:
    if isinstance(error, CannotAnswer):
        return str(error)
    if isinstance(error, UnknownTable):
        return f"No request can be built for the model, {CANNOT_ANSWER}. {error}"
    if isinstance(error, _Changed):
        return (
            f"{name} version {version} is {NOT_AS_REGISTERED}: {error}. Register the model as a new version, "
            "or restore its files in MLflow and PUT the deployment."
        )
    message = " ".join(str(error).split())
    hint = ""
    if isinstance(error, ModuleNotFoundError):
        hint = (
            f" The module {error.name} is missing: add the package that holds it to the job's requirements. "
            f"If it is your own, log the model with it: log_model(…, code_paths=[{(error.name or '').partition('.')[0]!r}])."
        )
    elif isinstance(error, (ImportError, AttributeError)):
        hint = " The packages here differ from those the model was made with: pin them in the job's requirements."
    elif isinstance(error, FileNotFoundError):
        hint = " Its artifacts are incomplete: is there an MLmodel file among them?"
    return f"{name} version {version} does not load. {type(error).__name__}: {message}{hint}"
