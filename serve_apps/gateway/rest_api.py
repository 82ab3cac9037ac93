"""The platform's REST API as an ASGI application."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Final

from fastapi import APIRouter, FastAPI
from starlette.middleware import Middleware

import raylift
from raylift.api.paths import INFERENCE
from raylift.services.container import Services
from serve_apps.gateway.access.door import Door
from serve_apps.gateway.http import openapi
from serve_apps.gateway.http.conditional import ConditionalGet
from serve_apps.gateway.http.errors import install_error_handlers
from serve_apps.gateway.http.hosts import Hosts
from serve_apps.gateway.http.middleware import Edge
from serve_apps.gateway.http.tag_memory import TagMemory
from serve_apps.gateway.metrics.platform import Metrics
from serve_apps.gateway.predictions.dispatcher import Dispatcher
from serve_apps.gateway.predictions.forwarder import Forwarder
from serve_apps.gateway.predictions.inference_fast_route import FastRoute, InferenceFastRoute
from serve_apps.gateway.predictions.shadowing import Shadowing
from serve_apps.gateway.predictions.warm_fallback import WarmFallback
from serve_apps.gateway.routers.inference import inference_endpoint
from serve_apps.gateway.routes import Parts, api_routers
from serve_apps.warm_pool.pool import WarmPool

_DESCRIPTION: Final = "Upload a Python training script, get an autoscaled REST endpoint."


def create_app(
    services: Services,
    *,
    echo_request_id: bool = True,
    warm_processes: bool = False,
    routers: Callable[[Parts], Sequence[APIRouter]] = api_routers,
) -> FastAPI:
    """The REST API over ``services``, which the caller closes.

    Args:
        services: The services that the routes call.
        echo_request_id: Answer with X-Request-ID. False behind Ray Serve, which adds it.
        warm_processes: Keep processes that answer for versions without a replica.
        routers: Make the routes. FastAPI's analysis of them takes 0.1 s, which tests of many apps spend once.
    """
    forwarder = Forwarder(services.settings.gateway_url)
    copies = Forwarder(services.settings.gateway_url)
    warm = _warm_pool(services) if warm_processes else None
    warm_fallback = WarmFallback(services.scale_up_requests, warm)
    metrics = Metrics(services.status_counts, services.observations)
    shadowing = Shadowing(services.routing, Dispatcher(services.routing, copies, None, warm_fallback), metrics.count_shadow)
    dispatcher = Dispatcher(services.routing, forwarder, shadowing, warm_fallback)
    infer = inference_endpoint(services, dispatcher)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if warm is not None:
            await warm.start()
        yield
        if warm is not None:
            await warm.close()
        await shadowing.close()
        await copies.close()
        await forwarder.close()

    app = FastAPI(
        title="Raylift",
        version=raylift.__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redirect_slashes=False,
        docs_url=None,  # The console's router has them: FastAPI's page loads its code from another site.
        redoc_url=None,
        middleware=[
            Middleware(
                Edge,
                max_body_bytes=services.settings.gateway.max_body_bytes,
                hosts=Hosts.of(services.settings),
                observe=metrics.observe,
                echo_request_id=echo_request_id,
            ),
            Middleware(Door, settings=services.settings, callers=services.callers, audit=services.audit),
            Middleware(InferenceFastRoute, route=FastRoute(INFERENCE, "POST", infer)),
            Middleware(ConditionalGet, memory=TagMemory(services.changes)),
        ],
    )
    install_error_handlers(app)
    for router in routers(Parts(services, dispatcher, metrics, infer)):
        app.include_router(router)
    app.openapi = lambda: openapi.document(app)
    return app


def _warm_pool(services: Services) -> WarmPool[Forwarder]:
    return WarmPool(
        services.settings,
        lambda socket: Forwarder("http://warm", socket=socket),
        services.deployments.wanted_among,
        services.workspaces.of_model,
    )
