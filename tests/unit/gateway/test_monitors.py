"""The watch over a version in the API, with a real store."""

from __future__ import annotations

import io
import json
import tarfile
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from raylift.domain.audit import AuditFilter
from raylift.domain.job import Network
from raylift.domain.models.quality import Quality
from raylift.domain.monitoring.monitor import Alert, Check, Figures, MonitorState, Window
from raylift.domain.monitoring.quality_window import QualityWindow, Score, ScoreState
from raylift.domain.monitoring.reference import ColumnKind, Reference, ReferenceColumn
from raylift.engines.metrics.payload_files import Payload, write_payloads
from tests.unit.gateway.conftest import Platform

PATH = "/mlops/models/m/versions/1/monitor"
NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
COLUMNS = (
    ReferenceColumn("age", ColumnKind.NUMBER, 100, 0, (50, 50), (40.0,), 18.0, 90.0),
    ReferenceColumn("plan", ColumnKind.CATEGORY, 100, 0, (60, 40, 0), values=("basic", "pro")),
)


@pytest.fixture(autouse=True)
def registered(platform: Platform) -> None:
    platform.registry.register("m", "1")


@pytest.fixture
def watched(platform: Platform) -> None:
    """A version with one window, which has raised an alert."""
    monitors = platform.store.monitors
    monitors.begin(platform.lease, "m", "1", Reference(100, COLUMNS), NOON)
    monitor = monitors.find("m", "1")
    assert monitor is not None
    figures = Figures("age", False, None, 400, 0.5, 0.25, 0.2, 0.3, 0.0, 0.0, 0.01, 0.0, 0.0, 0.02, (Check.DRIFT,))
    end = NOON + timedelta(hours=1)
    window = Window("m", "1", NOON, end, 900, 400, True, [figures])
    alert = Alert("alert_1", "m", "1", Check.DRIFT, "age", None, 0.5, 0.25, NOON, end)
    monitors.close_window(platform.lease, monitor, window, MonitorState(), raised=[alert], ended=[], now=end)


