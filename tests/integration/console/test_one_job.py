"""A job's page while it runs, is retried and fails: log, phases, attempts, and what to do."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from playwright.sync_api import Locator, Page, expect

from raylift.domain.job import JobState, Reason, Usage
from tests.browser import Watched
from tests.integration.console.conftest import Gateway

pytestmark = pytest.mark.timeout(300)

MIB = 2**20


def figure(page: Page, label: str) -> Locator:
    return (
        page.locator(".timeline-figures > div").filter(has=page.locator("dt", has_text=re.compile(f"^{label}"))).locator("dd")
    )


def seconds(text: str) -> float:
    """Turn a duration of the console into seconds: 420 ms, 12.3 s, 2 min 05 s."""
    units = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}
    return sum(float(amount) * units[unit] for amount, unit in re.findall(r"([\d.]+) (ms|min|s|h|d)", text))


def test_log_shows_each_line_as_it_is_printed(watched: Watched, gateway: Gateway) -> None:
    job_id = gateway.upload(experiment_name="prints")
    gateway.platform.start(job_id, b"begun\n")
    page = watched.open(f"/console/jobs/{job_id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("begun")
    gateway.platform.print(job_id, b"<script>document.title = 'owned'</script><img src=x onerror=alert(1)>\n")
    expect(log).to_contain_text("<script>document.title = 'owned'</script><img src=x")
    for percent in range(0, 101, 5):
        bar = "#" * (percent // 5)
        gateway.platform.print(job_id, f"\r{percent:3}%|{bar:20}| {percent}/100 [00:01<00:01, 99.0it/s]".encode())
    gateway.platform.print(job_id, b"\n\x1b[1;32mdone\x1b[0m\n")
    expect(log.locator(".ansi-green")).to_have_text("done")
    # tqdm has one line.
    lines = [line.inner_text() for line in log.locator(".log-line").all()]
    assert [line for line in lines if "it/s" in line] == [line for line in lines if "100/100" in line]
    assert len(lines) == 4
    assert page.title() == "prints · Raylift"
    assert log.locator("img").count() == 0


def test_retry_is_attempt_2_and_memory_has_peak_limit_and_advice(watched: Watched, gateway: Gateway) -> None:
    job_id = gateway.upload(experiment_name="eats", resources={"cpus": 1, "memory": "512MiB"}, max_retries=1)
    gateway.platform.start(job_id, b"output of the first\n")
    page = watched.open(f"/console/jobs/{job_id}")
    log = page.get_by_role("log")
    expect(log).to_contain_text("output of the first")
    used = Usage(3.0, 509 * MIB, 4.0, "cgroup", "affinity")
    job = gateway.platform.store.jobs.get(job_id)
    gateway.platform.move(job, JobState.QUEUED, reason=Reason.NODE_LOST, message="Its node is gone.", usage=used, attempt=2)
    expect(page.get_by_role("region", name="Reason")).to_contain_text("node lost")
    gateway.platform.start(job_id, b"output of the second\n")
    expect(page.get_by_label("Attempt", exact=True).get_by_role("link", name="attempt 2")).to_have_attribute(
        "aria-current", "true"
    )
    expect(log).to_contain_text("output of the second")
    page.get_by_role("link", name="attempt 1").click()
    expect(log).to_contain_text("output of the first")
    expect(log).to_contain_text("── attempt 2 ──")
    gateway.platform.finish(
        job_id,
        JobState.FAILED,
        reason=Reason.OUT_OF_MEMORY,
        message="The script used 511 MiB of its 512 MiB and was ended.",
        usage=Usage(3.0, 511 * MIB, 4.0, "cgroup", "affinity"),
    )
    reason = page.get_by_role("region", name="Reason")
    expect(reason).to_contain_text("out of memory")
    expect(reason).to_contain_text("It may use 512 MiB. Run it again with more memory")
    expect(page.locator(".memory")).to_contain_text("511 MiB of 512 MiB")
    page.get_by_role("link", name="History").click()
    expect(page.get_by_role("row").filter(has_text="out of memory")).to_contain_text("511 MiB")
    expect(page.get_by_role("row").filter(has_text="Its node is gone")).to_contain_text("509 MiB")


def test_phases_sum_to_the_total(watched: Watched, gateway: Gateway) -> None:
    job_id = gateway.upload(experiment_name="phases")
    job = gateway.platform.store.jobs.get(job_id)
    now = job.created_at
    for state, before in (
        (JobState.ENVIRONMENT, 1.25),
        (JobState.STARTING, 61.0),
        (JobState.SCRIPT, 0.42),
        (JobState.REGISTRATION, 3600.0),
        (JobState.COMPLETED, 2.0),
    ):
        now += timedelta(seconds=before)
        job = gateway.platform.store.jobs.move(gateway.platform.lease, job, state, now=now)
    page = watched.open(f"/console/jobs/{job_id}")
    expect(figure(page, "total")).to_have_text("1 h 01 min")
    labels = ("waiting", "environment", "starting", "script", "registration")
    assert [figure(page, label).inner_text() for label in labels] == ["1.3 s", "1 min 01 s", "420 ms", "1 h", "2.0 s"]
    # Of a running job the total grows with its phase, between two polls too.
    running = gateway.upload(experiment_name="phases")
    gateway.platform.start(running)
    page = watched.open(f"/console/jobs/{running}")
    before = figure(page, "total").inner_text()
    expect(figure(page, "total")).not_to_have_text(before)
    parts = page.locator(".timeline-figures dd").all_inner_texts()
    assert sum(map(seconds, parts[:-1])) == pytest.approx(seconds(parts[-1]), abs=0.2)
