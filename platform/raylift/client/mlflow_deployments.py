"""MLflow's deployments interface over the SDK: ``mlflow deployments create|list|get|update|delete|predict -t raylift://HOST:PORT``.

MLflow finds this module by the entry point ``mlflow.deployments``. No other module imports it: it needs MLflow.
"""

# MLflow's base class declares no return types; type checkers infer None.
# pyright: reportIncompatibleMethodOverride=none

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import urlsplit

from mlflow.deployments import BaseDeploymentClient, PredictionsResponse
from mlflow.exceptions import MlflowException
from mlflow.protos.databricks_pb2 import (
    INTERNAL_ERROR,
    INVALID_PARAMETER_VALUE,
    RESOURCE_DOES_NOT_EXIST,
    TEMPORARILY_UNAVAILABLE,
)

from raylift.api.models import DeploymentView
from raylift.client.client import Client
from raylift.client.http.errors import APIError, ConnectionFailed, InvalidRequest, NotFound, RayliftError, Unavailable
from raylift.domain.models.deployment import DeploymentStatus

_FLAVOR: Final = "python_function"
"""Flavor that MLflow's command line prints: every model has this one. Raylift chooses the flavor to load by itself."""
_REGISTERED: Final = re.compile(r"models:/(?P<model>[^/@]+)(/(?P<version>[0-9]+|latest)|@(?P<alias>[^/@]+))")
_CONFIG: Final[Mapping[str, Callable[[Any], Any]]] = {
    "min_replicas": int,
    "max_replicas": int,
    "target_ongoing_requests": float,
    "max_ongoing_requests": int,
    "max_queued_requests": int,
    "upscale_delay_s": float,
    "downscale_delay_s": float,
    "cpus": float,
    "memory": str,
    "gpus": float,
    "batch_max_rows": int,
    "batch_wait_ms": float,
}
_HELP: Final = f"""\
Raylift serves every registered model version by itself: a deployment is one version, and is called MODEL/VERSION.

Target: raylift://HOST:PORT, or raylift alone for the address in RAYLIFT_URL (else http://127.0.0.1:8000).

  mlflow deployments create -t raylift://127.0.0.1:8000 --name churn/3 -m models:/churn/3 -C min_replicas=1
  mlflow deployments predict -t raylift://127.0.0.1:8000 --name churn/3 -I rows.json

--name      MODEL/VERSION; MODEL alone where the model's URI says the version, and to predict as its traffic table says.
--model-uri models:/MODEL/VERSION, models:/MODEL@ALIAS or models:/MODEL/latest, of the platform's own MLflow.
-C          of the deployment, each as KEY=VALUE (batch_max_rows=1 ends batching):
            {", ".join(tuple(_CONFIG)[:6])},
            {", ".join(tuple(_CONFIG)[6:])}

Create also takes over what the platform has deployed by itself. Delete takes a version out of service; it stays registered.
"""


def target_help() -> str:
    """Text of ``mlflow deployments help -t raylift``."""
    return _HELP


def run_local(name: str, model_uri: str, flavor: str | None = None, config: Mapping[str, Any] | None = None) -> None:
    """Not supported: Raylift runs models on a platform only.

    Raises:
        MlflowException: Always; explains how to start a platform.
    """
    raise MlflowException(
        "Raylift deploys to a platform, and a local one is a command away: `raylift up`, then "
        f"`mlflow deployments create -t raylift://127.0.0.1:8000 --name {name} -m {model_uri}`.",
        INVALID_PARAMETER_VALUE,
    )


