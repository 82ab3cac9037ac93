"""The list with 10,000 jobs, and a log of 64 MiB: what is in the page, what is sent, and what is seen at the end."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from raylift.domain.identifiers import submission_id
from raylift.domain.job import Job
from tests.benchmarks.history import fill, job_number
from tests.browser import Watched
from tests.integration.console.conftest import Gateway

pytestmark = pytest.mark.timeout(300)

JOBS = 10_000
LOG_BYTES = 64 * 2**20
MOST_ROWS = 500
MOST_NODES = 2_000
FIRST_PAGE_BYTES = 150_000
FIRST_PAGE_REQUESTS = 10


@pytest.fixture(scope="module")
def jobs(gateway: Gateway) -> list[Job]:
    """10,000 finished jobs, the oldest first."""
    made = [job_number(number) for number in range(JOBS)]
    fill(gateway.platform.store, made)
    return made


def test_list_of_10000_jobs_is_small(watched: Watched, gateway: Gateway, jobs: list[Job]) -> None:
    session = watched.page.context.new_cdp_session(watched.page)
    session.send("Network.enable")
    # The first answer of each address: on a busy machine the page asks again before its rows are seen.
    urls: dict[str, str] = {}
    sizes: dict[str, float] = {}

    def arrives(found: Any) -> None:
        urls[found["requestId"]] = found["response"]["url"]

    def has_arrived(found: Any) -> None:
        sizes.setdefault(urls[found["requestId"]], found["encodedDataLength"])

    session.on("Network.responseReceived", arrives)
    session.on("Network.loadingFinished", has_arrived)
    page = watched.open("/console/jobs")
    expect(page.locator("tbody tr").first).to_be_visible()
    expect(page.get_by_role("link", name=re.compile(r"^all 10\s000"))).to_be_visible()
    assert 0 < len(sizes) <= FIRST_PAGE_REQUESTS
    assert sum(sizes.values()) < FIRST_PAGE_BYTES
    assert page.locator("tbody tr").count() <= MOST_ROWS
    # Older ones are pages away, and reload and Back show them again.
    page.get_by_role("link", name="Older jobs").click()
    expect(page).to_have_url(re.compile("after="))
    expect(page.get_by_role("link", name="Newest")).to_be_visible()
    older = page.locator("[data-row]").first.get_attribute("href")
    page.reload()
    expect(page.locator("[data-row]").first).to_have_attribute("href", str(older))
    page.go_back()
    expect(page.locator("[data-row]").first).not_to_have_attribute("href", str(older))


def test_job_of_the_command_line_appears_and_says_why_it_waits(
    watched: Watched, gateway: Gateway, jobs: list[Job], tmp_path: Path
) -> None:
    first = gateway.upload(experiment_name="before", resources={"cpus": 3}, priority=50)
    page = watched.open("/console/jobs?status=queued")
    expect(page.locator("tbody tr")).to_have_count(1)
    source = tmp_path / "train.py"
    source.write_text("print(1)\n", encoding="utf-8")
    raylift = Path(sys.executable).parent / "raylift"
    words = ["--url", gateway.url, "train", str(source), "--experiment", "from-cli", "--cpus", "3"]
    subprocess.run([raylift, *words], check=True, capture_output=True, timeout=60)
    row = page.get_by_role("row").filter(has_text="from-cli")
    expect(row).to_be_visible()
    expect(row).to_contain_text("place 2")
    # Another job takes the machine.
    gateway.platform.start(first)
    expect(row).to_contain_text("place 1")
    expect(row).to_contain_text("waiting for capacity")
    expect(row).to_contain_text("The running job holds the rest")


def test_log_of_64_mib_opens_at_its_end(watched: Watched, gateway: Gateway, jobs: list[Job]) -> None:
    job_id = jobs[-1].job_id
    path = gateway.platform.settings.attempts_dir / submission_id(job_id, 1) / "output.log"
    path.parent.mkdir(parents=True)
    line = b"epoch 123 loss 0.123456789 accuracy 0.987654321 lr 0.001000000\n"
    with path.open("wb") as file:
        file.write(b"the very first line\n")
        for _ in range(64):
            file.write(line * (2**20 // len(line)))
        file.write(b"<b>needle</b> <script>document.title = 'owned'</script>\n" + line * 2_000 + b"the last line\n")
        assert file.tell() > LOG_BYTES - 2**20
    page = watched.open(f"/console/jobs/{job_id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("the last line")
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_NODES
    expect(page.locator(".log-bar")).to_contain_text("before these are in the download")
    page.get_by_label("Find in log").fill("NEEDLE")
    expect(page.get_by_text("1 of 1", exact=True)).to_be_visible()
    page.keyboard.press("Enter")
    expect(log).to_contain_text("<b>needle</b> <script>document.title = 'owned'</script>")
    expect(log).not_to_contain_text("the last line")
    assert "owned" not in page.title()
    page.get_by_role("button", name="Jump to end").click()
    expect(log).to_contain_text("the last line")
    # Following stops where one scrolls up.
    log.hover()
    for _ in range(100):  # A turn of the wheel while the page still scrolls to the end is lost.
        page.mouse.wheel(0, -4_000)
        page.wait_for_timeout(300)
        if page.get_by_role("button", name="Jump to end").is_visible():
            break
    expect(page.get_by_role("button", name="Jump to end")).to_be_visible()
    expect(log).not_to_contain_text("the last line")
    assert page.evaluate("document.querySelectorAll('*').length") < MOST_NODES
