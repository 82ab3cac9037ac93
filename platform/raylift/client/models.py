"""Registered models and the deployments of their versions."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, Literal

from raylift.api import paths
from raylift.api.models import (
    BatchingConfig,
    DeploymentList,
    DeploymentView,
    ModelList,
    ModelSummary,
    ModelView,
    PayloadLogConfig,
    VersionView,
)
from raylift.api.observations import FeedbackAccepted, FeedbackPage, FeedbackView, StatsView
from raylift.api.traffic import AliasView
from raylift.client.http.connection import Connection
from raylift.client.http.errors import RayliftError
from raylift.client.jobs.waiting import watch_until_final
from raylift.domain.deployment import DeploymentStatus

_ON_ITS_WAY: Final = (DeploymentStatus.PENDING, DeploymentStatus.STARTING)
Report = Callable[[DeploymentView | None, RayliftError | None], None]


class Models:
    """``client.models``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self) -> builtins.list[ModelSummary]:
        return self._connection.view(ModelList, "GET", paths.MODELS).models

    def get(self, name: str) -> ModelView:
        """A model with all its versions, newest first."""
        return self._connection.view(ModelView, "GET", paths.model(name))

    def version(self, name: str, version: str | int) -> VersionView:
        """One version with its lineage (job, script, requirements, run), metrics and deployment."""
        return self._connection.view(VersionView, "GET", paths.version(name, version))

    def stats(self, name: str, version: str | int) -> StatsView:
        """Requests, errors, latency, batches, replicas and memory of one version, counted since its first process started."""
        return self._connection.view(StatsView, "GET", paths.stats(name, version))

    def tell(self, name: str, version: str | int, true_values: Mapping[str, Any]) -> int:
        """Tell what predictions should have been; how many requests were told of.

        Args:
            name: The model.
            version: The version that answered.
            true_values: By request id (``Prediction.request_id``, or the answer's X-Request-ID): the value of the one row, or
                a list with one for each row. What is told last of a request counts.
        """
        entries = [{"request_id": request_id, "true_value": value} for request_id, value in true_values.items()]
        body = {"feedback": entries}
        # Telling twice is telling once, so it may be sent again.
        path = paths.feedback(name, version)
        return self._connection.view(FeedbackAccepted, "POST", path, json=body, resend=True).accepted

    def feedback(self, name: str, version: str | int) -> Iterator[FeedbackView]:
        """What was told of a version's predictions, newest first; asks for the next page when it is needed."""
        params: dict[str, Any] = {"limit": 1000}
        while True:
            page = self._connection.view(FeedbackPage, "GET", paths.feedback(name, version), params=params)
            yield from page.feedback
            if page.next_cursor is None:
                return
            params["cursor"] = page.next_cursor

    def aliases(self, model: str) -> dict[str, str]:
        """The model's MLflow aliases: alias → version."""
        return self.get(model).aliases

    def set_alias(self, model: str, alias: str, version: str | int) -> AliasView:
        """Let an alias of MLflow's registry stand for a version."""
        path = paths.alias(model, alias)
        return self._connection.view(AliasView, "PUT", path, json={"version": str(version)}, resend=True)

    def delete_alias(self, model: str, alias: str) -> AliasView:
        """Take an alias away."""
        return self._connection.view(AliasView, "DELETE", paths.alias(model, alias))


class Deployments:
    """``client.deployments``: one per model version."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, model: str | None = None) -> builtins.list[DeploymentView]:
        params = {"model_name": model}
        return self._connection.view(DeploymentList, "GET", paths.DEPLOYMENTS, params=params).deployments

    def get(self, name: str, version: str | int) -> DeploymentView:
        return self._connection.view(DeploymentView, "GET", paths.deployment(name, version))

    def put(
        self,
        name: str,
        version: str | int,
        *,
        min_replicas: int | None = None,
        max_replicas: int | None = None,
        target_ongoing_requests: float | None = None,
        max_ongoing_requests: int | None = None,
        max_queued_requests: int | None = None,
        upscale_delay_s: float | None = None,
        downscale_delay_s: float | None = None,
        cpus: float | None = None,
        memory: int | str | None = None,
        batching: BatchingConfig | Mapping[str, float] | Literal[False] | None = None,
        payload_log: PayloadLogConfig | Mapping[str, float] | Literal[False] | None = None,
        take_traffic: bool | None = None,
        environment: Mapping[str, str | None] | Literal[False] | None = None,
    ) -> DeploymentView:
        """Deploy a version, or change its deployment. What is None keeps its value; ``False`` ends batching, payload log.

        ``batching`` and ``payload_log`` may name one of their values; the other stays. ``environment`` sets variables of the
        replicas, or takes one away where its value is None; the others stay, and ``False`` takes all away.
        """
        body: dict[str, Any] = {
            "min_replicas": min_replicas,
            "max_replicas": max_replicas,
            "target_ongoing_requests": target_ongoing_requests,
            "max_ongoing_requests": max_ongoing_requests,
            "max_queued_requests": max_queued_requests,
            "upscale_delay_s": upscale_delay_s,
            "downscale_delay_s": downscale_delay_s,
            "cpus": cpus,
            "memory": memory,
            "batching": batching.model_dump() if isinstance(batching, BatchingConfig) else batching,
            "payload_log": payload_log.model_dump() if isinstance(payload_log, PayloadLogConfig) else payload_log,
            "take_traffic": take_traffic,
            "environment": environment,
        }
        body = {field: value for field, value in body.items() if value is not None}
        for field in ("batching", "payload_log", "environment"):
            if body.get(field) is False:
                body[field] = None
        return self._connection.view(DeploymentView, "PUT", paths.deployment(name, version), json=body, resend=True)

    def wait(
        self, name: str, version: str | int, *, timeout: float | None = None, poll: float = 0.5, report: Report | None = None
    ) -> DeploymentView:
        """Wait for the first health check of a version, or of a change to it.

        Args:
            name: The model.
            version: Its version.
            timeout: Seconds to wait; None: as long as it takes.
            poll: Seconds between two looks.
            report: Told of every look: what was seen, or why nothing was.

        Returns:
            The deployment, as soon as it answers, is unhealthy (``message`` says why) or is stopped.

        Raises:
            NotFound: The version was never deployed.
            TimeoutError: It is still starting after ``timeout`` seconds.
        """
        view, ended = watch_until_final(
            self._connection,
            lambda: self.get(name, version),
            timeout=timeout,
            poll=poll,
            report=report or _say_nothing,
            ended=lambda seen: seen.status not in _ON_ITS_WAY,
        )
        if view is None or not ended:
            raise TimeoutError(f"version {version} of {name} is not ready after {timeout or 0:g} s")
        return view

    def delete(self, name: str, version: str | int) -> None:
        """Take a version out of service. The version itself stays in the registry; ``put`` deploys it again."""
        self._connection.send("DELETE", paths.deployment(name, version))


def _say_nothing(view: DeploymentView | None, error: RayliftError | None) -> None:
    return
