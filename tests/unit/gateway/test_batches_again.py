"""Batches that are made again: by the moments of a schedule, and by reruns."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.domain.errors import EngineUnavailable
from raylift.domain.models.deployment import DeploymentConfig
from raylift.services.batches.specs import BatchSpecs
from raylift.services.schedules.jobs import ScheduledJobs
from raylift.services.secrets import SecretService
from raylift.settings import JobSettings, PlatformSettings
from raylift.supervisor.schedules.execute import ScheduleExecutor
from tests.unit.gateway.conftest import Platform

SCHEDULES, BATCHES = "/mlops/schedules", "/mlops/batches"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "rows.parquet").write_bytes(b"PAR1")
    return folder


@pytest.fixture
def settings(settings: PlatformSettings, data: Path) -> PlatformSettings:
    return settings.model_copy(update={"jobs": JobSettings(writable_paths=(data,))})


@pytest.fixture(autouse=True)
def first_version(platform: Platform) -> None:
    deploy(platform, "1")


def deploy(platform: Platform, version: str) -> None:
    platform.registry.register("churn", version)
    platform.store.deployments.ensure(
        "churn",
        version,
        model_uri=f"models:/churn/{version}",
        config=DeploymentConfig(),
        now=datetime.now(UTC),
        environment_lock=(f"tinynumpy=={version}",),
        files={"MLmodel": "0" * 64},
    )


async def schedule(client: httpx.AsyncClient, batch: dict[str, Any]) -> httpx.Response:
    fields = {"name": "nightly", "cron": "0 3 * * *", "timezone": "Europe/Berlin"}
    return await client.post(SCHEDULES, json={**fields, "batch": {"model_name": "churn", **batch}})


def look(platform: Platform, now: datetime) -> None:
    renewed = BatchSpecs(platform.store, platform.registry, platform.settings).renewed
    jobs = ScheduledJobs(platform.store, platform.settings, SecretService(platform.store), renewed)
    ScheduleExecutor(platform.store, jobs, lambda: now).attend(platform.lease)


async def last_run(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get(f"{SCHEDULES}/nightly/runs")).json()["runs"][0]


async def test_scheduled_batch_has_the_day_of_its_moment_and_the_newest_version(
    client: httpx.AsyncClient, platform: Platform, data: Path
) -> None:
    made = await schedule(client, {"input": f"{data}/*.parquet", "output": f"{data}/{{date}}-{{time}}.parquet"})
    assert made.status_code == 201, made.text
    shown = made.json()
    assert (shown["kind"], shown["model_name"], shown["output"]) == ("batch", "churn", f"{data}/{{date}}-{{time}}.parquet")
    deploy(platform, "2")
    due = datetime.fromisoformat(shown["next_runs"][0])
    look(platform, due.astimezone(UTC) + timedelta(seconds=5))
    run = await last_run(client)
    assert run["outcome"] == "submitted", run
    batch = (await client.get(f"{BATCHES}/{run['job_id']}")).json()
    assert (batch["model_version"], batch["output"]) == ("2", f"{data}/{due:%Y-%m-%d}-030000.parquet")
    job = platform.store.jobs.get(run["job_id"])
    assert job.spec.environment_lock == ("tinynumpy==2",)
    assert platform.store.jobs.script(job.spec.script_sha256).startswith(b'"""Runs a batch')


async def test_alias_of_a_schedule_is_looked_up_at_each_moment(
    client: httpx.AsyncClient, platform: Platform, data: Path
) -> None:
    platform.registry.set_alias("churn", "champion", "1")
    assert (await schedule(client, {"input": f"{data}/rows.parquet", "alias": "champion"})).status_code == 201
    deploy(platform, "2")
    versions: list[str] = []
    for alias in ("1", "2"):
        platform.registry.set_alias("churn", "champion", alias)
        job = (await client.post(f"{SCHEDULES}/nightly/run")).json()
        versions.append((await client.get(f"{BATCHES}/{job['job_id']}")).json()["model_version"])
    assert versions == ["1", "2"]


async def test_moment_whose_output_exists_is_refused_with_the_reason(
    client: httpx.AsyncClient, platform: Platform, data: Path
) -> None:
    made = await schedule(client, {"input": f"{data}/rows.parquet", "output": f"{data}/{{date}}.parquet"})
    due = datetime.fromisoformat(made.json()["next_runs"][0])
    (data / f"{due:%Y-%m-%d}.parquet").touch()
    look(platform, due.astimezone(UTC))
    run = await last_run(client)
    assert run["outcome"] == "refused"
    assert "exists already" in run["message"]


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"input": "DATA/rows.parquet", "output": "DATA/out.parquet"}, "output"),
        ({"input": None}, "input"),
        ({"input": "/etc/{date}/*.csv"}, "input"),
        ({"input": "DATA/rows.parquet", "output": "/etc/{date}.csv"}, "output"),
        ({"input": "DATA/rows.parquet", "output": "DATA/../{date}.csv"}, "output"),
    ],
)
async def test_wrong_template_is_refused(
    client: httpx.AsyncClient, data: Path, fields: dict[str, str | None], field: str
) -> None:
    asked = {name: value and value.replace("DATA", str(data)) for name, value in fields.items()}
    answer = await schedule(client, asked)
    assert answer.status_code == 422, answer.text
    assert field in [each["field"] for each in answer.json()["errors"]]


