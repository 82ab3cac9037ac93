"""The gateway as a Ray Serve deployment: a thin shell around the ASGI application."""

from __future__ import annotations

import asyncio
from typing import Any, Final

from ray import serve
from ray.serve.config import BackpressureConfig
from ray.serve.schema import LoggingConfig

from raylift.ingress.access_token import only_from_ingress
from raylift.ray_internals.serve_ingress import open_http_server_at_node_address
from raylift.ray_internals.serve_replica import keep_internal_server_on_node_address
from raylift.settings import AuthMode, PlatformSettings
from serve_apps.gateway.supervisor_watch import Revive, watch_supervisor

DEPLOYMENT_NAME: Final = "gateway"

# Includes requests that wait for models to load.
_MAX_ONGOING_REQUESTS: Final = 1000
_MAX_QUEUED_REQUESTS: Final = 1000


@serve.ingress()
class GatewayReplica:
    """One stateless replica of the gateway."""

    async def __init__(self, settings_json: str, revive_supervisor: Revive) -> None:
        keep_internal_server_on_node_address()
        open_http_server_at_node_address()
        settings = PlatformSettings.model_validate_json(settings_json)
        self._ingress_token = settings.ingress.token if settings.ingress else None
        self._gateway = await asyncio.to_thread(_connect, settings)
        self._watch = asyncio.create_task(watch_supervisor(settings, revive_supervisor))

    def __serve_build_asgi_app__(self) -> Any:
        gateway = self._gateway

        async def asgi(scope: Any, receive: Any, send: Any) -> None:
            await gateway(scope, receive, send)

        # A plain function: in a FastAPI object Ray Serve would replace our handler for unexpected errors.
        return only_from_ingress(asgi, self._ingress_token)


def build(settings_json: str, revive_supervisor: Revive) -> serve.Application:
    """The Ray Serve application of the gateway, for the route prefix ``/``. Its replicas call ``revive_supervisor``."""
    settings = PlatformSettings.model_validate_json(settings_json)
    # Without runtime_env Serve would use the caller's. MLflow's client must not wait minutes for a server that is down.
    from raylift.engines.mlflow_engine.client import CLIENT_ENVIRONMENT

    deployment = serve.deployment(GatewayReplica).options(  # pyright: ignore[reportFunctionMemberAccess]
        name=DEPLOYMENT_NAME,
        num_replicas=settings.gateway.replicas,
        max_ongoing_requests=_MAX_ONGOING_REQUESTS,
        max_queued_requests=_MAX_QUEUED_REQUESTS,
        backpressure_config=BackpressureConfig(status_code=429, retry_after_s=1),
        ray_actor_options={"num_cpus": 0, "runtime_env": {"env_vars": CLIENT_ENVIRONMENT}, **settings.control_options},
        health_check_period_s=5,
        health_check_timeout_s=10,
        graceful_shutdown_timeout_s=10,
        graceful_shutdown_wait_loop_s=1,
        logging_config=LoggingConfig(enable_access_log=False),
    )
    return deployment.bind(settings_json, revive_supervisor)


def _connect(settings: PlatformSettings) -> Any:
    # Imported in the replica: the process that deploys needs none of it, and MLflow alone takes seconds.
    from raylift.engines.identity_provider import OidcProvider
    from raylift.engines.mlflow_engine.credentials import use_credential
    from raylift.engines.mlflow_engine.registry import Registry
    from raylift.engines.ray_engine.cluster import Cluster
    from raylift.services.container import Services
    from raylift.store import open_store
    from serve_apps.gateway.rest_api import create_app

    if settings.auth is AuthMode.KEYS and settings.ingress is None:
        raise ValueError("auth: keys needs the platform's own ingress: it checks keys of predictions")
    use_credential(settings.mlflow_secret)
    store = open_store(settings)
    is_offered = settings.auth is AuthMode.KEYS and settings.oidc.issuer is not None
    services = Services.assemble(
        settings,
        store=store,
        registry=Registry(settings.mlflow_url, store.workspaces),
        cluster=Cluster(settings.supervisor.serving_reserve_cpus, settings.cluster.label if settings.cluster else None),
        provider=OidcProvider(settings.oidc) if is_offered else None,
    )
    return create_app(services, echo_request_id=False, warm_processes=True)
