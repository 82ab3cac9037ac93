"""Rules that hold on every page: tabs, a platform that is away, width, zoom, reload, Back, and the keyboard."""

from __future__ import annotations

import re
from contextlib import ExitStack

import pytest
from playwright.sync_api import Browser, Page, expect

from raylift.domain.models.version import InputColumn, ModelSignature
from tests.browser import Watched, hide, scrolls_sideways, watched_page
from tests.integration.console.conftest import Gateway, polls

pytestmark = pytest.mark.timeout(300)

SECTIONS = {
    "o": "Overview",
    "j": "Jobs",
    "s": "Sweeps",
    "l": "Schedules",
    "m": "Models",
    "d": "Deployments",
    "p": "Playground",
    "c": "Cluster",
    "e": "Environments",
    "w": "Webhooks",
    "a": "Access",
    "u": "Audit",
    "t": "Settings",
}
LONG = "-".join(["a-name-as-long-as-people-make-them"] * 3)


@pytest.fixture(scope="module")
def paths(gateway: Gateway) -> dict[str, str]:
    """Title of each page by its path. Names are long, where a page could break."""
    first, second = (gateway.upload(experiment_name=LONG, model_name=LONG, args=[number]) for number in "12")
    gateway.platform.start(first, (LONG + "\n").encode() * 100)
    sweep = gateway.http.post(
        "/mlops/training/upload",
        json={"script_content": "print(1)", "experiment_name": "sweep", "sweep": {"parameters": {"LR": ["1", "2"]}}},
    ).json()["sweep_id"]
    for version in "12":
        gateway.platform.registry.register(LONG, version, tags={"raylift.job_id": first})
        gateway.platform.deploy(LONG, version)
    hook = {"name": LONG[:60] + "name", "url": f"https://hooks.example.com/{LONG}", "models": [LONG]}
    webhook = gateway.http.post("/mlops/webhooks", json=hook).json()["webhook_id"]
    gateway.http.post(f"/mlops/webhooks/{webhook}/test")
    train = {"script_content": "print(1)", "experiment_name": LONG}
    timed = {"name": LONG[:60] + "name", "cron": "0 3 * * *", "train": train}
    schedule = gateway.http.post("/mlops/schedules", json=timed).json()["schedule_id"]
    gateway.platform.registry.signatures[LONG, "2"] = ModelSignature(columns=(InputColumn("age", "double", required=True),))
    return {
        "": "Overview",
        "jobs": "Jobs",
        f"jobs/{first}": LONG,
        f"jobs/{first}?tab=metrics": LONG,
        f"jobs/{first}?tab=script": LONG,
        f"jobs/{first}?tab=environment": LONG,
        f"jobs/{first}?tab=history": LONG,
        f"jobs/{second}": LONG,
        f"jobs/{first}/diff/{second}": "Differences",
        "new": "New job",
        "sweeps": "Sweeps",
        f"sweeps/{sweep}": "sweep",
        "schedules": "Schedules",
        "schedules/new": "New schedule",
        f"schedules/{schedule}": LONG[:60] + "name",
        "models": "Models",
        f"models/{LONG}": LONG,
        f"models/{LONG}/1": f"{LONG} v1",
        "deployments": "Deployments",
        f"playground?model={LONG}&version=2": "Playground",
        "cluster": "Cluster",
        "environments": "Environments",
        "webhooks": "Webhooks",
        "webhooks/new": "New webhook",
        f"webhooks/{webhook}": LONG[:60] + "name",
        "access": "Access",
        "audit": "Audit",
        "settings": "Settings",
    }


def shown(page: Page, title: str) -> None:
    expect(page.locator("h1")).to_have_text(title)
    expect(page.locator(".loading")).to_have_count(0)


def test_each_page_survives_reload_and_back_and_fits(watched: Watched, paths: dict[str, str]) -> None:
    page, faults, before = watched.page, list[str](), ("", "Overview")
    watched.open("/console/")
    for path, title in paths.items():
        # Inside of the page, as a followed link does it.
        page.evaluate(
            "to => { history.pushState(null, '', to); dispatchEvent(new PopStateEvent('popstate')); }", f"/console/{path}"
        )
        shown(page, title)
        address = page.url
        if scrolls_sideways(page):
            faults.append(f"{path} scrolls sideways at 1280 px")
        page.reload()
        shown(page, title)
        if page.url != address:
            faults.append(f"{path} became {page.url} on reload")
        page.go_back()
        shown(page, before[1])
        page.go_forward()
        shown(page, title)
        before = (path, title)
    assert faults == []


def test_each_page_is_usable_at_400_percent(browser: Browser, gateway: Gateway, paths: dict[str, str]) -> None:
    # A window of 1280 px at 400 % has 320 px of CSS (WCAG 1.4.10).
    faults: list[str] = []
    with watched_page(browser, gateway.url, width=320, height=256) as seen:
        page = seen.page
        for path, title in paths.items():
            seen.open(f"/console/{path}")
            shown(page, title)
            if scrolls_sideways(page):
                faults.append(path)
        for name in ("Overview", "Jobs", "Models"):
            page.get_by_role("navigation", name="Main").get_by_role("link", name=name).click()
            expect(page.locator("h1")).to_have_text(name)
        page.get_by_role("link", name="New job").first.click()
        page.get_by_role("button", name="Take the example").click()
        expect(page.get_by_role("button", name="Start the job")).to_be_enabled()
        page.get_by_role("button", name="Start the job").click()
        expect(page).to_have_url(re.compile("/console/jobs/"))
    assert faults == []


