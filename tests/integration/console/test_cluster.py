"""The nodes on the page of the cluster: their states, draining, and how another machine joins."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from playwright.sync_api import expect

from raylift.domain.nodes.labels import NodeState
from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import environment_hash, overlay_directory
from raylift.engines.environments.uv.process import Downloads
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


def test_environment_shows_the_progress_of_its_build_and_why_it_failed(watched: Watched, gateway: Gateway) -> None:
    lock = ["probe==1.0", "torch==2.9.0"]
    directory = overlay_directory(lock, gateway.platform.settings.environments_dir)
    write_record(directory, lock, downloads=Downloads(40 * 2**20, 200 * 2**20))
    page = watched.open(f"/console/environments?hash={environment_hash(lock)}")
    build = page.get_by_role("dialog", name="Environment")
    expect(build).to_contain_text("building")
    expect(build).to_contain_text("40 MiB of 200 MiB downloaded")
    expect(build).to_contain_text("torch==2.9.0")
    message = "Failed to build probe==1.0\n  error: command 'gcc' failed: No such file or directory"
    write_record(directory, lock, message)
    failed = build.get_by_role("region", name="Why the build failed")
    expect(failed).to_contain_text("command 'gcc' failed")
    assert failed.locator("p").evaluate("item => getComputedStyle(item).whiteSpace") == "pre-wrap"
    assert violations(page) == []
    # A pasted link has no page before it: closing shows the list.
    build.get_by_role("button", name="Close").click()
    expect(page.get_by_role("row", name=re.compile("^broken"))).to_contain_text("Failed to build probe==1.0")
    expect(page).to_have_url(re.compile("/environments$"))
