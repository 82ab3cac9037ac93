"""The condition ``reports.refuse_models``. The scanner is scripted; its own test runs it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

import raylift.supervisor.deployments.scans as scans
from raylift.access_settings import ReportSettings
from raylift.domain.models.deployment import Deployment, DeploymentConfig, DeploymentStatus
from raylift.domain.security.report import Report, ReportFinding, ReportState, Severity
from raylift.store import Store
from raylift.supervisor.deployments.scans import ModelScans

NOW = datetime(2026, 1, 2, tzinfo=UTC)
FOUND = Report.of(
    "model",
    "picklescan",
    [
        ReportFinding(Severity.HIGH, "loads posix.system, which runs code of its choice", "model.pkl"),
        ReportFinding(Severity.LOW, "loads numpy.dtype, which is not known to be harmless", "model.pkl"),
    ],
)
KEY = {("churn", "1")}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(f"sqlite:///{tmp_path}/store.db")
    opened.migrate()
    yield opened
    opened.close()


def scanned(store: Store, monkeypatch: pytest.MonkeyPatch, report: Report, least: str | None) -> tuple[ModelScans, Deployment]:
    monkeypatch.setattr(scans, "scan_model", lambda *_: report)
    files = {"model.pkl": "a1"}
    row = store.deployments.ensure("churn", "1", model_uri="models:/churn/1", config=DeploymentConfig(), now=NOW, files=files)
    lease = store.leases.acquire("supervisor", "me", now=NOW, seconds=60)
    assert lease is not None
    checks = ModelScans(ReportSettings.model_validate({"refuse_models": least}), "http://mlflow", store, lambda: NOW)
    assert set(checks.missing([row])) == (KEY if least else set())
    if least:
        checks.scan(lease, row)
    return checks, store.deployments.get("churn", "1")


def test_version_with_a_refused_finding_is_unhealthy_with_a_sentence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    checks, row = scanned(store, monkeypatch, FOUND, "low")
    assert (row.status, row.applied_generation) == (DeploymentStatus.UNHEALTHY, row.generation)
    message = row.message or ""
    assert "picklescan found that model.pkl loads posix.system, which runs code of its choice (high), and 1 more" in message
    assert "raylift models reports churn 1" in message
    assert checks.missing([row]) == set()
    again = store.deployments.want("churn", "1", now=NOW, config=row.config)
    assert checks.missing([again]) == KEY


def test_version_that_cannot_be_scanned_is_refused(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = Report("model", "picklescan", ReportState.NOT_RUN, detail="picklescan did not work: it is not installed.")
    _, row = scanned(store, monkeypatch, failed, "high")
    assert (row.status, "it is not installed" in (row.message or "")) == (DeploymentStatus.UNHEALTHY, True)


@pytest.mark.parametrize("least", ["medium", "high"])
def test_version_without_a_refused_finding_passes(store: Store, monkeypatch: pytest.MonkeyPatch, least: str) -> None:
    harmless = Report.of("model", "picklescan", list(FOUND.findings[1:]))
    checks, row = scanned(store, monkeypatch, harmless, least)
    assert (row.status, checks.missing([row])) == (DeploymentStatus.PENDING, set())


def test_nothing_is_scanned_without_the_setting(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    _, row = scanned(store, monkeypatch, FOUND, None)
    assert row.status is DeploymentStatus.PENDING
