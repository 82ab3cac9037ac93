from __future__ import annotations

import pytest
import ray

from raylift.domain.errors import EngineUnavailable
from raylift.engines.ray_engine.cluster import Cluster

HEAD = {"NodeID": "h", "Alive": True, "Resources": {"CPU": 3.0, "memory": 100.0, "node:__internal_head__": 1.0}}
WORKER = {"NodeID": "w", "Alive": True, "Resources": {"CPU": 8.0, "memory": 50.0, "GPU": 2.0}}
DEAD = {"NodeID": "d", "Alive": False, "Resources": {"CPU": 64.0}}


def test_serving_reserve_is_on_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "nodes", lambda: [HEAD, DEAD, WORKER])
    nodes = Cluster(serving_reserve_cpus=1.0).nodes()
    assert [(node.node_id, node.cpus, node.memory_bytes, node.gpus) for node in nodes] == [
        ("w", 8.0, 50, 2.0),
        ("h", 2.0, 100, 0.0),
    ]


def test_only_labelled_nodes_that_stay_take_work(monkeypatch: pytest.MonkeyPatch) -> None:
    labelled = {"Labels": {"raylift.io/node": "h"}}
    found = [HEAD | labelled, WORKER | labelled, WORKER | labelled | {"NodeID": "v"}, WORKER | {"NodeID": "x"}]
    monkeypatch.setattr(ray, "nodes", lambda: found)
    monkeypatch.setattr("raylift.engines.ray_engine.cluster.draining_nodes", lambda: {"v"})
    cluster = Cluster(label="h")
    assert {node.node_id for node in cluster.nodes()} == {"h", "w"}
    assert {node.node_id: node.state.value for node in cluster.all_nodes()} == {
        "h": "ready",
        "w": "ready",
        "v": "draining",
        "x": "not_prepared",
    }
    assert len(Cluster().nodes()) == len(found)


def test_silent_cluster_is_unavailable(monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> None:
        raise ConnectionError("gone")

    monkeypatch.setattr(ray, "nodes", away)
    with pytest.raises(EngineUnavailable):
        Cluster().ping()
