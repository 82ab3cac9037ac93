"""Models in a real MLflow registry, behind the replica's own ASGI application."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import mlflow
import pytest
from mlflow import lightgbm, pyfunc, sklearn, xgboost

from raylift.api.paths import version_route
from serve_apps.model_server.loading.loader import load_model
from serve_apps.model_server.model import Model
from serve_apps.model_server.server.asgi import ReplicaApp

log_sklearn: Callable[..., Any] = sklearn.log_model
log_xgboost: Callable[..., Any] = xgboost.log_model
log_lightgbm: Callable[..., Any] = lightgbm.log_model
log_function: Callable[..., Any] = pyfunc.log_model


@dataclass(frozen=True)
class Replica:
    """A loaded version, and requests below its route."""

    model: Model
    app: ReplicaApp

    def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        async def ask() -> httpx.Response:
            route = version_route(self.model.name, self.model.version)
            transport = httpx.ASGITransport(self.app, root_path=route)  # pyright: ignore[reportArgumentType]
            async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
                return await client.request(method, route + path, **arguments)

        return asyncio.run(ask())

    def get(self, path: str) -> httpx.Response:
        return self.request("GET", path)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.request("POST", path, json=body)

    def predict(self, inputs: Any, **fields: Any) -> httpx.Response:
        return self.post("/predict", {"inputs": inputs, **fields})

    def predicted(self, inputs: Any, **fields: Any) -> dict[str, Any]:
        answer = self.predict(inputs, **fields)
        assert answer.status_code == 200, answer.text
        return answer.json()


class Registry:
    """Registers models in the server at ``url``, and loads them as a replica does; their copies are in ``directory``."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url = url
        self._directory = directory

    def register(self, name: str, log: Callable[..., Any], *arguments: Any, **options: Any) -> str:
        """Log a model with one of MLflow's ``log_model`` functions and register it. Returns the version's URI."""
        # Tests of other folders in the same process have tracking servers of their own.
        mlflow.set_tracking_uri(self.url)
        mlflow.set_experiment("models")
        with mlflow.start_run(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            log(*arguments, name="model", registered_model_name=name, pip_requirements=[], **options)
        return f"models:/{name}/1"

    def replica(self, name: str, log: Callable[..., Any], *arguments: Any, **options: Any) -> Replica:
        uri = self.register(name, log, *arguments, **options)
        # A process of the tests ends without cleanup, as a replica's does: its copies of models go with the tests' folder.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tempfile.tempdir", str(self._directory))
            model = load_model(name, "1", uri, self.url)
        return Replica(model, ReplicaApp(model))
