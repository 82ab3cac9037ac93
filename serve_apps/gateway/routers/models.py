"""``/mlops/models`` and ``/mlops/deployments``: registered models and their deployments."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.models import DeploymentList, DeploymentUpdate, DeploymentView, ModelList, ModelView, VersionView
from raylift.api.paths import MLOPS
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import json_body, json_response, problems
from serve_apps.gateway.http.visit import principal_of
from serve_apps.gateway.views.models import deployment_changes, deployment_view, model_summary, model_view, version_view

_MAX_BODY_BYTES = 1024 * 1024


def models_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["models"])

    @router.get("/models", responses={200: {"model": ModelList}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    def models(request: Request) -> Response:
        """List all registered models."""
        shown = services.model_workspaces.shown(principal_of(request), services.models.list(), lambda item: item.model.name)
        return json_response(ModelList(models=[model_summary(item) for item in shown]))

    @router.get(
        "/models/{name}",
        responses={200: {"model": ModelView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def model(name: str) -> Response:
        """Show one model with its versions, newest first."""
        return json_response(model_view(services.models.get(name)))

    @router.get(
        "/models/{name}/versions/{version}",
        responses={200: {"model": VersionView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def version(name: str, version: str) -> Response:
        """Show one version with its lineage and its deployment."""
        return json_response(version_view(services.models.version(name, version)))

    return router


def deployments_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["deployments"])
    path = "/models/{name}/versions/{version}/deployment"

    @router.get(
        "/deployments", responses={200: {"model": DeploymentList}, **problems(503)}, dependencies=[needs(services, Action.READ)]
    )
    def deployments(request: Request, model_name: str | None = None) -> Response:
        """List all deployments, or those of one model."""
        found = services.shown_deployments(principal_of(request), model_name)
        return json_response(DeploymentList(deployments=[deployment_view(item) for item in found]))

    @router.get(
        path,
        responses={200: {"model": DeploymentView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def deployment(name: str, version: str) -> Response:
        """Show the deployment of a version."""
        return json_response(deployment_view(services.deployments.get(name, version)))

    @router.put(
        path,
        responses={
            200: {"model": DeploymentView},
            201: {"model": DeploymentView, "description": "It was not deployed before."},
            **problems(400, 404, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": json_body(DeploymentUpdate)},
        dependencies=[needs(services, Action.DEPLOY, "deployment.put", of=Kind.MODEL)],
    )
    async def put(request: Request, name: str, version: str) -> Response:
        """Deploy a version, change its deployment, or start it again. Fields that are left out keep their value."""
        update = await read_model(request, DeploymentUpdate, max_bytes=_MAX_BODY_BYTES, optional=True)
        change = await run_in_threadpool(services.deployments.put, name, version, deployment_changes(update))
        return json_response(deployment_view(change.deployment), 201 if change.created else 200)

    @router.delete(
        path,
        responses={200: {"model": DeploymentView}, **problems(404, 503)},
        dependencies=[needs(services, Action.DEPLOY, "deployment.stop", of=Kind.MODEL)],
    )
    def stop(name: str, version: str) -> Response:
        """Take a version's deployment down. The version stays registered."""
        return json_response(deployment_view(services.deployments.stop(name, version)))

    return router
