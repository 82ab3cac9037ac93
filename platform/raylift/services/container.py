"""All services of one platform, wired to its store and engines."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Self

from raylift.domain.access import Principal
from raylift.domain.models.deployment import Deployment
from raylift.services.access.audit import AuditService
from raylift.services.access.callers import Callers, ModelWorkspaces
from raylift.services.access.keys import KeyService
from raylift.services.access.logins import IdentityProvider, LoginService
from raylift.services.batches.batches import BatchService
from raylift.services.batches.specs import BatchSpecs
from raylift.services.cluster.capacity import Capacity
from raylift.services.cluster.counts import StatusCounter, StatusCounts
from raylift.services.cluster.health import HealthService, check_supervisor
from raylift.services.cluster.holdings import ClusterHoldings
from raylift.services.cluster.nodes import NodeService
from raylift.services.datasets.datasets import DatasetService
from raylift.services.datasets.job_data import JobData
from raylift.services.jobs.diff import ComparisonService
from raylift.services.jobs.log_follower import LogFollower
from raylift.services.jobs.logs import JobLogs
from raylift.services.jobs.remote_attempts import RemoteAttempts
from raylift.services.jobs.sweeps import SweepService
from raylift.services.jobs.training import TrainingService
from raylift.services.jobs.wait_reasons import WaitReasons
from raylift.services.models.deployments import DeploymentService
from raylift.services.models.metrics import ObservationService
from raylift.services.models.quality import QualityService
from raylift.services.models.registry import ModelService
from raylift.services.monitoring.monitors import MonitorService
from raylift.services.monitoring.reports import DriftReports
from raylift.services.order.job_order import JobOrder
from raylift.services.ports import Clock, Cluster, Registry, utc_now
from raylift.services.ray_api.jobs import RayJobsService
from raylift.services.ray_api.packages import RayPackages
from raylift.services.reports import ReportService
from raylift.services.requirements.environments import EnvironmentService
from raylift.services.rollouts.rollouts import RolloutService
from raylift.services.schedules.jobs import ScheduledJobs
from raylift.services.schedules.schedules import ScheduleService
from raylift.services.secrets import SecretService
from raylift.services.traffic.routing import InferenceRouting
from raylift.services.traffic.scale_up_requests import ScaleUpRequests
from raylift.services.traffic.tables import TrafficService
from raylift.services.uploads.checks import UploadChecks
from raylift.services.uploads.dry_run import DryRunService
from raylift.services.webhooks.webhooks import WebhookService
from raylift.settings import PlatformSettings
from raylift.store import Changes, Store, WorkspaceRepository


@dataclass(frozen=True, slots=True)
class Services:
    settings: PlatformSettings
    uploads: UploadChecks
    dry_runs: DryRunService
    holdings: ClusterHoldings
    nodes: NodeService
    secrets: SecretService
    datasets: DatasetService
    training: TrainingService
    order: JobOrder
    sweeps: SweepService
    schedules: ScheduleService
    batches: BatchService
    webhooks: WebhookService
    ray_jobs: RayJobsService
    ray_packages: RayPackages
    comparison: ComparisonService
    logs: JobLogs
    remote_attempts: RemoteAttempts
    follower: LogFollower
    models: ModelService
    deployments: DeploymentService
    routing: InferenceRouting
    scale_up_requests: ScaleUpRequests
    traffic: TrafficService
    rollouts: RolloutService
    environments: EnvironmentService
    status_counts: StatusCounter
    changes: Changes
    observations: ObservationService
    quality: QualityService
    monitors: MonitorService
    drift_reports: DriftReports
    health: HealthService
    callers: Callers
    keys: KeyService
    logins: LoginService
    reports: ReportService
    audit: AuditService
    workspaces: WorkspaceRepository
    model_workspaces: ModelWorkspaces

    def shown_deployments(self, principal: Principal, model_name: str | None = None) -> list[Deployment]:
        """Return the deployments whose models exist for the caller."""
        return self.model_workspaces.shown(principal, self.deployments.list(model_name), lambda row: row.model_name)

    def shown_counts(self, principal: Principal) -> StatusCounts:
        """Count the jobs and deployments that exist for the caller."""
        return self.status_counts.of(self.shown_deployments(principal), workspace=principal.visible_workspace)

    @classmethod
    def assemble(
        cls,
        settings: PlatformSettings,
        *,
        store: Store,
        registry: Registry,
        cluster: Cluster,
        provider: IdentityProvider | None = None,
        clock: Clock = utc_now,
    ) -> Self:
        capacity = Capacity(cluster, [kind.node_type for kind in settings.node_types])
        logs = JobLogs(store, settings.attempts_dir)
        secrets, order = SecretService(store, clock=clock), JobOrder(store)
        data, datasets = JobData(store, settings), DatasetService(store, settings, clock=clock)
        reports = ReportService(store, registry, settings.reports, settings.mlflow_url, clock=clock)
        uploads = UploadChecks(
            settings.jobs,
            capacity,
            secrets.check,
            settings.environments.http_hosts,
            data=data,
            order=order,
            check_script=reports.check_script,
        )
        holdings = ClusterHoldings(store, capacity, settings.attempts_dir)
        reasons = WaitReasons(store, capacity, holdings, settings.jobs.quotas, settings.environments_dir, clock)
        training = TrainingService(
            store,
            logs,
            settings.gateway,
            jobs=settings.jobs,
            capacity=capacity,
            secrets=secrets,
            data=data,
            order=order,
            reasons=reasons,
            attempts_dir=settings.attempts_dir,
            batches_dir=settings.batches_dir,
            clock=clock,
        )
        traffic = TrafficService(store, registry, clock=clock)
        packages = RayPackages(store, settings, clock=clock)
        return cls(
            settings=settings,
            uploads=uploads,
            dry_runs=DryRunService(store, capacity, holdings, settings.jobs.quotas),
            holdings=holdings,
            nodes=NodeService(settings, cluster),
            secrets=secrets,
            datasets=datasets,
            training=training,
            order=order,
            sweeps=SweepService(store, training, quotas=settings.jobs.quotas, reasons=reasons, clock=clock),
            schedules=ScheduleService(
                store, ScheduledJobs(store, settings, secrets, BatchSpecs(store, registry, settings).renewed), clock=clock
            ),
            batches=BatchService(
                store, registry, training, settings, capacity=capacity, secrets=secrets, order=order, clock=clock
            ),
            webhooks=WebhookService(store, settings.webhooks, clock=clock),
            ray_jobs=RayJobsService(store, uploads, training, packages, logs),
            ray_packages=packages,
            comparison=ComparisonService(store),
            logs=logs,
            remote_attempts=RemoteAttempts(store, settings, datasets, clock=clock),
            follower=LogFollower(store, logs),
            models=ModelService(store, registry),
            deployments=DeploymentService(store, registry, capacity, settings.serving, clock=clock),
            routing=InferenceRouting(store, registry, clock=clock),
            scale_up_requests=ScaleUpRequests(store, lasting_seconds=settings.serving.upscale_delay_seconds, clock=clock),
            traffic=traffic,
            rollouts=RolloutService(store, registry, traffic, clock=clock),
            environments=EnvironmentService(store, capacity, settings.environments_dir, settings.environments),
            status_counts=StatusCounter(store),
            changes=store.changes,
            observations=ObservationService(store, registry, settings.counters_dir, clock=clock),
            quality=QualityService(store, registry, settings.payloads_dir, clock=clock),
            monitors=MonitorService(store, registry, clock=clock),
            drift_reports=DriftReports(store, registry, uploads, training, settings.payloads_dir, clock=clock),
            health=HealthService(
                {
                    "store": store.ping,
                    "ray": cluster.ping,
                    "mlflow": registry.ping,
                    "supervisor": partial(check_supervisor, store),
                }
            ),
            callers=Callers(store, clock=clock),
            keys=KeyService(store, clock=clock),
            reports=reports,
            logins=LoginService(store, settings.oidc, provider, clock=clock),
            audit=AuditService(store, clock=clock),
            workspaces=store.workspaces,
            model_workspaces=ModelWorkspaces(store),
        )
