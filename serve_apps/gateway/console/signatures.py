"""``/mlops/models/{name}/versions/{version}/signature``."""

from __future__ import annotations

from dataclasses import asdict

from fastapi import APIRouter, Response

from raylift.api.models import ColumnView, ParameterView, SignatureView, TensorView
from raylift.api.paths import MLOPS
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems


def signatures_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["models"])

    @router.get(
        "/models/{name}/versions/{version}/signature",
        responses={200: {"model": SignatureView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def signature(name: str, version: str) -> Response:
        """Show the inputs of a version, from its files in MLflow. Starts no process."""
        found, described = services.models.signature(name, version)
        return json_response(
            SignatureView(
                model_name=found.name,
                model_version=found.version,
                inputs=[ColumnView(**asdict(column)) for column in described.columns],
                tensors=[TensorView(name=item.name, dtype=item.dtype, shape=list(item.shape)) for item in described.tensors],
                params=[ParameterView(**asdict(item)) for item in described.params],
                example=described.example,
            )
        )

    return router