class RayliftDeploymentClient(BaseDeploymentClient):
    """``mlflow.deployments.get_deploy_client("raylift://HOST:PORT")``. Errors are MlflowExceptions."""

    def __init__(self, target_uri: str) -> None:
        super().__init__(target_uri)
        with _mlflow_errors():
            self._client = Client(_base_url(target_uri))
        # MLflow's interface has no close().
        weakref.finalize(self, self._client.close)

    def create_deployment(
        self,
        name: str,
        model_uri: str,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Deploy a registered version. A deployed version keeps all values that ``config`` does not name."""
        _refuse_endpoint(endpoint)
        with _mlflow_errors():
            model, version = self._registered(model_uri)
            _check_name(name, model, version)
            return _described(self._client.deployments.put(model, version, **_options(config)), flavor)

    def update_deployment(
        self,
        name: str,
        model_uri: str | None = None,
        flavor: str | None = None,
        config: Mapping[str, Any] | None = None,
        endpoint: str | None = None,
    ) -> dict[str, Any]:
        """Change the deployment of a version, but not its model."""
        _refuse_endpoint(endpoint)
        with _mlflow_errors():
            model, version = self._named(name)
            if model_uri is not None and self._registered(model_uri) != (model, version):
                raise _invalid(
                    f"{name} is version {version} of {model} and stays it: create a deployment of {model_uri}, "
                    "and move the traffic to it (`raylift traffic set`)."
                )
            self._client.deployments.get(model, version)
            return _described(self._client.deployments.put(model, version, **_options(config)), flavor)

    def delete_deployment(self, name: str, config: Mapping[str, Any] | None = None, endpoint: str | None = None) -> None:
        """Take a version out of service. A version without a deployment is no error, as MLflow requires."""
        _refuse_endpoint(endpoint)
        with _mlflow_errors():
            model, version = self._named(name)
            try:
                self._client.deployments.delete(model, version)
            except NotFound as error:
                if error.code != "deployment_not_found":
                    raise

    def list_deployments(self, endpoint: str | None = None) -> list[dict[str, Any]]:
        """All deployed versions."""
        _refuse_endpoint(endpoint)
        with _mlflow_errors():
            found = self._client.deployments.list()
            return [_described(view) for view in found if view.status != DeploymentStatus.STOPPED]

    def get_deployment(self, name: str, endpoint: str | None = None) -> dict[str, Any]:
        """One deployment with its status, replicas, route and settings."""
        _refuse_endpoint(endpoint)
        with _mlflow_errors():
            return _described(self._client.deployments.get(*self._named(name)))

    def predict(
        self, deployment_name: str | None = None, inputs: Any = None, endpoint: str | None = None
    ) -> PredictionsResponse:
        """Get predictions of a version, or by the model's name of its traffic table. ``inputs`` as in ``Client.predict``."""
        _refuse_endpoint(endpoint)
        if deployment_name is None:
            raise _invalid("No deployment: name it MODEL/VERSION, or MODEL.")
        model, _, version = deployment_name.partition("/")
        with _mlflow_errors():
            answer = self._client.predict(model, inputs, version=version or None)
        return PredictionsResponse({"predictions": answer.predictions})

    def _named(self, name: str) -> tuple[str, str]:
        model, _, version = name.partition("/")
        if model and version.isdecimal():
            return model, version
        deployed = [f"{model}/{view.model_version}" for view in self._client.deployments.list(model)] if model else []
        hint = f"; there are {', '.join(deployed)}" if deployed else ""
        raise _invalid(f"{name!r} is no deployment's name, which is MODEL/VERSION{hint}.")

    def _registered(self, model_uri: str) -> tuple[str, str]:
        """(model, version) of a ``models:`` URI."""
        match = _REGISTERED.fullmatch(model_uri)
        if match is None:
            raise _invalid(
                f"{model_uri!r} is no registered version: register it with the platform's MLflow "
                f'(mlflow.register_model("{model_uri}", NAME)) and deploy models:/NAME/VERSION.'
            )
        model, version, alias = match["model"], match["version"], match["alias"]
        if version and version != "latest":
            return model, version
        view = self._client.models.get(model)
        if alias is None:
            return model, view.versions[0].model_version
        if alias not in view.aliases:
            known = f"it has {', '.join(sorted(view.aliases))}" if view.aliases else "it has none"
            raise MlflowException(f"{model} has no alias {alias}; {known}.", RESOURCE_DOES_NOT_EXIST)
        return model, view.aliases[alias]


def _base_url(target_uri: str) -> str | None:
    """The platform's address; None for ``raylift`` alone (RAYLIFT_URL decides)."""
    target = urlsplit(target_uri)
    if target_uri == "raylift" or (target.scheme == "raylift" and not target.netloc and not target.path):
        return None
    if not target.netloc or target.path.strip("/") or target.query:
        raise _invalid(f"{target_uri!r} is no target: write raylift://HOST:PORT, or raylift with its address in RAYLIFT_URL.")
    return f"http://{target.netloc}"


def _check_name(name: str, model: str, version: str) -> None:
    if name not in (model, f"{model}/{version}"):
        raise _invalid(f"A deployment is called what it deploys: here --name {model}/{version}, not {name!r}.")


def _options(config: Mapping[str, Any] | None) -> dict[str, Any]:
    """Arguments of ``deployments.put``. Values from the command line are text."""
    unknown = sorted((config or {}).keys() - _CONFIG.keys())
    if unknown:
        raise _invalid(f"There is no config {', '.join(unknown)}; there are {', '.join(_CONFIG)}.")
    options: dict[str, Any] = {}
    for key, value in (config or {}).items():
        try:
            options[key] = _CONFIG[key](value)
        except (TypeError, ValueError) as error:
            raise _invalid(f"config {key}={value!r} is no {'whole number' if _CONFIG[key] is int else 'number'}.") from error
    rows, wait = options.pop("batch_max_rows", None), options.pop("batch_wait_ms", None)
    batching = {name: value for name, value in (("max_rows", rows), ("wait_ms", wait)) if value is not None}
    if batching:
        options["batching"] = False if rows == 1 else batching
    return options


def _described(view: DeploymentView, flavor: str | None = None) -> dict[str, Any]:
    return {"name": f"{view.model_name}/{view.model_version}", "flavor": flavor or _FLAVOR, **view.model_dump(mode="json")}


def _refuse_endpoint(endpoint: str | None) -> None:
    if endpoint is not None:
        raise _invalid("Raylift has no endpoints: a model's name follows its traffic table, and MODEL/VERSION is one version.")


def _invalid(message: str) -> MlflowException:
    return MlflowException(message, INVALID_PARAMETER_VALUE)


@contextmanager
def _mlflow_errors() -> Generator[None]:
    """Raises errors of the SDK as MlflowExceptions."""
    try:
        yield
    except RayliftError as error:
        raise MlflowException(str(error), _code(error)) from error
    except (TypeError, ValueError) as error:
        raise _invalid(str(error)) from error


def _code(error: RayliftError) -> int:
    if isinstance(error, NotFound):
        return RESOURCE_DOES_NOT_EXIST
    if isinstance(error, InvalidRequest) or (
        isinstance(error, APIError) and error.status < 500 and not isinstance(error, Unavailable)
    ):
        return INVALID_PARAMETER_VALUE
    return TEMPORARILY_UNAVAILABLE if isinstance(error, Unavailable | ConnectionFailed) else INTERNAL_ERROR
