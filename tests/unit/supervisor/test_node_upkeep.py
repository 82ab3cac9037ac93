"""Joined nodes have what the head's ingress has, and the head what their replicas wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.domain.nodes.labels import NodeState
from raylift.engines.metrics.other_nodes import PayloadFile, ProcessFile
from raylift.engines.node_agent import NodeAgent, NodeDirectories, NodeReport
from raylift.engines.ray_engine.cluster import NodeResources
from raylift.ingress.haproxy import IngressFiles
from raylift.supervisor.nodes.agents import NodeUpkeep

HEAD = NodeResources("head", 2, 0, 0, name="m1", is_head=True)
SECOND = NodeResources("a2", 2, 0, 0, name="m2")
PROCESS = f"{'a' * 32}.{'b' * 32}.live"
LOG = "churn/3/date=2026-01-02/120000-0123456789ab.parquet"


class Agents:
    """Agents in this process, each with a directory of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.running: dict[str, NodeAgent] = {}
        self.silent: set[str] = set()
        self.reports: dict[str, NodeReport] = {}
        self.forgotten: list[tuple[Sequence[str], Sequence[str]]] = []
        self.calls = 0

    def start(self, node_id: str) -> None:
        haproxy = IngressFiles(self.root / node_id).haproxy
        haproxy.mkdir(parents=True, exist_ok=True)
        nowhere = self.root / node_id / "none"
        self.running.setdefault(node_id, NodeAgent(NodeDirectories(self.root / node_id, nowhere, nowhere)))

    def find(self, node_id: str) -> bool:
        return node_id in self.running

    def end(self, node_id: str) -> None:
        del self.running[node_id]

    def forget(self, node_id: str) -> None:
        self.running.pop(node_id, None)

    def call(self, method: str, arguments: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
        return {node_id: self._answer(node_id, method, given) for node_id, given in arguments.items()}

    def _answer(self, node_id: str, method: str, given: Sequence[Any]) -> Any:
        self.calls += 1
        if node_id in self.silent:
            return EngineUnavailable(f"The agent of node {node_id} does not answer")
        if method == "collect" and node_id in self.reports:
            return self.reports.pop(node_id)
        if method == "forget":
            self.forgotten.append((given[0], given[1]))
        return getattr(self.running[node_id], method)(*given)

    def map_of(self, node_id: str, name: str = "names.map") -> str:
        return (self.root / node_id / "h" / name).read_text()

    def may_start_haproxy(self, node_id: str) -> bool:
        return IngressFiles(self.root / node_id).ready.exists()


@pytest.fixture
def agents(tmp_path: Path) -> Agents:
    return Agents(tmp_path / "nodes")


@pytest.fixture
def nodes() -> list[NodeResources]:
    return [HEAD, SECOND]


@pytest.fixture
def upkeep(agents: Agents, nodes: list[NodeResources], tmp_path: Path) -> NodeUpkeep:
    return NodeUpkeep(
        lambda: nodes,
        agents,
        counters_dir=tmp_path / "counters",
        payloads_dir=tmp_path / "payloads",
        map_files={"names.map", "keys.map"},
    )


def test_map_goes_to_the_head_and_to_every_node(upkeep: NodeUpkeep, agents: Agents, tmp_path: Path) -> None:
    upkeep.attend()
    names = upkeep.open_map(tmp_path, "names.map")
    names.put({"churn": "/2"})
    assert (tmp_path / "names.map").read_text() == agents.map_of("a2") == "churn /2\n"
    before = agents.calls
    names.put({"churn": "/2"})
    assert agents.calls == before


def test_haproxy_of_a_node_starts_when_all_maps_have_come(upkeep: NodeUpkeep, agents: Agents) -> None:
    upkeep.attend()
    upkeep.publish("names.map", {})
    upkeep.attend()
    assert not agents.may_start_haproxy("a2")
    upkeep.publish("keys.map", {"digest": "1"})
    upkeep.attend()
    assert agents.may_start_haproxy("a2")
    assert agents.map_of("a2", "keys.map") == "digest 1\n"


def test_node_that_joins_later_gets_everything(upkeep: NodeUpkeep, agents: Agents, nodes: list[NodeResources]) -> None:
    upkeep.attend()
    upkeep.publish("names.map", {"churn": "/1"})
    nodes.append(replace(SECOND, node_id="a3"))
    upkeep.attend()
    assert agents.map_of("a3") == "churn /1\n"


def test_nothing_counts_as_published_before_the_nodes_are_known(upkeep: NodeUpkeep) -> None:
    with pytest.raises(EngineUnavailable, match="not known yet"):
        upkeep.publish("names.map", {})


def test_silent_node_is_named_and_asked_again_with_the_next_look(upkeep: NodeUpkeep, agents: Agents) -> None:
    upkeep.attend()
    agents.silent.add("a2")
    for _ in range(2):
        with pytest.raises(EngineUnavailable, match="a2 did not take"):
            upkeep.publish("names.map", {"churn": "/1"})
    asked = agents.calls
    with pytest.raises(EngineUnavailable):
        upkeep.publish("names.map", {"churn": "/2"})
    assert agents.calls == asked
    agents.silent.clear()
    upkeep.attend()
    upkeep.publish("names.map", {"churn": "/2"})
    assert agents.map_of("a2") == "churn /2\n"


def test_head_and_nodes_that_are_not_prepared_have_no_agent(
    upkeep: NodeUpkeep, agents: Agents, nodes: list[NodeResources]
) -> None:
    nodes[1] = replace(SECOND, state=NodeState.NOT_PREPARED)
    upkeep.attend()
    assert not agents.running
    upkeep.publish("names.map", {})
    assert agents.calls == 0


def test_what_replicas_wrote_is_kept_and_then_forgotten_there(upkeep: NodeUpkeep, agents: Agents, tmp_path: Path) -> None:
    ended = PROCESS.replace("b" * 32, "c" * 32)
    processes = [ProcessFile(PROCESS, b"alive", is_alive=True), ProcessFile(ended, b"dead", is_alive=False)]
    agents.reports["a2"] = NodeReport(processes, [PayloadFile(LOG, b"rows")])
    upkeep.attend()
    assert agents.forgotten == [([ended], [LOG])]
    assert (tmp_path / "payloads" / LOG).read_bytes() == b"rows"
    folder = tmp_path / "counters" / ("a" * 32)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == {
        PROCESS.replace("live", "a2.remote"): b"alive",
        ended: b"dead",
    }


def test_processes_of_a_lost_node_count_as_ended(
    upkeep: NodeUpkeep, agents: Agents, nodes: list[NodeResources], tmp_path: Path
) -> None:
    agents.reports["a2"] = NodeReport([ProcessFile(PROCESS, b"alive", is_alive=True)])
    upkeep.attend()
    nodes.pop()
    upkeep.attend()
    assert [path.name for path in (tmp_path / "counters" / ("a" * 32)).iterdir()] == [PROCESS]
    upkeep.publish("names.map", {})


def draining(nodes: list[NodeResources]) -> None:
    nodes[1] = replace(SECOND, state=NodeState.DRAINING)


def test_agent_of_a_draining_node_stays_for_its_replicas_and_haproxy(
    upkeep: NodeUpkeep, agents: Agents, nodes: list[NodeResources]
) -> None:
    agents.reports["a2"] = NodeReport([ProcessFile(PROCESS, b"alive", is_alive=True)])
    upkeep.attend()
    draining(nodes)
    upkeep.attend()
    assert "a2" in agents.running
    agents.reports["a2"] = NodeReport([ProcessFile(PROCESS, b"dead", is_alive=False)], has_ingress=True)
    upkeep.attend()
    assert "a2" in agents.running
    upkeep.attend()
    assert "a2" not in agents.running
    upkeep.attend()
    assert "a2" not in agents.running
    # Its job may run on for hours: maps do not wait for its ingress.
    upkeep.publish("names.map", {"churn": "/1"})


def test_certificate_of_the_head_goes_to_the_nodes(agents: Agents, nodes: list[NodeResources], tmp_path: Path) -> None:
    pem = tmp_path / "tls.pem"
    pem.write_text("first")
    directories = {"counters_dir": tmp_path / "c", "payloads_dir": tmp_path / "p"}
    upkeep = NodeUpkeep(lambda: nodes, agents, **directories, map_files=(), certificate=pem)
    agents.start("a2")
    there = agents.root / "a2" / "h" / "tls.pem"
    there.write_text("first")
    pem.write_text("second")
    upkeep.attend()
    assert there.read_text() == "second"


def test_lost_answer_repeats_what_was_handed_over(upkeep: NodeUpkeep, agents: Agents, tmp_path: Path) -> None:
    for _ in range(2):
        agents.reports["a2"] = NodeReport([], [PayloadFile(LOG, b"rows")])
        upkeep.attend()
    assert [path.name for path in (tmp_path / "payloads").rglob("*.parquet")] == [Path(LOG).name]
