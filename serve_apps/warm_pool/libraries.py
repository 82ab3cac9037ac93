"""What a warm process imports before anybody asks: most of the seconds that a replica needs to start."""

from __future__ import annotations

import importlib
import logging
import time
from typing import Final

_log = logging.getLogger(__name__)

_LIBRARIES: Final = (
    "numpy",
    "pandas",
    "scipy.sparse",
    "sklearn.ensemble",
    "sklearn.linear_model",
    "sklearn.neighbors",
    "sklearn.pipeline",
    "sklearn.svm",
    "xgboost",
    "lightgbm",
    "uvicorn",
    "uvicorn.lifespan.on",
    "uvicorn.protocols.http.httptools_impl",
    "serve_apps.model_server.server.asgi",
    "serve_apps.model_server.loading.loader",
    "serve_apps.model_server.observability.observer",
    "serve_apps.model_server.predictors.lightgbm",
    "serve_apps.model_server.predictors.xgboost",
    # Last: only models of other libraries need it.
    "mlflow.pyfunc",
    "mlflow.sklearn",
)


def import_libraries() -> None:
    """Import them all. They start no threads that a fork would miss, given that OpenMP is told to use one."""
    started = time.perf_counter()
    for name in _LIBRARIES:
        importlib.import_module(name)
    _log.info("warm after %.1f s", time.perf_counter() - started)
