"""Nodes that join and leave a real Ray cluster, with the store on PostgreSQL, as a cluster needs it."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

import pytest
import ray
from ray.cluster_utils import Cluster as RayCluster

from raylift.domain.identifiers import new_job_id
from raylift.domain.job import Reason, Resources
from raylift.domain.quota import Quota
from raylift.engines.ray_cluster import Cluster
from raylift.services.capacity import Capacity
from raylift.services.queue_reasons import QueueReasons
from raylift.settings import QuotaSettings
from raylift.store import Store
from raylift.supervisor.admission import admit
from raylift.supervisor.store_view import StoreView
from tests.contract.samples import NOW, SCRIPT, spec_of
from tests.postgres_server import running_postgres

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(240)]

MIB = 2**20
LARGE = Resources(3.0, 64 * MIB)


@pytest.fixture
def store() -> Generator[Store]:
    with running_postgres() as server, server.database() as name:
        store = Store.open(server.url(name))
        store.migrate()
        yield store
        store.close()


@pytest.fixture
def ray_cluster() -> Generator[RayCluster]:
    """A head with one CPU."""
    cluster = RayCluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "object_store_memory": 80 * MIB, "include_dashboard": False},
    )
    ray.init(address=cluster.address, log_to_driver=False)
    yield cluster
    ray.shutdown()
    cluster.shutdown()


class Admission:
    """What the supervisor's loop does with the queue, a look at a time."""

    def __init__(self, store: Store) -> None:
        self.cluster = Cluster()
        self.view = StoreView(store)
        self.reasons = QueueReasons(store, Capacity(self.cluster, monotonic=self._later), QuotaSettings())
        self.store = store
        self._now = 0.0

    def _later(self) -> float:
        self._now += 60.0  # Never believe the last look at the nodes.
        return self._now

    def look(self) -> list[str]:
        nodes = [Resources(node.cpus, node.memory_bytes, node.gpus) for node in self.cluster.nodes()]
        self.view.refresh(nodes, again=True)
        decision = admit(self.view.waiting, self.view.active, nodes, quota_of=lambda _: Quota(), starting=0, max_starting=4)
        return [job.job_id for job in decision.admitted]

    def reason(self, job_id: str) -> Reason | None:
        (job,) = self.reasons.explained([self.store.jobs.get(job_id)])
        return job.why


def patiently(done: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not done():
        assert time.monotonic() < end
        time.sleep(0.1)


def test_a_job_waits_for_its_node_to_join_and_to_come_back(store: Store, ray_cluster: RayCluster) -> None:
    large = store.jobs.add(spec_of(resources=LARGE), SCRIPT, job_id=new_job_id(1.0), now=NOW).job_id
    small = store.jobs.add(spec_of(resources=Resources(1.0, 64 * MIB)), SCRIPT, job_id=new_job_id(2.0), now=NOW).job_id
    admission = Admission(store)
    assert admission.look() == [small]
    assert admission.view.somebody_waits
    assert admission.reason(large) is Reason.WAITING_FOR_NODE

    worker = ray_cluster.add_node(num_cpus=4, object_store_memory=80 * MIB)
    patiently(lambda: set(admission.look()) == {large, small})
    assert admission.reason(large) is Reason.WAITING_FOR_CAPACITY

    ray_cluster.remove_node(worker)
    patiently(lambda: admission.look() == [small])
    assert admission.reason(large) is Reason.WAITING_FOR_NODE
