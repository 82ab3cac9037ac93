"""The OpenAPI document. Bodies that are read by hand bring their schemas here."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from raylift.api.environments import EnvironmentRequest
from raylift.api.inference import InferenceRequest
from raylift.api.models import DeploymentUpdate
from raylift.api.observations import FeedbackBody, FeedbackEntry
from raylift.api.paths import RAY_API
from raylift.api.problems import Problem
from raylift.api.ray_jobs import JobSubmitRequest
from raylift.api.traffic import AliasUpdate, RollbackRequest, TrafficUpdate
from raylift.api.training import RerunRequest, TrainingUpload
from serve_apps.gateway.http.errors import KSERVE_V1

_READ_BY_HAND: Final[tuple[type[BaseModel], ...]] = (
    TrainingUpload,
    RerunRequest,
    InferenceRequest,
    DeploymentUpdate,
    EnvironmentRequest,
    JobSubmitRequest,
    TrafficUpdate,
    RollbackRequest,
    AliasUpdate,
    FeedbackEntry,
    FeedbackBody,
    Problem,
)


def document(app: FastAPI) -> dict[str, Any]:
    """The document of ``app``, made once."""
    if app.openapi_schema is None:
        app.openapi_schema = _complete(
            get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
            )
        )
    return app.openapi_schema


def _complete(described: dict[str, Any]) -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(model, "validation") for model in _READ_BY_HAND], ref_template="#/components/schemas/{model}"
    )
    components: dict[str, Any] = described.setdefault("components", {}).setdefault("schemas", {})
    components.update(schemas["$defs"])
    # FastAPI describes its own 422 for every route with parameters; ours is a problem like all others.
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    problem = {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}}
    for path, operations in described["paths"].items():
        for operation in operations.values():
            refused = operation["responses"].get("422")
            if refused and path.startswith((RAY_API, KSERVE_V1)):
                del operation["responses"]["422"]  # Said with 400 there.
            elif refused:
                refused["content"] = problem
    return described
