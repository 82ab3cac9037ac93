"""The nodes on the page of the cluster: their states, draining, and how another machine joins."""

from __future__ import annotations

from dataclasses import replace

import pytest
from playwright.sync_api import expect

from raylift.domain.nodes.labels import NodeState
from tests.browser import Watched, violations
from tests.integration.console.conftest import Gateway

pytestmark = pytest.mark.timeout(300)


def test_nodes_show_their_states_and_one_is_drained(watched: Watched, gateway: Gateway) -> None:
    cluster = gateway.platform.cluster
    head = replace(cluster.members[0], name="m1", is_head=True)
    cluster.members = [head, replace(head, node_id="b" * 56, name="m2", is_head=False)]
    page = watched.open("/console/cluster")
    nodes = page.get_by_role("list", name="Nodes").get_by_role("listitem")
    expect(nodes.filter(has_text="m1")).to_contain_text("ready")
    expect(nodes.filter(has_text="m1").get_by_role("button", name="Drain")).to_have_count(0)
    nodes.filter(has_text="m2").get_by_role("button", name="Drain").click()
    page.get_by_role("dialog", name="Drain m2?").get_by_role("button", name="Drain").click()
    expect(page.get_by_role("dialog")).to_have_count(0)
    expect(nodes.filter(has_text="m2")).to_contain_text("draining")
    expect(nodes.filter(has_text="m2")).to_contain_text("It takes no new work")
    assert [node.state for node in cluster.members] == [NodeState.READY, NodeState.DRAINING]
    page.get_by_text("Let another machine join").click()
    expect(page.get_by_label("Commands", exact=True)).to_contain_text("--accept-nodes")
    assert violations(page) == []