async def rerun(client: httpx.AsyncClient, batch_id: str, **changes: Any) -> httpx.Response:
    return await client.post(f"/mlops/training/jobs/{batch_id}/rerun", json=changes)


async def test_rerun_of_a_batch_has_its_uploads_and_version(client: httpx.AsyncClient, platform: Platform) -> None:
    files = [("file", ("a.csv", b"x\n1\n"))]
    first = await client.post(BATCHES, data={"batch": json.dumps({"model_name": "churn"})}, files=files)
    deploy(platform, "2")
    again = await rerun(client, first.json()["batch_id"], resources={"cpus": 2})
    assert again.status_code == 202, again.text
    batch_id = again.json()["job_id"]
    assert (await client.get(f"{BATCHES}/{batch_id}")).json()["model_version"] == "1"
    assert (platform.settings.batches_dir / batch_id / "input" / "a.csv").read_bytes() == b"x\n1\n"
    assert platform.store.jobs.get(batch_id).spec.resources.cpus == 2
    (platform.settings.batches_dir / batch_id / "input" / "a.csv").unlink()
    gone = await rerun(client, batch_id)
    assert gone.status_code == 422
    assert "was removed after its retention" in gone.text
    assert len(list(platform.settings.batches_dir.iterdir())) == 2


async def test_rerun_never_replaces_an_output(client: httpx.AsyncClient, data: Path) -> None:
    fields = {"model_name": "churn", "input": f"{data}/rows.parquet", "output": f"{data}/out.parquet"}
    batch_id = (await client.post(BATCHES, json=fields)).json()["batch_id"]
    (data / "out.parquet").touch()
    for changes, said in (
        ({}, "exists already"),
        ({"output": "/etc/out.parquet"}, "outside of the folders"),
        ({"output": f"{data}/out.csv"}, "the output's name says csv"),
        ({"output": f"{data}/other.parquet", "args": ["--x"]}, "is not for a batch"),
    ):
        refused = await rerun(client, batch_id, **changes)
        assert (refused.status_code, said in refused.text) == (422, True), refused.text
    moved = await rerun(client, batch_id, output=f"file://{data}/other.parquet")
    assert moved.status_code == 202, moved.text
    assert (await client.get(f"{BATCHES}/{moved.json()['job_id']}")).json()["output"] == f"{data}/other.parquet"


async def test_bucket_has_no_credentials(client: httpx.AsyncClient) -> None:
    answer = await client.post(BATCHES, json={"model_name": "churn", "input": "s3://KEY:SECRET@lake/rows.csv"})
    assert answer.status_code == 422
    assert "credentials belong in a secret" in answer.text


async def test_loop_of_links_is_no_input(client: httpx.AsyncClient, data: Path) -> None:
    (data / "loop").symlink_to(data / "loop")
    answer = await client.post(BATCHES, json={"model_name": "churn", "input": f"{data}/loop/rows.csv"})
    assert answer.status_code == 422, answer.text


async def test_moment_waits_for_a_version_that_is_being_read(client: httpx.AsyncClient, platform: Platform, data: Path) -> None:
    made = await schedule(client, {"input": f"{data}/rows.parquet"})
    due = datetime.fromisoformat(made.json()["next_runs"][0]).astimezone(UTC)
    now = datetime.now(UTC)
    platform.store.deployments.ensure("churn", "2", model_uri="models:/churn/2", config=DeploymentConfig(), now=now)
    look(platform, due + timedelta(seconds=5))
    assert (await client.get(f"{SCHEDULES}/nightly/runs")).json()["runs"] == []
    row = platform.store.deployments.get("churn", "2")
    platform.store.deployments.record_files(platform.lease, row, {"MLmodel": "0" * 64}, now=now)
    look(platform, due + timedelta(seconds=15))
    run = await last_run(client)
    assert run["outcome"] == "submitted"
    assert (await client.get(f"{BATCHES}/{run['job_id']}")).json()["model_version"] == "2"


async def test_schedules_run_while_the_registry_is_away(
    client: httpx.AsyncClient, platform: Platform, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    platform.registry.set_alias("churn", "champion", "1")
    made = await schedule(client, {"input": f"{data}/rows.parquet", "alias": "champion"})
    train = {"script_content": "pass", "experiment_name": "e"}
    other = {"name": "other", "cron": "1 3 * * *", "timezone": "Europe/Berlin", "train": train}
    assert (await client.post(SCHEDULES, json=other)).status_code == 201
    due = datetime.fromisoformat(made.json()["next_runs"][0]).astimezone(UTC) + timedelta(minutes=2)

    def away(*_: object) -> str:
        raise EngineUnavailable("MLflow does not answer.")

    with monkeypatch.context() as patched:
        patched.setattr(platform.registry, "version_of_alias", away)
        look(platform, due)
        assert (await client.get(f"{SCHEDULES}/other/runs")).json()["runs"][0]["outcome"] == "submitted"
        assert (await client.get(f"{SCHEDULES}/nightly/runs")).json()["runs"] == []
    look(platform, due + timedelta(minutes=1))
    assert (await last_run(client))["outcome"] == "submitted"
