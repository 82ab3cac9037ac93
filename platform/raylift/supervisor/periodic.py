"""Tasks that the supervisor repeats, each at its own pace."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from raylift.domain.lease import Lease
from raylift.ingress.tls import CertificateReload
from raylift.settings import PlatformSettings
from raylift.store import Store
from raylift.supervisor.deployments.alias_sync import AliasSync
from raylift.supervisor.deployments.reconcile import DeploymentReconciler
from raylift.supervisor.deployments.record_series import SeriesRecorder
from raylift.supervisor.deployments.registry_sync import RegistrySync
from raylift.supervisor.housekeeping.publish_keys import PAUSE_SECONDS, KeyPublisher
from raylift.supervisor.housekeeping.publish_live_jobs import LiveJobsPublisher
from raylift.supervisor.housekeeping.retention import Retention
from raylift.supervisor.jobs.gangs import Gangs
from raylift.supervisor.monitors.quality_watch import QualityWatch
from raylift.supervisor.monitors.watch import MonitorWatch
from raylift.supervisor.nodes.agents import PAUSE_SECONDS as NODES_PAUSE_SECONDS
from raylift.supervisor.nodes.agents import NodeUpkeep
from raylift.supervisor.nodes.requests import NodeRequests
from raylift.supervisor.rollouts.execute import RolloutExecutor
from raylift.supervisor.rollouts.gates import GateExecutor
from raylift.supervisor.schedules.execute import ScheduleExecutor
from raylift.supervisor.webhooks.deliver import WebhookDeliverer


@dataclass(frozen=True, slots=True)
class PeriodicTask:
    """A row of the table. Nothing runs twice at a time."""

    name: str
    pause_seconds: float
    """At least so long after the last run has ended."""
    run: Callable[[Lease], None]
    is_due: Callable[[], bool] = lambda: True
    """Further condition, asked at every tick."""
    asks_mlflow: bool = False


def periodic_tasks(
    settings: PlatformSettings,
    store: Store,
    *,
    deployments: DeploymentReconciler,
    aliases: AliasSync,
    registry: RegistrySync,
    retention: Retention,
    schedules: ScheduleExecutor,
    rollouts: RolloutExecutor,
    gates: GateExecutor,
    webhooks: WebhookDeliverer,
    series: SeriesRecorder,
    monitors: MonitorWatch,
    quality: QualityWatch,
    keys: KeyPublisher | None,
    nodes: NodeUpkeep | None,
    live_jobs: LiveJobsPublisher | None,
    certificate: CertificateReload | None,
    gangs: Gangs,
    node_requests: NodeRequests | None,
) -> Sequence[PeriodicTask]:
    """Return the table of all periodic tasks."""
    pause = settings.supervisor.registry_sync_seconds
    deploys_registered = settings.serving.deploy_registered_versions
    return (
        PeriodicTask("deployments", 0.5, deployments.reconcile, is_due=deployments.is_due),
        PeriodicTask("aliases in traffic tables", 1.0, lambda _: aliases.sync_routed(), asks_mlflow=True),
        # MLflow lists every model for it.
        PeriodicTask("all aliases", 15.0, lambda _: aliases.sync_all(), asks_mlflow=True),
        PeriodicTask("registry", pause, registry.sync, is_due=lambda: deploys_registered, asks_mlflow=True),
        PeriodicTask("schedules", 1.0, schedules.attend),
        PeriodicTask("rollouts", 1.0, rollouts.attend),
        PeriodicTask("gates of jobs", 1.0, gates.attend),
        PeriodicTask("webhooks", 1.0, webhooks.attend),
        PeriodicTask("placement groups", 1.0, gangs.sweep, is_due=gangs.are_due),
        PeriodicTask("sweeps without jobs", 60.0, lambda _: store.sweeps.forget_empty()),
        *((PeriodicTask("keys", PAUSE_SECONDS, lambda _: keys.publish()),) if keys else ()),
        *((PeriodicTask("requests for nodes", 1.0, node_requests.attend),) if node_requests else ()),
        *((PeriodicTask("nodes", NODES_PAUSE_SECONDS, lambda _: nodes.attend()),) if nodes else ()),
        *((PeriodicTask("live jobs", 1.0, lambda _: live_jobs.publish()),) if live_jobs else ()),
        *([PeriodicTask("certificate", 10.0, _refreshing(certificate))] if certificate else []),
        PeriodicTask("series of versions", 5.0, lambda _: series.sample()),
        PeriodicTask("windows of monitors", 2.0, monitors.close_windows),
        PeriodicTask("quality of monitors", 5.0, quality.close_windows),
        PeriodicTask("references of monitors", 5.0, monitors.read_references, asks_mlflow=True),
        PeriodicTask("retention", 300.0, lambda _: retention.remove_expired()),
    )


def _refreshing(certificate: CertificateReload) -> Callable[[Lease], None]:
    def refresh(_: Lease) -> None:
        certificate.refresh()

    return refresh
