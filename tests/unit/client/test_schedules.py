"""``client.schedules``, and its asynchronous twin."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from raylift import AsyncClient, Client
from tests.unit.cli.test_schedule_commands import RUN, VIEW

PATH = "/mlops/schedules"
ONE = f"{PATH}/nightly"
ACCEPTED = {"job_id": "job_7", "status": "queued", "created_at": "2026-01-02T03:04:05Z", "message": "", "links": {}}


@pytest.fixture
def schedules(client: Client, platform: Any) -> Any:
    platform.on("POST", PATH, httpx.Response(201, json=VIEW))
    platform.on("PATCH", ONE, httpx.Response(200, json=VIEW))
    platform.on("GET", PATH, httpx.Response(200, json={"schedules": [VIEW]}))
    platform.on("GET", ONE, httpx.Response(200, json=VIEW))
    platform.on("POST", f"{ONE}/run", httpx.Response(202, json=ACCEPTED))
    platform.on(
        "GET",
        f"{ONE}/runs",
        httpx.Response(200, json={"runs": [RUN], "next_cursor": "c"}),
        httpx.Response(200, json={"runs": [RUN], "next_cursor": None}),
    )
    platform.on("DELETE", ONE, httpx.Response(204))
    return client.schedules


def bodies(platform: Any, method: str) -> list[Any]:
    return [json.loads(request.content) for request in platform.requests if request.method == method and request.content]


def test_schedule_of_a_script(schedules: Any, platform: Any) -> None:
    view = schedules.create("nightly", script_content="print(1)", cron="0 3 * * *", model="churn", env={"A": "1"})
    assert view.name == "nightly"
    assert str(view.next_runs[1].utcoffset()) == "2:00:00"
    (body,) = bodies(platform, "POST")
    assert body["cron"] == "0 3 * * *"
    assert body["train"]["model_name"] == "churn"
    assert body["train"]["environment"] == {"A": "1"}


def test_schedule_of_a_job(schedules: Any, platform: Any) -> None:
    schedules.create("nightly", cron="@daily", rerun="job_1")
    assert bodies(platform, "POST")[0]["rerun"] == "job_1"
    with pytest.raises(ValueError, match="one template"):
        schedules.create("nightly", cron="@daily", rerun="job_1", model="churn")


def test_update_sends_only_changes(schedules: Any, platform: Any) -> None:
    schedules.update("nightly", cron="@hourly")
    schedules.update("nightly", take_over=True)
    schedules.pause("nightly")
    schedules.resume("nightly")
    assert bodies(platform, "PATCH") == [{"cron": "@hourly"}, {"take_over": True}, {"paused": True}, {"paused": False}]
    with pytest.raises(ValueError, match="give the script, too"):
        schedules.update("nightly", model="churn")


def test_list_run_and_history(schedules: Any) -> None:
    assert [each.name for each in schedules.list()] == ["nightly"]
    assert schedules.get("nightly").schedule_id == "schedule_1"
    assert schedules.run("nightly").job_id == "job_7"
    assert [run.outcome for run in schedules.runs("nightly")] == ["skipped", "skipped"]
    schedules.delete("nightly")


async def test_asynchronous_twin(schedules: Any, platform: Any, clock: Any) -> None:
    async with AsyncClient("http://platform.test", transport=httpx.MockTransport(platform), clock=clock) as client:
        assert (await client.schedules.create("nightly", script_content="1", cron="@daily")).name == "nightly"
        assert [each.name for each in await client.schedules.list()] == ["nightly"]
        assert [run.outcome async for run in client.schedules.runs("nightly", limit=1)] == ["skipped"]
        assert (await client.schedules.get("nightly")).owner == "anna"
