"""Reports of jobs and versions, and scripts that the settings refuse. The scanners are scripted; their own test runs them."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

import raylift.services.reports as service
from raylift.access_settings import ReportSettings
from raylift.domain.security.report import Report, ReportFinding, ReportState, Severity
from raylift.settings import PlatformSettings
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.keyed import keyed_platform

UPLOAD = {"script_content": "print(1)", "experiment_name": "demo"}
FOUND = Report.of("script", "bandit", [ReportFinding(Severity.MEDIUM, "B301: pickle", "line 1")])


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    scanned: list[Any] = []

    def scan(script: bytes) -> Report:
        scanned.append(script)
        return FOUND

    monkeypatch.setattr(service, "scan_script", scan)
    return scanned


async def test_job_has_reports_on_its_script_and_packages(client: httpx.AsyncClient, scans: list[Any]) -> None:
    job_id = (await client.post("/mlops/training/upload", json=UPLOAD)).json()["job_id"]
    assert scans == []
    first = (await client.get(f"/mlops/training/jobs/{job_id}/reports")).json()
    script, packages = (await client.get(f"/mlops/training/jobs/{job_id}/reports")).json()["reports"]
    assert first["reports"] == [script, packages]
    assert scans == [b"print(1)"]
    assert (script["tool"], script["state"]) == ("bandit", "findings")
    assert script["findings"] == [{"severity": "medium", "what": "B301: pickle", "where": "line 1"}]
    assert (packages["subject"], packages["tool"], packages["state"]) == ("packages", "pip-audit", "clean")
    assert (await client.get("/mlops/training/jobs/none/reports")).status_code == 404


async def test_slow_scans_leave_the_threads_of_the_gateway_to_others(
    client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = threading.Event()

    def scan(_: bytes) -> Report:
        finish.wait(30)
        return FOUND

    monkeypatch.setattr(service, "scan_script", scan)
    job_id = (await client.post("/mlops/training/upload", json=UPLOAD)).json()["job_id"]
    asked = [asyncio.create_task(client.get(f"/mlops/training/jobs/{job_id}/reports")) for _ in range(60)]
    done, waiting = await asyncio.wait(asked, timeout=90, return_when=asyncio.FIRST_COMPLETED)
    assert {task.result().status_code for task in done} == {503}
    # A thread is free for something else.
    assert (await asyncio.wait_for(client.get("/mlops/training/jobs"), 20)).status_code == 200
    finish.set()
    answers = [task.result() for task in done] + list(await asyncio.gather(*waiting))
    statuses = Counter(answer.status_code for answer in answers)
    assert statuses[200] >= 4
    assert statuses[200] + statuses[503] == 60
    assert "scanners are busy" in next(answer.text for answer in answers if answer.status_code == 503)


async def test_version_has_a_report_on_its_model(
    client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Report("model", "picklescan", ReportState.NOT_RUN, detail="picklescan did not work: no.")
    monkeypatch.setattr(service, "scan_model", lambda *_: failed)
    platform.registry.register("churn", "1")
    (report,) = (await client.get("/mlops/models/churn/versions/1/reports")).json()["reports"]
    assert (report["state"], report["detail"]) == ("not_run", "picklescan did not work: no.")
    assert (await client.get("/mlops/models/none/versions/1/reports")).status_code == 404


@asynccontextmanager
async def refusing(settings: PlatformSettings, migrated: Path, least: str | None) -> AsyncIterator[Any]:
    reports = ReportSettings.model_validate({"refuse_scripts": least})
    async with keyed_platform(settings.model_copy(update={"reports": reports}), migrated) as keyed:
        yield keyed


@pytest.mark.parametrize(("least", "status"), [(None, 202), ("high", 202), ("medium", 422), ("low", 422)])
async def test_setting_refuses_scripts_with_findings(
    settings: PlatformSettings, migrated: Path, scans: list[Any], least: str | None, status: int
) -> None:
    async with refusing(settings, migrated, least) as keyed:
        answer = await keyed.send("submitter", "POST", "/mlops/training/upload", json=UPLOAD)
        assert answer.status_code == status
        if status == 422:
            assert answer.json()["errors"][0]["detail"] == "has a finding of bandit, medium, line 1: B301: pickle"


async def test_script_that_cannot_be_scanned_is_refused_by_the_setting(
    settings: PlatformSettings, migrated: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Report("script", "bandit", ReportState.NOT_RUN, detail="bandit did not work: it is not installed.")
    monkeypatch.setattr(service, "scan_script", lambda _: failed)
    async with refusing(settings, migrated, "high") as keyed:
        answer = await keyed.send("submitter", "POST", "/mlops/training/upload", json=UPLOAD)
        assert (answer.status_code, "not installed" in answer.text) == (422, True)
