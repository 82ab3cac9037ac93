"""All routes of the REST API, in the order in which they are tried."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import APIRouter

from raylift.services.container import Services
from serve_apps.gateway.access.login_pages import login_pages
from serve_apps.gateway.access.login_routes import logins_router, sessions_router
from serve_apps.gateway.access.permissions import require_permissions
from serve_apps.gateway.console.cluster import cluster_router
from serve_apps.gateway.console.job_attempts import job_attempts_router
from serve_apps.gateway.console.nodes import nodes_router
from serve_apps.gateway.console.overview import overview_router
from serve_apps.gateway.console.pages import console_router
from serve_apps.gateway.console.reports import reports_router
from serve_apps.gateway.console.run_history import run_history_router
from serve_apps.gateway.console.settings import settings_router
from serve_apps.gateway.console.signatures import signatures_router
from serve_apps.gateway.metrics.platform import Metrics
from serve_apps.gateway.predictions.dispatcher import Dispatcher
from serve_apps.gateway.predictions.inference_fast_route import Endpoint
from serve_apps.gateway.routers.access import audit_router, keys_router
from serve_apps.gateway.routers.by_name_routes import by_name_router, server_router
from serve_apps.gateway.routers.datasets.datasets import dataset_files_router, dataset_versions_router, datasets_router
from serve_apps.gateway.routers.environments import environments_router
from serve_apps.gateway.routers.health import health_router
from serve_apps.gateway.routers.inference import inference_router
from serve_apps.gateway.routers.job_logs import job_logs_router
from serve_apps.gateway.routers.job_sources import job_sources_router
from serve_apps.gateway.routers.jobs.attempts import attempts_router
from serve_apps.gateway.routers.jobs.batches import batches_router
from serve_apps.gateway.routers.jobs.order import order_router
from serve_apps.gateway.routers.jobs.schedules import schedules_router
from serve_apps.gateway.routers.kserve_v1 import kserve_v1_router
from serve_apps.gateway.routers.models import deployments_router, models_router
from serve_apps.gateway.routers.monitoring.monitors import monitors_router
from serve_apps.gateway.routers.observations import observations_router
from serve_apps.gateway.routers.ray_job_logs import ray_job_logs_router
from serve_apps.gateway.routers.ray_jobs import ray_jobs_router, ray_packages_router
from serve_apps.gateway.routers.rollouts.rollouts import rollouts_router
from serve_apps.gateway.routers.secrets import secrets_router
from serve_apps.gateway.routers.sweeps import sweeps_router
from serve_apps.gateway.routers.traffic import aliases_router, traffic_router
from serve_apps.gateway.routers.training import training_router
from serve_apps.gateway.routers.webhooks.webhooks import deliveries_router, webhooks_router


@dataclass(frozen=True)
class Parts:
    """Objects that the routes call."""

    services: Services
    dispatcher: Dispatcher
    metrics: Metrics
    infer: Endpoint


def api_routers(parts: Parts) -> list[APIRouter]:
    routers = [
        training_router(parts.services),
        sweeps_router(parts.services),
        schedules_router(parts.services),
        batches_router(parts.services),
        order_router(parts.services),
        webhooks_router(parts.services),
        deliveries_router(parts.services),
        datasets_router(parts.services),
        dataset_files_router(parts.services),
        dataset_versions_router(parts.services),
        job_logs_router(parts.services),
        job_sources_router(parts.services),
        job_attempts_router(parts.services),
        attempts_router(parts.services),
        run_history_router(parts.services),
        overview_router(parts.services),
        cluster_router(parts.services),
        nodes_router(parts.services),
        settings_router(parts.services),
        ray_jobs_router(parts.services),
        ray_job_logs_router(parts.services),
        ray_packages_router(parts.services),
        inference_router(parts.services, parts.infer),
        models_router(parts.services),
        signatures_router(parts.services),
        reports_router(parts.services),
        deployments_router(parts.services),
        observations_router(parts.services),
        monitors_router(parts.services),
        traffic_router(parts.services),
        aliases_router(parts.services),
        rollouts_router(parts.services),
        environments_router(parts.services),
        keys_router(parts.services),
        logins_router(parts.services),
        sessions_router(parts.services),
        login_pages(parts.services),
        audit_router(parts.services),
        secrets_router(parts.services),
        health_router(parts.services, parts.metrics),
        kserve_v1_router(parts.services, parts.dispatcher),
        server_router(parts.services),
        console_router(parts.services),
        # Last: it matches every path below /v2/models.
        by_name_router(parts.services, parts.dispatcher),
    ]
    require_permissions(routers)
    return routers
