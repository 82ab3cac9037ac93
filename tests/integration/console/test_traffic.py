"""Traffic, aliases and scale, changed on the pages of a model and its versions."""

from __future__ import annotations

import pytest
from playwright.sync_api import Route, expect

from tests.browser import Watched, edit_traffic
from tests.integration.console.conftest import Gateway

pytestmark = pytest.mark.timeout(300)

MODEL = "shared"


@pytest.fixture(autouse=True, scope="module")
def two_versions(gateway: Gateway) -> None:
    """Versions 1 and 2 are ready; there is no traffic table."""
    for version in ("1", "2"):
        gateway.platform.registry.register(MODEL, version)
        gateway.platform.deploy(MODEL, version)


def test_change_by_somebody_else_keeps_my_edit(watched: Watched, gateway: Gateway) -> None:
    page = watched.open(f"/console/models/{MODEL}")
    edit_traffic(page, second="30")
    # The page learns of it from the refusal, before its next poll.
    page.route(f"**/models/{MODEL}/traffic", unchanged_for_polls)
    theirs = {"routes": [{"version": "1", "weight": 1}]}
    answer = gateway.http.put(f"/mlops/models/{MODEL}/traffic", json=theirs, headers={"X-Raylift-Owner": "ann"})
    answer.raise_for_status()
    page.get_by_role("button", name="Review").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    expect(page.get_by_role("dialog")).to_contain_text("ann has changed the table meanwhile: v1 100 %")
    page.unroute_all()
    page.get_by_role("dialog").get_by_role("button", name="Back").click()
    expect(page.locator(".traffic-editor").get_by_role("alert")).to_contain_text("ann changed the table")
    expect(page.get_by_label("Share of v1 in percent")).to_have_value("30")
    page.get_by_role("button", name="Keep my edit").click()
    page.get_by_role("button", name="Review").click()
    page.get_by_role("dialog").get_by_role("button", name="Apply").click()
    expect(page.locator(".share-figures")).to_contain_text("30 % v1")
    routes = gateway.http.get(f"/mlops/models/{MODEL}/traffic").json()["routes"]
    assert {route["version"]: route["weight"] for route in routes} == {"2": 70, "1": 30}
    page.get_by_text("the last by local").click()
    history = page.locator(".history")
    expect(history.get_by_role("row").filter(has_text="ann")).to_contain_text("v1 100 %")
    gateway.http.delete(f"/mlops/models/{MODEL}/traffic").raise_for_status()


def unchanged_for_polls(route: Route) -> None:
    if route.request.method == "GET" and "if-none-match" in route.request.headers:
        route.fulfill(status=304)
    else:
        route.continue_()


def test_alias_is_set_moved_and_removed(watched: Watched, gateway: Gateway) -> None:
    page = watched.open(f"/console/models/{MODEL}")
    dialog = page.get_by_role("dialog")
    page.get_by_label("New alias", exact=True).fill("champion")
    page.get_by_label("Version of the new alias").select_option("1")
    page.get_by_role("button", name="Set").click()
    dialog.get_by_role("button", name="Set").click()
    expect(page.get_by_label("Version of champion")).to_have_value("1")
    page.get_by_label("Version of champion").select_option("2")
    expect(dialog.get_by_role("row", name="champion v1 v2")).to_be_visible()
    dialog.get_by_role("button", name="Move").click()
    expect(page.get_by_label("Version of champion")).to_have_value("2")
    assert gateway.platform.registry.aliases == {(MODEL, "champion"): "2"}
    page.get_by_role("button", name="Remove champion").click()
    dialog.get_by_role("button", name="Remove").click()
    expect(page.get_by_label("Version of champion")).to_have_count(0)


def test_version_is_scaled(watched: Watched, gateway: Gateway) -> None:
    page = watched.open(f"/console/models/{MODEL}/1")
    page.get_by_role("button", name="Scale").click()
    page.get_by_label("at most").fill("3")
    page.get_by_role("dialog").get_by_role("button", name="Scale").click()
    expect(page.get_by_role("region", name="Deployment")).to_contain_text("of 0 to 3")
    deployment = gateway.http.get(f"/mlops/models/{MODEL}/versions/1/deployment").json()
    assert deployment["max_replicas"] == 3