def test_keyboard_alone_reaches_everything(watched: Watched, paths: dict[str, str]) -> None:
    page = watched.open("/console/")
    shown(page, "Overview")
    for key, title in SECTIONS.items():
        page.keyboard.press("g")
        page.keyboard.press(key)
        shown(page, title)
    faults: list[str] = []
    for path, title in paths.items():
        page = watched.open(f"/console/{path}")
        shown(page, title)
        faults += [f"{path}: {name} is not reached by Tab" for name in unreached(page)]
    assert faults == []


def unreached(page: Page) -> list[str]:
    """Walk the page by Tab. Return the controls in sight that never had the focus, or had none that can be seen."""
    page.evaluate("""() => {
      const controls = "a[href], button, input, select, textarea, summary";
      window.wanted = new Set([...document.querySelectorAll(controls)].filter(item => {
        if (item.disabled || !item.checkVisibility({ visibilityProperty: true })) return false;
        // Of radio buttons one is reached; a chosen file field is.
        return item.type !== "radio";
      }));
      window.unmarked = [];
      document.addEventListener("focusin", event => {
        wanted.delete(event.target);
        const at = getComputedStyle(event.target), box = event.target.closest("label") ?? event.target;
        const around = getComputedStyle(box);
        const isMarked = at.outlineStyle !== "none" || around.outlineStyle !== "none" || at.boxShadow !== "none";
        if (!isMarked) unmarked.push(event.target.outerHTML.slice(0, 80));
      });
    }""")
    most = int(page.evaluate("wanted.size"))
    for _ in range(most + 30):
        page.keyboard.press("Tab")
        if page.evaluate("wanted.size === 0"):
            break
    return page.evaluate(
        "[...wanted].map(item => item.outerHTML.slice(0, 80)).concat(unmarked.map(text => `no mark: ${text}`))"
    )


def test_focus_is_kept_over_three_polls(watched: Watched, gateway: Gateway, paths: dict[str, str]) -> None:
    page = watched.open("/console/jobs")
    shown(page, "Jobs")
    page.keyboard.press("j")
    held = page.evaluate_handle("document.activeElement")
    for number in range(3):
        # Each poll brings another list.
        gateway.upload(experiment_name=f"newer-{number}")
        expect(page.get_by_role("link", name=f"newer-{number}")).to_be_visible()
    assert page.evaluate("held => document.activeElement === held && held.isConnected", held)
    page = watched.open(f"/console/models/{LONG}")
    page.get_by_label("New alias", exact=True).fill("champ")
    polls(page, f"/models/{LONG}", 3)
    expect(page.get_by_label("New alias", exact=True)).to_be_focused()
    expect(page.get_by_label("New alias", exact=True)).to_have_value("champ")


def test_hidden_tabs_send_nothing(browser: Browser, gateway: Gateway, paths: dict[str, str]) -> None:
    (running,) = (path for path in paths if path.startswith("jobs/") and path.endswith("tab=history"))
    with ExitStack() as tabs:
        shown_at = ("", "jobs", running.partition("?")[0], f"models/{LONG}", f"models/{LONG}/1", "cluster")
        seen = {path: tabs.enter_context(watched_page(browser, gateway.url)) for path in shown_at}
        for path, tab in seen.items():
            polls(tab.open(f"/console/{path}"), "/mlops/", 3)
        for tab in seen.values():
            hide(tab.page, hidden=True)
        # What was on its way arrives first.
        while any(tab.requests for tab in seen.values()):
            for tab in seen.values():
                tab.requests.clear()
            seen[""].page.wait_for_timeout(1_000)
        seen[""].page.wait_for_timeout(10_000)
        assert {path: tab.requests for path, tab in seen.items() if tab.requests} == {}
        for tab in seen.values():
            with tab.page.expect_response(lambda answer: "/mlops/" in answer.url):
                hide(tab.page, hidden=False)


def test_seven_tabs_answer(browser: Browser, gateway: Gateway, paths: dict[str, str]) -> None:
    # Each follows the log of a running job: with six open streams a browser sends no further request on HTTP/1.1.
    (running,) = (path for path in paths if path.startswith("jobs/") and path.endswith("tab=history"))
    job = running.partition("?")[0]
    with watched_page(browser, gateway.url) as seen, ExitStack() as tabs:
        pages = [seen.open(f"/console/{job}")]
        for _ in range(6):
            for earlier in pages:
                hide(earlier, hidden=True)
            tab = seen.page.context.new_page()
            tabs.callback(tab.close)
            tab.goto(f"{gateway.url}/console/{job}")
            pages.append(tab)
            expect(tab.get_by_role("log")).to_contain_text(LONG)
        for number, tab in enumerate(pages):
            for other in pages:
                hide(other, hidden=other is not tab)
            gateway.platform.print(job.removeprefix("jobs/"), f"for tab {number}\n".encode())
            expect(tab.get_by_role("log")).to_contain_text(f"for tab {number}")


def test_stopped_gateway_shows_the_age_and_recovers(watched: Watched, gateway: Gateway) -> None:
    job_id = gateway.upload(experiment_name="outlives")
    gateway.platform.start(job_id, b"before\n")
    page = watched.open(f"/console/jobs/{job_id}")
    expect(page.get_by_role("log")).to_contain_text("before")
    page.evaluate("window.isSame = true")
    gateway.stop()
    banner = page.get_by_role("alert").filter(has_text="The platform does not answer")
    expect(banner).to_contain_text(re.compile(r"is \d+(\.\d+)? s old"))
    first = banner.inner_text()
    expect(banner).not_to_have_text(first)
    expect(page.get_by_role("log")).to_contain_text("before")
    expect(page.locator("h1")).to_have_text("outlives")
    gateway.start()
    expect(banner).to_have_count(0, timeout=60_000)
    gateway.platform.print(job_id, b"after\n")
    expect(page.get_by_role("log")).to_contain_text("after")
    assert page.evaluate("window.isSame")
