"""Prometheus metrics of this gateway process, and counts from the store."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, Metric
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from starlette.types import Scope

from raylift.domain.errors import EngineUnavailable
from raylift.services.cluster.counts import StatusCounter
from raylift.services.models.metrics import ObservationService
from serve_apps.gateway.metrics.models import ModelCollector

_LOG: Final = logging.getLogger(__name__)
_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0)
_UNROUTED: Final = "(none)"


class Metrics:
    """Metrics in a registry of their own, without those of other libraries in the process."""

    content_type: Final = CONTENT_TYPE_LATEST

    def __init__(self, status_counts: StatusCounter, observations: ObservationService) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_StatusCollector(status_counts))
        self._registry.register(ModelCollector(observations.counts))
        self._requests = Counter(
            "raylift_http_requests", "Requests, by route and status.", ["method", "route", "status"], registry=self._registry
        )
        self._seconds = Histogram(
            "raylift_http_request_seconds",
            "Seconds until the answer was complete.",
            ["method", "route"],
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._shadow_requests = Counter(
            "raylift_shadow_requests",
            "Copies of requests for shadow versions, by what became of them.",
            ["model", "version", "outcome"],
            registry=self._registry,
        )

    def count_shadow(self, model_name: str, version: str, outcome: str) -> None:
        """Count one copy of a request for a shadow version."""
        self._shadow_requests.labels(model_name, version, outcome).inc()

    def observe(self, scope: Scope, status: int, seconds: float) -> None:
        """Count one request, by the route's pattern: paths would make a series for each job."""
        route: str = getattr(scope.get("route"), "path", _UNROUTED)
        method: str = scope["method"] if route != _UNROUTED else "*"
        self._requests.labels(method, route, status).inc()
        self._seconds.labels(method, route).observe(seconds)

    def exposition(self) -> bytes:
        return generate_latest(self._registry)


class _StatusCollector(Collector):
    """Reads the store at each scrape."""

    def __init__(self, status_counts: StatusCounter) -> None:
        self._status_counts = status_counts

    def describe(self) -> Iterable[Metric]:
        return ()  # Without this, registration would collect once.

    def collect(self) -> Iterable[Metric]:
        jobs = GaugeMetricFamily("raylift_jobs", "Jobs, by status.", labels=["status"])
        failed = GaugeMetricFamily("raylift_failed_jobs", "Failed jobs that are kept, by reason.", labels=["reason"])
        deployments = GaugeMetricFamily("raylift_deployments", "Deployments, by status.", labels=["status"])
        try:
            counts = self._status_counts.take()
        except EngineUnavailable as error:
            _LOG.warning("No counts in this scrape: %s", error)
            return ()
        for status, count in counts.jobs.items():
            jobs.add_metric([status], count)
        for reason, count in counts.failed_jobs.items():
            failed.add_metric([reason], count)
        for status, count in counts.deployments.items():
            deployments.add_metric([status], count)
        return (jobs, failed, deployments)
