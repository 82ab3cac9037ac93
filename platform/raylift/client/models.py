"""Registered models and the deployments of their versions."""

from __future__ import annotations

import builtins
import warnings
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
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
    SignatureView,
    VersionView,
)
from raylift.api.observations import FeedbackAccepted, FeedbackPage, FeedbackView, QualityView, SeriesView, StatsView
from raylift.api.security.reports import ReportList, ReportView
from raylift.api.traffic import AliasView
from raylift.client.http.errors import RayliftError
from raylift.client.http.part import Part
from raylift.client.jobs.waiting import wait_until_final
from raylift.client.notebook.html import models_html
from raylift.domain.models.deployment import DeploymentStatus

_UNDECIDED: Final = (DeploymentStatus.PENDING, DeploymentStatus.STARTING)
Report = Callable[[DeploymentView | None, RayliftError | None], None]


class Models(Part):
    """``client.models``."""

    def _repr_html_(self) -> str:
        return models_html(self.list(), self._connection.base_url)

    def list(self) -> builtins.list[ModelSummary]:
        """All registered models, by name."""
        return self._connection.view(ModelList, "GET", paths.MODELS).models

    def get(self, name: str) -> ModelView:
        """A model with all its versions, newest first."""
        return self._connection.view(ModelView, "GET", paths.model(name))

    def version(self, name: str, version: str | int) -> VersionView:
        """One version with its lineage (job, script, requirements, run), metrics and deployment."""
        return self._connection.view(VersionView, "GET", paths.version(name, version))

    def signature(self, name: str, version: str | int) -> SignatureView:
        """Return the inputs of a version, from its files. Starts no process."""
        return self._connection.view(SignatureView, "GET", paths.signature(name, version))

    def reports(self, name: str, version: str | int) -> builtins.list[ReportView]:
        """Scan the pickles of a version with picklescan and return its report. Takes seconds where that was not done lately."""
        return self._connection.view(ReportList, "GET", paths.reports_of_version(name, version)).reports

    def stats(self, name: str, version: str | int) -> StatsView:
        """Requests, errors, latency, batches, replicas and memory of one version since its first process started."""
        return self._connection.view(StatsView, "GET", paths.stats(name, version))

    def series(
        self,
        name: str,
        version: str | int,
        *,
        since: datetime | timedelta | None = None,
        until: datetime | None = None,
        step: int | None = None,
    ) -> SeriesView:
        """Requests, errors, latency, queue and replicas of one version over time.

        Args:
            name: The model.
            version: Its version.
            since: A time, or how long before ``until``. None: an hour.
            until: None: the end of the last recorded minute.
            step: Seconds of an interval, a multiple of 60; of 600 where ``since`` is more than a day ago. None: the server
                chooses.

        Returns:
            ``points`` with one entry for each interval: ``pandas.DataFrame(point.model_dump() for point in series.points)``.
        """
        begin = (until or datetime.now(UTC)) - since if isinstance(since, timedelta) else since
        params = {"since": begin and begin.isoformat(), "until": until and until.isoformat(), "step": step}
        return self._connection.view(SeriesView, "GET", paths.series(name, version), params=params)

    def quality(
        self, name: str, version: str | int, *, since: datetime | timedelta | None = None, step: int | None = None
    ) -> QualityView:
        """Accuracy or error of one version over time, from true values that were sent and the answers in its payload log.

        Args:
            name: The model.
            version: Its version.
            since: A time, or how long ago. None: a day.
            step: Seconds of an interval. None: the server chooses.
        """
        begin = datetime.now(UTC) - since if isinstance(since, timedelta) else since
        params = {"since": begin and begin.isoformat(), "step": step}
        return self._connection.view(QualityView, "GET", paths.quality(name, version), params=params)

    def send_feedback(self, name: str, version: str | int, true_values: Mapping[str, Any]) -> int:
        """Send the true values of predictions. A later value of a request replaces an earlier one.

        Args:
            name: The model.
            version: The version that answered.
            true_values: By request id (``Prediction.request_id``, or the answer's X-Request-ID): the value of the one row, or
                a list with a value for each row.

        Returns:
            Number of accepted requests.
        """
        entries = [{"request_id": request_id, "true_value": value} for request_id, value in true_values.items()]
        path = paths.feedback(name, version)
        return self._connection.view(FeedbackAccepted, "POST", path, json={"feedback": entries}, resend=True).accepted

    def tell(self, name: str, version: str | int, true_values: Mapping[str, Any]) -> int:
        """Deprecated name of :meth:`send_feedback`."""
        warnings.warn("models.tell is now models.send_feedback", DeprecationWarning, stacklevel=2)
        return self.send_feedback(name, version, true_values)

    def feedback(self, name: str, version: str | int) -> Iterator[FeedbackView]:
        """Iterate over the feedback on a version, newest first. Pages are fetched when needed."""
        for page in self._connection.pages(FeedbackPage, paths.feedback(name, version), {"limit": 1000}):
            yield from page.feedback

    def aliases(self, model: str) -> dict[str, str]:
        """The model's MLflow aliases: alias → version."""
        return self.get(model).aliases

    def set_alias(self, model: str, alias: str, version: str | int) -> AliasView:
        """Point an alias of MLflow's registry to a version."""
        path = paths.alias(model, alias)
        return self._connection.view(AliasView, "PUT", path, json={"version": str(version)}, resend=True)

    def delete_alias(self, model: str, alias: str) -> AliasView:
        """Delete an alias."""
        return self._connection.view(AliasView, "DELETE", paths.alias(model, alias))


