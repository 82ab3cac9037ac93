"""Nodes: their list, the document by which a machine joins, and draining."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from raylift.api.cluster.join import NodeDocument, NodeVersions
from raylift.domain.nodes.labels import NodeState
from raylift.run_settings import ClusterSettings
from raylift.settings import PlatformSettings
from tests.unit.gateway.engine_fakes import FakeNode
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

HEAD = FakeNode(name="m1", node_id="1" * 56, address="10.0.0.1")
WORKER = FakeNode(name="m2", node_id="2" * 56, address="10.0.0.2", is_head=False, cpus=8)
STRANGER = FakeNode(name="m3", node_id="3" * 56, address="10.0.0.3", is_head=False, state=NodeState.NOT_PREPARED)
DOCUMENT = NodeDocument(
    instance="abc",
    url="http://10.0.0.1:8000",
    ingress={},
    ray_address="10.0.0.1:20001",
    state_dir="/s",
    session_dir="/tmp/rl",
    environment={"RAY_AUTH_MODE": "token"},
    inherit=[],
    ports={"gateway": 8000, "ray_dashboard": 8265, "mlflow": 5000, "block": 20000},
    object_store_memory=2**29,
    versions=NodeVersions(python="3", ray="2", raylift="1", packages={}),
)


def for_nodes(settings: PlatformSettings, folder: Path) -> PlatformSettings:
    (folder / "document").write_text(DOCUMENT.model_dump_json(), encoding="utf-8")
    (folder / "join").write_text("rlj_right\n", encoding="ascii")
    (folder / "ray").write_text("of-ray", encoding="ascii")
    cluster = ClusterSettings(label=DOCUMENT.hash, document_file=folder / "document", join_token_file=folder / "join")
    return settings.model_copy(update={"cluster": cluster, "ray_token_file": folder / "ray"})


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path, tmp_path: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(for_nodes(settings, tmp_path), migrated) as made:
        made.platform.cluster.members = [WORKER, HEAD, STRANGER]
        yield made


async def test_nodes_have_states_and_only_ready_ones_count_for_jobs(keyed: KeyedPlatform) -> None:
    found = (await keyed.send("viewer", "GET", "/mlops/nodes")).json()
    assert found["accepts_nodes"] is True
    assert [(node["name"], node["state"]) for node in found["nodes"]] == [
        ("m2", "ready"),
        ("m1", "ready"),
        ("m3", "not_prepared"),
    ]
    shown = (await keyed.send("viewer", "GET", "/mlops/cluster")).json()
    assert [node["name"] for node in shown["nodes"]] == ["m2", "m1"]


@pytest.mark.parametrize("token", [None, "rlj_wrong", "admin", ""])
async def test_document_is_given_for_the_join_token_only(keyed: KeyedPlatform, token: str | None) -> None:
    answer = await keyed.send(token, "GET", "/mlops/nodes/document")
    assert (answer.status_code, answer.json()["code"]) == (401, "unauthenticated")
    assert "of-ray" not in answer.text


async def test_document_has_the_token_of_ray_which_its_hash_leaves_out(keyed: KeyedPlatform, tmp_path: Path) -> None:
    answer = await keyed.send("rlj_right", "GET", "/mlops/nodes/document")
    document = NodeDocument.model_validate_json(answer.content)
    assert (document.ray_token, document.hash) == ("of-ray", DOCUMENT.hash)
    (tmp_path / "join").write_text("rlj_new", encoding="ascii")
    assert (await keyed.send("rlj_right", "GET", "/mlops/nodes/document")).status_code == 401
    assert answer.headers["cache-control"] == "no-store"
    entries = (await keyed.send("admin", "GET", "/mlops/audit?action=node.join")).json()["entries"]
    assert [(entry["outcome"], entry["address"]) for entry in entries] == [("refused", "127.0.0.1"), ("unchanged", "127.0.0.1")]
    assert "rlj_" not in str(entries)


async def test_platform_for_one_machine_gives_no_document(settings: PlatformSettings, migrated: Path) -> None:
    async with keyed_platform(settings, migrated) as keyed:
        answer = await keyed.send("rlj_right", "GET", "/mlops/nodes/document")
        assert (answer.status_code, answer.json()["code"]) == (409, "nodes_not_accepted")
        assert "raylift up --host" in answer.json()["detail"]


@pytest.mark.parametrize("named", ["m2", "10.0.0.2", "2" * 56])
async def test_drained_node_takes_no_jobs(keyed: KeyedPlatform, named: str) -> None:
    for _ in range(2):
        answer = await keyed.send("admin", "POST", f"/mlops/nodes/{named}/drain")
        assert (answer.status_code, answer.json()["state"]) == (202, "draining")
    assert [node.name for node in keyed.platform.cluster.nodes()] == ["m1"]
    entries = (await keyed.send("admin", "GET", "/mlops/audit")).json()["entries"]
    assert ("node.drain", named) in [(entry["action"], entry["target"]) for entry in entries]


async def test_head_unknown_and_ambiguous_nodes_are_not_drained(keyed: KeyedPlatform) -> None:
    answer = await keyed.send("admin", "POST", "/mlops/nodes/m1/drain")
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
    answer = await keyed.send("admin", "POST", "/mlops/nodes/m9/drain")
    assert (answer.status_code, answer.json()["code"]) == (404, "node_not_found")
    assert "m2, m1, m3" in answer.json()["detail"]
    assert (await keyed.send("deployer", "POST", "/mlops/nodes/m2/drain")).status_code == 403
    keyed.platform.cluster.members = [WORKER, FakeNode(name="m2", node_id="4" * 56, address="10.0.0.4", is_head=False)]
    answer = await keyed.send("admin", "POST", "/mlops/nodes/m2/drain")
    assert "Use the id" in answer.json()["detail"]
    assert {node.state for node in keyed.platform.cluster.members} == {NodeState.READY}
