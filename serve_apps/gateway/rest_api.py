"""The platform's REST API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from fastapi import FastAPI
from starlette.middleware import Middleware

import raylift
from raylift.services.container import Services
from serve_apps.gateway import openapi
from serve_apps.gateway.dispatching import Dispatcher
from serve_apps.gateway.errors import install_error_handlers
from serve_apps.gateway.forwarding import Forwarder
from serve_apps.gateway.hot_path import HotPath, HotRoute
from serve_apps.gateway.metrics import Metrics
from serve_apps.gateway.middleware import Edge
from serve_apps.gateway.routers.environments import environments_router
from serve_apps.gateway.routers.health import health_router
from serve_apps.gateway.routers.inference import PATH as INFERENCE
from serve_apps.gateway.routers.inference import inference_endpoint, inference_router
from serve_apps.gateway.routers.job_logs import job_logs_router
from serve_apps.gateway.routers.job_sources import job_sources_router
from serve_apps.gateway.routers.model_routes import model_routes_router, server_router
from serve_apps.gateway.routers.models import deployments_router, models_router
from serve_apps.gateway.routers.ray_job_logs import ray_job_logs_router
from serve_apps.gateway.routers.ray_jobs import ray_jobs_router
from serve_apps.gateway.routers.ray_packages import ray_packages_router
from serve_apps.gateway.routers.training import training_router

_DESCRIPTION: Final = "Upload a Python training script, get an autoscaled REST endpoint."


def create_app(services: Services, *, echo_request_id: bool = True) -> FastAPI:
    """The whole REST API over these services. It closes neither them nor their store.

    Args:
        services: what the routes call.
        echo_request_id: False where the server in front answers with X-Request-ID itself, as Ray Serve does.
    """
    forwarder = Forwarder(services.settings.gateway_url)
    dispatcher = Dispatcher(services.routing, forwarder)
    metrics = Metrics(services.census)
    infer = inference_endpoint(services, dispatcher)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await forwarder.close()

    app = FastAPI(
        title="Raylift",
        version=raylift.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        middleware=[
            Middleware(
                Edge,
                max_body_bytes=services.settings.gateway.max_body_bytes,
                observe=metrics.observe,
                echo_request_id=echo_request_id,
            ),
            Middleware(HotPath, route=HotRoute(INFERENCE, "POST", infer)),
        ],
    )
    install_error_handlers(app)
    for router in (
        training_router(services),
        job_logs_router(services),
        job_sources_router(services),
        ray_jobs_router(services),
        ray_job_logs_router(services),
        ray_packages_router(services),
        inference_router(infer),
        models_router(services),
        deployments_router(services),
        environments_router(services),
        health_router(services, metrics),
        server_router(services),
        # Last: it takes everything beneath /v2/models.
        model_routes_router(services, dispatcher),
    ):
        app.include_router(router)
    app.openapi = lambda: openapi.document(app)
    return app
