"""The store: the one truth of jobs, deployments and leases."""

from __future__ import annotations

from raylift.store.engine import migration
from raylift.store.engine.changes import Changes
from raylift.store.engine.transactions import Database
from raylift.store.repositories.deployments import DeploymentRepository
from raylift.store.repositories.feedback import FeedbackRepository
from raylift.store.repositories.finished_jobs import HistoryRepository
from raylift.store.repositories.jobs import JobRepository
from raylift.store.repositories.leases import LeaseRepository
from raylift.store.repositories.ray_packages import RayPackageRepository
from raylift.store.repositories.sweeps import SweepRepository
from raylift.store.repositories.traffic import TrafficRepository


class Store:
    """SQLite or PostgreSQL. Synchronous and thread-safe: async callers use it in threads."""

    def __init__(self, database_url: str) -> None:
        self._database = Database(database_url)
        self.jobs = JobRepository(self._database)
        self.sweeps = SweepRepository(self._database)
        self.deployments = DeploymentRepository(self._database)
        self.feedback = FeedbackRepository(self._database)
        self.changes = Changes(self._database)
        self.history = HistoryRepository(self._database)
        self.leases = LeaseRepository(self._database)
        self.ray_packages = RayPackageRepository(self._database)
        self.traffic = TrafficRepository(self._database)

    @classmethod
    def open(cls, database_url: str) -> Store:
        """The store at ``sqlite:////absolute/path.db`` (made if absent) or ``postgresql://…``. Call ``migrate`` once.

        Raises:
            ValueError: The address is of another kind of database, or of a SQLite that is not a file on a local disk.
        """
        return cls(database_url)

    @property
    def supports_many_nodes(self) -> bool:
        """False for SQLite: its write-ahead log is shared memory, which ends at the machine."""
        return not self._database.is_sqlite

    def migrate(self) -> None:
        """Bring the tables up to this release: the first start and every upgrade. Safe in several processes at once."""
        migration.upgrade(self._database)

    def ping(self) -> None:
        """Ask the database for a sign of life.

        Raises:
            EngineUnavailable: It gives none.
        """
        self._database.ping()

    def close(self) -> None:
        self.changes.close()
        self._database.close()