async def get(client: httpx.AsyncClient, path: str = "") -> Any:
    answer = await client.get(PATH + path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_version_without_processes_waits(client: httpx.AsyncClient) -> None:
    found = await get(client)
    assert (found["status"], found["reference"], found["windows"], found["open_alerts"]) == ("waiting", None, [], [])
    assert (found["settings"]["window_seconds"], found["settings"]["enabled"]) == (3600, True)


async def test_version_without_a_profile_says_so(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.store.monitors.begin(platform.lease, "m", "1", None, NOON)
    assert (await get(client))["status"] == "no_reference"


@pytest.mark.usefixtures("watched")
async def test_watched_version_shows_windows_and_alerts(client: httpx.AsyncClient) -> None:
    found = await get(client)
    assert found["status"] == "watching"
    assert found["reference"] == {
        "rows": 100,
        "columns": [{"name": "age", "kind": "number"}, {"name": "plan", "kind": "category"}],
        "has_answers": False,
    }
    (window,) = found["windows"]
    assert (window["rows_seen"], window["rows_sketched"], window["figures"][0]["breaches"]) == (900, 400, ["drift"])
    assert found["open_alerts"][0]["feature"] == "age"
    assert (await get(client, "/windows"))["windows"] == [window]
    assert (await get(client, "/alerts"))["alerts"] == found["open_alerts"]


@pytest.mark.usefixtures("watched")
async def test_settings_are_put_and_audited(client: httpx.AsyncClient, platform: Platform) -> None:
    answer = await client.put(PATH, json={"window_seconds": 60, "segment_column": "plan"})
    assert answer.status_code == 200, answer.text
    settings = (await get(client))["settings"]
    assert (settings["window_seconds"], settings["segment_column"], settings["minimum_rows"]) == (60, "plan", 200)
    entries = platform.store.audit.list(AuditFilter(action="monitor.put"), limit=5).entries
    assert [entry.target for entry in entries] == ["m/1"]
    answer = await client.put(PATH, json={"enabled": False})
    assert answer.json()["status"] == "off"


@pytest.mark.usefixtures("watched")
@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"segment_column": "age"}, "segment_column", "give one of plan"),
        ({"window_seconds": 1}, "window_seconds", "10"),
        ({"drift": 0.3}, "drift", ""),
    ],
)
async def test_wrong_settings_are_refused(client: httpx.AsyncClient, body: dict[str, Any], field: str, says: str) -> None:
    answer = await client.put(PATH, json=body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert says in str(error)


async def test_unknown_version_is_not_found(client: httpx.AsyncClient) -> None:
    for tail in ("", "/windows", "/alerts"):
        assert (await client.get(PATH.replace("/1/", "/9/") + tail)).status_code == 404


def logged(platform: Platform, *times: datetime) -> None:
    """Write a payload log with a request at each of the times."""
    body, outputs = '{"inputs": [[30, "pro"]]}', '{"predictions": [1]}'
    for place, at in enumerate(times):
        payload = Payload(
            f"r{place}", at, "m", "1", "raylift", 200, None, 1.0, 1, body, outputs, len(body), len(outputs), None
        )  # fmt: skip
        write_payloads(platform.services.settings.payloads_dir, [payload])


async def post_report(client: httpx.AsyncClient, **body: Any) -> Any:
    return await client.post(f"{PATH}/reports", json=body)


@pytest.mark.usefixtures("watched")
async def test_report_is_a_job_with_the_requests_of_its_time(client: httpx.AsyncClient, platform: Platform) -> None:
    logged(platform, NOON - timedelta(days=2), NOON + timedelta(minutes=5), NOON + timedelta(minutes=6))
    answer = await post_report(client, until=(NOON + timedelta(minutes=30)).isoformat())
    assert answer.status_code == 202, answer.text
    found = answer.json()
    # From the start of the newest window on.
    assert (found["since"], found["until"]) == ("2026-03-01T12:00:00Z", "2026-03-01T12:30:00Z")
    assert found["reference"] == "requests before 2026-03-01T12:00:00+00:00"
    job = platform.store.jobs.get(found["job_id"])
    assert job.spec.requirements == ("evidently==0.7.23", "pandas<3")
    assert (job.spec.network, job.spec.deploy, job.spec.model_name) == (Network.MLFLOW_ONLY, False, None)
    assert job.spec.environment == {"DO_NOT_TRACK": "1"}
    assert job.spec.project_sha256 is not None
    with tarfile.open(fileobj=io.BytesIO(platform.store.jobs.project(job.spec.project_sha256))) as project:
        names = {member.name.removeprefix("./") for member in project}
        order = project.extractfile(next(member for member in project if member.name.endswith("order.json")))
        assert order is not None
        assert json.load(order) == {"columns": ["age", "plan"]}
    assert {"report.py", "order.json", "current.jsonl.gz", "reference.jsonl.gz"} <= names
    (listed,) = (await get(client, "/reports"))["reports"]
    assert listed | {"message": None} == found
    (entry,) = platform.store.audit.list(AuditFilter(action="monitor.report"), limit=5).entries
    assert entry.target == found["job_id"]


@pytest.mark.parametrize(
    ("body", "field", "says"),
    [
        ({"since": "2026-03-01T12:00:00Z", "until": "2026-03-01T13:00:00Z"}, "reference", "is required"),
        ({"since": "2026-03-05T12:00:00Z", "until": "2026-03-06T12:00:00Z"}, "since", "payload log"),
        ({"since": "2026-03-05T12:00:00Z", "until": "2026-03-04T12:00:00Z"}, "since", "not before until"),
        ({"since": "2026-03-01T12:00:00Z", "until": "2026-03-01T13:00:00Z", "reference": "none@1"}, "data.reference", "none"),
    ],
)
async def test_report_of_nothing_is_refused(
    client: httpx.AsyncClient, platform: Platform, body: dict[str, Any], field: str, says: str
) -> None:
    logged(platform, NOON + timedelta(minutes=5))
    answer = await post_report(client, **body)
    assert answer.status_code == 422
    (error,) = answer.json()["errors"]
    assert error["field"] == field
    assert says in str(error)


@pytest.mark.usefixtures("watched")
async def test_windows_of_quality_are_shown(client: httpx.AsyncClient, platform: Platform) -> None:
    monitor = platform.store.monitors.find("m", "1")
    assert monitor is not None
    end = NOON + timedelta(hours=1)
    scores = [Score(None, Quality(120, accuracy=0.7, accuracy_low=0.6, accuracy_high=0.8), ("accuracy",))]
    window = QualityWindow("m", "1", NOON, end, 900, None, 3, 2, NOON, scores, "2")
    close = platform.store.monitors.close_quality
    close(platform.lease, monitor, window, ScoreState(900.0, end), raised=[], ended=[], now=end)
    (shown,) = (await get(client))["quality"]
    assert (shown["rows"], shown["joined"], shown["baseline"]) == (900, 2, "2")
    (score,) = shown["scores"]
    assert (score["segment"], score["quality"]["accuracy"], score["breaches"]) == (None, 0.7, ["accuracy"])
    assert (await get(client, "/quality"))["windows"] == [shown]
