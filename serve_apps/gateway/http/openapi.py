"""The OpenAPI document, with schemas of bodies that FastAPI does not parse."""

from __future__ import annotations

from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from raylift.api.access import KeyCreation, KeyRotation
from raylift.api.datasets.datasets import DatasetRequest
from raylift.api.environments import EnvironmentRequest
from raylift.api.inference import InferenceRequest
from raylift.api.jobs.batches import BatchRequest
from raylift.api.jobs.schedules import SchedulePatch, ScheduleRequest
from raylift.api.models import DeploymentUpdate
from raylift.api.monitoring.monitors import MonitorSettings, ReportBody
from raylift.api.observations import FeedbackBody, FeedbackEntry
from raylift.api.paths import RAY_API
from raylift.api.problems import Problem
from raylift.api.ray_jobs import JobSubmitRequest
from raylift.api.rollouts.rollouts import RolloutDecision, RolloutRequest
from raylift.api.secrets import SecretRequest
from raylift.api.security.logins import DeviceLoginRequest, LoginPageRequest, LoginRequest
from raylift.api.traffic import AliasUpdate, RollbackRequest, TrafficUpdate
from raylift.api.training import RerunRequest, TrainingUpload
from raylift.api.webhooks.webhooks import WebhookPatch, WebhookRequest, WebhookRotation
from raylift.ingress.problems import PROBLEM_JSON
from serve_apps.gateway.http.errors import KSERVE_V1

_OWN_BODIES: Final[tuple[type[BaseModel], ...]] = (
    TrainingUpload,
    RerunRequest,
    InferenceRequest,
    DeploymentUpdate,
    EnvironmentRequest,
    SecretRequest,
    BatchRequest,
    DatasetRequest,
    ScheduleRequest,
    SchedulePatch,
    WebhookRequest,
    WebhookPatch,
    WebhookRotation,
    JobSubmitRequest,
    TrafficUpdate,
    RollbackRequest,
    AliasUpdate,
    RolloutRequest,
    RolloutDecision,
    FeedbackEntry,
    FeedbackBody,
    MonitorSettings,
    ReportBody,
    KeyCreation,
    KeyRotation,
    LoginPageRequest,
    LoginRequest,
    DeviceLoginRequest,
    Problem,
)


_SCHEMES: Final = {
    "key": {"type": "http", "scheme": "bearer", "description": "With `auth: keys`: a key of the platform."},
    "password": {"type": "http", "scheme": "basic", "description": "For browsers: any name, and the key as the password."},
}
_REFUSALS: Final = {
    "401": "With `auth: keys`: the request has no valid key.",
    "403": "The role of the key does not allow this, or the request comes from a page of another site.",
}


def _refusal_content(path: str) -> dict[str, Any]:
    if path.startswith(RAY_API):
        return {"text/plain": {"schema": {"type": "string"}}}
    if path.startswith((KSERVE_V1, "/v2")):
        return {"application/json": {"schema": {"type": "object", "properties": {"error": {"type": "string"}}}}}
    return {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}


def document(app: FastAPI) -> dict[str, Any]:
    """The document of ``app``, cached."""
    if app.openapi_schema is None:
        app.openapi_schema = _complete(
            get_openapi(
                title=app.title, version=app.version, description=app.description, routes=app.routes, tags=app.openapi_tags
            )
        )
    return app.openapi_schema


def _complete(described: dict[str, Any]) -> dict[str, Any]:
    _, schemas = models_json_schema(
        [(model, "validation") for model in _OWN_BODIES], ref_template="#/components/schemas/{model}"
    )
    components: dict[str, Any] = described.setdefault("components", {}).setdefault("schemas", {})
    components.update(schemas["$defs"])
    # FastAPI describes its own 422 for every route with parameters. Ours is a problem document.
    components.pop("HTTPValidationError", None)
    components.pop("ValidationError", None)
    problem = {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    described["components"]["securitySchemes"] = _SCHEMES
    described["security"] = [{name: []} for name in _SCHEMES]
    for path, operations in described["paths"].items():
        for operation in operations.values():
            for status, description in _REFUSALS.items():
                operation["responses"].setdefault(status, {"description": description, "content": _refusal_content(path)})
            refused = operation["responses"].get("422")
            if refused and path.startswith((RAY_API, KSERVE_V1)):
                del operation["responses"]["422"]  # These families answer with 400.
            elif refused:
                refused["content"] = problem
    return described