_OPTIONAL_PARTS: Final = ("batching", "payload_log", "environment")


def deployment_body(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Body of a change to a deployment: None keeps a value, ``False`` turns an optional part off."""
    changes = {field: value for field, value in fields.items() if value is not None}
    return {field: None if field in _OPTIONAL_PARTS and value is False else value for field, value in changes.items()}


class Deployments(Part):
    """``client.deployments``: at most one for each model version."""

    def list(self, model: str | None = None) -> builtins.list[DeploymentView]:
        """All deployments, or those of one model."""
        params = {"model_name": model}
        return self._connection.view(DeploymentList, "GET", paths.DEPLOYMENTS, params=params).deployments

    def get(self, name: str, version: str | int) -> DeploymentView:
        """The deployment of a version. Raises NotFound."""
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
        gpus: float | None = None,
        batching: BatchingConfig | Mapping[str, float] | Literal[False] | None = None,
        payload_log: PayloadLogConfig | Mapping[str, float] | Literal[False] | None = None,
        take_traffic: bool | None = None,
        environment: Mapping[str, str | None] | Literal[False] | None = None,
    ) -> DeploymentView:
        """Deploy a version, or change its deployment. None keeps a value.

        ``False`` turns batching or the payload log off; a mapping may change one of their values. ``environment`` sets
        variables of the replicas, or removes those with the value None; ``False`` removes all.
        """
        fields: dict[str, Any] = {
            "min_replicas": min_replicas,
            "max_replicas": max_replicas,
            "target_ongoing_requests": target_ongoing_requests,
            "max_ongoing_requests": max_ongoing_requests,
            "max_queued_requests": max_queued_requests,
            "upscale_delay_s": upscale_delay_s,
            "downscale_delay_s": downscale_delay_s,
            "cpus": cpus,
            "memory": memory,
            "gpus": gpus,
            "batching": batching.model_dump() if isinstance(batching, BatchingConfig) else batching,
            "payload_log": payload_log.model_dump() if isinstance(payload_log, PayloadLogConfig) else payload_log,
            "take_traffic": take_traffic,
            "environment": environment,
        }
        body = deployment_body(fields)
        return self._connection.view(DeploymentView, "PUT", paths.deployment(name, version), json=body, resend=True)

    def wait(
        self, name: str, version: str | int, *, timeout: float | None = None, poll: float = 0.5, report: Report | None = None
    ) -> DeploymentView:
        """Wait for the first health check of a version, or of a change to its deployment.

        Args:
            name: The model.
            version: Its version.
            timeout: Seconds to wait. None: no limit.
            poll: Seconds between two fetches.
            report: Called with each fetched view, or with the error of a failed fetch.

        Returns:
            The deployment that answers, is unhealthy (with a ``message``) or is stopped.

        Raises:
            NotFound: The version was never deployed.
            TimeoutError: The deployment is still starting after ``timeout`` seconds.
        """
        view, is_final = wait_until_final(
            self._connection.clock,
            lambda: self.get(name, version),
            timeout=timeout,
            poll=poll,
            report=report,
            is_final=lambda view: view.status not in _UNDECIDED,
        )
        if view is None or not is_final:
            raise TimeoutError(f"version {version} of {name} is not ready after {timeout or 0:g} s")
        return view

    def delete(self, name: str, version: str | int) -> None:
        """Take a version out of service. The version itself stays in the registry; ``put`` deploys it again."""
        self._connection.send("DELETE", paths.deployment(name, version))
