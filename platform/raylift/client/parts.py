"""The parts of a client by subject, and its views of the whole platform."""

from __future__ import annotations

from functools import cached_property

from raylift.api import paths
from raylift.api.cluster.nodes import ClusterView, QueueView
from raylift.api.cluster.overview import Overview
from raylift.client.access import Audit, Keys
from raylift.client.data.datasets import Datasets
from raylift.client.environments import Environments
from raylift.client.http.connection import Connection
from raylift.client.jobs.batches import Batches
from raylift.client.jobs.jobs import Jobs
from raylift.client.jobs.sweeps import Sweeps
from raylift.client.models import Deployments, Models
from raylift.client.monitoring.monitors import Monitors
from raylift.client.rollouts.rollouts import Rollouts
from raylift.client.schedules import Schedules
from raylift.client.secrets import Secrets
from raylift.client.traffic import Traffic
from raylift.client.webhooks import Webhooks


class ClientParts:
    """Base of ``Client``. Each part is made at its first use."""

    _connection: Connection

    @cached_property
    def jobs(self) -> Jobs:
        """Jobs: get, list, compare. ``client.jobs.get(id)`` has logs, wait, cancel, rerun."""
        return Jobs(self._connection)

    @cached_property
    def sweeps(self) -> Sweeps:
        """Sweeps: get, list. ``client.sweeps.get(id)`` has the table and the best job."""
        return Sweeps(self._connection)

    @cached_property
    def schedules(self) -> Schedules:
        """Schedules: create, list, get, update, pause, resume, run, runs, delete."""
        return Schedules(self._connection)

    @cached_property
    def batches(self) -> Batches:
        """Batches: create, run, get, list. ``client.batches.get(id)`` has wait, download, cancel."""
        return Batches(self._connection)

    @cached_property
    def models(self) -> Models:
        """Registered models: versions, signatures, aliases, statistics, feedback."""
        return Models(self._connection)

    @cached_property
    def deployments(self) -> Deployments:
        """Deployments of versions: list, get, put, wait, delete."""
        return Deployments(self._connection)

    @cached_property
    def monitors(self) -> Monitors:
        """Monitors of versions: get, set, windows, quality, alerts."""
        return Monitors(self._connection)

    @cached_property
    def traffic(self) -> Traffic:
        """Traffic tables: the versions that answer requests which name only the model."""
        return Traffic(self._connection)

    @cached_property
    def datasets(self) -> Datasets:
        """Datasets for jobs: add, list, versions, get, download, delete."""
        return Datasets(self._connection)

    @cached_property
    def rollouts(self) -> Rollouts:
        """Rollouts: start, get, list, follow, wait, approve, reject, pause, resume, abort, promote."""
        return Rollouts(self._connection)

    @cached_property
    def environments(self) -> Environments:
        """Environments of jobs and replicas: list, get, prewarm, delete."""
        return Environments(self._connection)

    @cached_property
    def keys(self) -> Keys:
        """Keys of the platform, for admins: create, list, revoke, rotate."""
        return Keys(self._connection)

    @cached_property
    def audit(self) -> Audit:
        """Audit of the platform, for admins: entries, export."""
        return Audit(self._connection)

    @cached_property
    def secrets(self) -> Secrets:
        """Secrets for jobs: list, get, set, delete."""
        return Secrets(self._connection)

    @cached_property
    def webhooks(self) -> Webhooks:
        """Webhooks: create, update, list, get, rotate, test, deliveries, redeliver, delete."""
        return Webhooks(self._connection)

    def overview(self) -> Overview:
        """State of the platform's parts, and counts of jobs and deployments by status."""
        return self._connection.view(Overview, "GET", paths.OVERVIEW)

    def cluster(self) -> ClusterView:
        """Nodes, what is used, and by which jobs and replicas."""
        return self._connection.view(ClusterView, "GET", paths.CLUSTER)

    def queue(self, *, limit: int = 100) -> QueueView:
        """Waiting jobs with their places, what each waits for, who holds it, and owners with their quotas."""
        return self._connection.view(QueueView, "GET", paths.QUEUE, params={"limit": limit})
