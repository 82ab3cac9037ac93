from __future__ import annotations

from raylift.domain.job import Resources, Workers
from raylift.domain.nodes.node_types import NodeType
from raylift.services.cluster.capacity import Capacity
from tests.unit.gateway.engine_fakes import FakeCluster, FakeNode

GIB = 2**30


def test_all_three_must_fit_one_node() -> None:
    capacity = Capacity(FakeCluster([FakeNode(cpus=16, memory_bytes=4 * GIB), FakeNode(cpus=2, memory_bytes=64 * GIB, gpus=1)]))
    assert capacity.shortfall(Resources(16, 4 * GIB)) is None
    assert capacity.shortfall(Resources(2, 64 * GIB, 1)) is None
    both = capacity.shortfall(Resources(8, 32 * GIB))
    assert both is not None
    assert "no node" in both.detail


def test_error_names_the_resources_of_the_largest_node() -> None:
    shortfall = Capacity(FakeCluster([FakeNode(cpus=2)])).shortfall(Resources(2.5, 1))
    assert shortfall is not None
    assert (shortfall.resource, "the largest has 2 CPUs" in shortfall.detail) == ("cpus", True)


def test_rounding_refuses_nothing() -> None:
    assert Capacity(FakeCluster([FakeNode(cpus=0.1 + 0.2)])).shortfall(Resources(0.3, 1)) is None
    assert Capacity(FakeCluster([FakeNode(cpus=0.3)])).shortfall(Resources(0.1 + 0.2, 1)) is None


def test_last_known_nodes_count_while_the_cluster_is_down() -> None:
    now = [0.0]
    cluster = FakeCluster([FakeNode(cpus=2)])
    capacity = Capacity(cluster, monotonic=lambda: now[0])
    for _ in range(3):
        assert capacity.shortfall(Resources(3, 1))
    assert cluster.looked == 1
    cluster.down, now[0] = True, 60.0
    assert capacity.shortfall(Resources(3, 1))
    assert cluster.looked == 2


def test_any_request_is_feasible_before_the_cluster_is_known() -> None:
    assert Capacity(FakeCluster(down=True)).shortfall(Resources(1e6, 1)) is None


def test_cluster_has_gpus_if_a_node_has_or_none_is_known() -> None:
    assert not Capacity(FakeCluster([FakeNode(cpus=2)])).has_gpus()
    assert Capacity(FakeCluster([FakeNode(cpus=2), FakeNode(cpus=2, gpus=1)])).has_gpus()
    assert Capacity(FakeCluster([])).has_gpus()


BIG = NodeType("big", 8.0, 32 * GIB, 1.0, max_nodes=2)


def test_what_the_autoscaler_could_add_a_node_for_is_not_refused() -> None:
    capacity = Capacity(FakeCluster([FakeNode(cpus=2)]), [BIG])
    assert capacity.refusal(Resources(8, GIB, 1)) is None
    sentence = capacity.wait_for_node(Resources(8, GIB, 1))
    assert sentence is not None
    assert sentence.endswith("Ray's autoscaler is asked for one: big.")
    assert capacity.wait_for_node(Resources(2, GIB)) is None
    refused = capacity.refusal(Resources(9, GIB))
    assert refused is not None
    assert refused.detail.endswith("nor can Ray's autoscaler add what is missing: big (1 GPU, 8 CPUs and 32 GiB, at most 2)")


def test_a_gang_may_need_as_many_machines_as_may_still_come() -> None:
    gang = Resources(1, GIB, workers=Workers(2, 8.0, GIB))
    cluster = FakeCluster([FakeNode(cpus=2)])
    assert Capacity(cluster, [BIG]).refusal(gang) is None
    cluster.members.append(FakeNode(cpus=8, memory_bytes=32 * GIB, node_id="b" * 56, node_type="big"))
    assert Capacity(cluster, [BIG]).refusal(gang) is None
    assert Capacity(cluster, [BIG]).refusal(Resources(1, GIB, workers=Workers(3, 8.0, GIB))) is not None
