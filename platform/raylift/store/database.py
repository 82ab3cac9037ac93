"""Facade of the store: one repository per subject."""

from __future__ import annotations

from raylift.settings import PlatformSettings
from raylift.store import migrations
from raylift.store.engine.changes import Changes
from raylift.store.engine.key_ring import KeyRing
from raylift.store.engine.transactions import Database
from raylift.store.repositories.audit import AuditRepository
from raylift.store.repositories.data.datasets import DatasetRepository
from raylift.store.repositories.data.job_order import JobOrderRepository
from raylift.store.repositories.deployments import DeploymentRepository
from raylift.store.repositories.feedback import FeedbackRepository
from raylift.store.repositories.finished_jobs import HistoryRepository
from raylift.store.repositories.jobs import JobRepository
from raylift.store.repositories.keys import KeyRepository, WorkspaceRepository
from raylift.store.repositories.leases import LeaseRepository
from raylift.store.repositories.monitoring.monitors import MonitorRepository
from raylift.store.repositories.promotion.gates import GateRepository
from raylift.store.repositories.promotion.rollouts import RolloutRepository
from raylift.store.repositories.ray_packages import RayPackageRepository
from raylift.store.repositories.reservations import ReservationRepository
from raylift.store.repositories.schedules import ScheduleRepository
from raylift.store.repositories.secrets import SecretRepository
from raylift.store.repositories.series import SeriesRepository
from raylift.store.repositories.sweeps import SweepRepository
from raylift.store.repositories.traffic import TrafficRepository
from raylift.store.repositories.webhooks import WebhookRepository


def open_store(settings: PlatformSettings) -> Store:
    """Open the store of a platform. Raises ValueError as ``Store.open``."""
    file = settings.encryption_key_file
    return Store.open(settings.database_url, None if file is None else KeyRing(file))


class Store:
    """Synchronous and thread-safe; async callers use it in threads."""

    def __init__(self, database_url: str, keys: KeyRing | None = None) -> None:
        self._database = Database(database_url, keys)
        self.jobs = JobRepository(self._database)
        self.sweeps = SweepRepository(self._database)
        self.datasets = DatasetRepository(self._database)
        self.deployments = DeploymentRepository(self._database)
        self.feedback = FeedbackRepository(self._database)
        self.changes = Changes(self._database)
        self.order = JobOrderRepository(self._database)
        self.history = HistoryRepository(self._database)
        self.keys = KeyRepository(self._database)
        self.workspaces = WorkspaceRepository(self._database)
        self.audit = AuditRepository(self._database)
        self.leases = LeaseRepository(self._database)
        self.ray_packages = RayPackageRepository(self._database)
        self.monitors = MonitorRepository(self._database)
        self.reservations = ReservationRepository(self._database)
        self.gates = GateRepository(self._database)
        self.rollouts = RolloutRepository(self._database)
        self.schedules = ScheduleRepository(self._database)
        self.secrets = SecretRepository(self._database)
        self.series = SeriesRepository(self._database)
        self.traffic = TrafficRepository(self._database)
        self.webhooks = WebhookRepository(self._database)

    @classmethod
    def open(cls, database_url: str, keys: KeyRing | None = None) -> Store:
        """Open ``sqlite:////absolute/path.db`` (created if absent) or ``postgresql://…``. Then call ``migrate`` once.

        Args:
            database_url: URL of SQLAlchemy.
            keys: keys of secret values. None: a file beside SQLite's; for PostgreSQL, secret values are refused.

        Raises:
            ValueError: another kind of database, or a SQLite that is not a file on a local disk.
        """
        return cls(database_url, keys)

    @property
    def supports_many_nodes(self) -> bool:
        """False for SQLite, whose write-ahead log uses shared memory of one machine."""
        return not self._database.is_sqlite

    def migrate(self) -> None:
        """Create or upgrade the tables. Safe in several processes at once."""
        migrations.upgrade(self._database)

    def ping(self) -> None:
        """Raise EngineUnavailable unless the database answers."""
        self._database.ping()

    def close(self) -> None:
        self.changes.close()
        self._database.close()
