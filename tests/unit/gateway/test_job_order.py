"""Jobs that come after others over HTTP. The supervisor's part runs on the same store."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from job_entrypoints.contract import RESULT_FOLDER
from raylift.domain.job import Job, JobState, Reason
from raylift.domain.models.deployment import DeploymentConfig, DeploymentStatus
from raylift.engines.attempts.directory import AttemptDirectory
from raylift.engines.datasets import results
from raylift.engines.datasets.results import ResultRefused
from raylift.supervisor.order.release import JobReleases
from raylift.supervisor.order.results import JobResults
from tests.unit.gateway.conftest import Platform

UPLOAD = "/mlops/training/upload"
JOBS = "/mlops/training/jobs"
BATCHES = "/mlops/batches"
CSV = b"age\n20\n"


async def send(client: httpx.AsyncClient, **fields: Any) -> httpx.Response:
    return await client.post(UPLOAD, json={"script_content": "pass", "experiment_name": "e"} | fields)


async def make(client: httpx.AsyncClient, **fields: Any) -> str:
    answer = await send(client, **fields)
    assert answer.status_code == 202, answer.text
    return answer.json()["job_id"]


async def show(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    return (await client.get(f"{JOBS}/{job_id}")).json()


def write(platform: Platform, job: Job, **files: bytes) -> Path:
    folder = AttemptDirectory(platform.settings.attempts_dir, job.submission_id or "").result()
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / f"{name}.csv").write_bytes(content)
    return folder


def complete(platform: Platform, job_id: str, *, model_version: str | None = None, **files: bytes) -> Job:
    """Play the supervisor: the script runs, and leaves files."""
    job = platform.start(job_id)
    write(platform, job, **files)
    output = JobResults(platform.store, platform.settings).keep(job, directory_of(platform, job))
    return platform.finish(job_id, output=output, model_version=model_version)


def directory_of(platform: Platform, job: Job) -> AttemptDirectory:
    return AttemptDirectory(platform.settings.attempts_dir, job.submission_id or "")


def release(platform: Platform) -> list[str]:
    releases = JobReleases(platform.store, platform.settings, lambda: datetime.now(UTC))
    due = [job.job_id for job in platform.store.order.due()]
    for job_id in due:
        releases.attend(platform.lease, job_id)
    return due


async def test_job_says_what_it_waits_for(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await make(client)
    later = await make(client, after=[first])
    shown = await show(client, later)
    assert (shown["status"], shown["reason"], shown["message"]) == ("queued", "waiting_for_job", f"It waits for {first}.")
    assert [(job["job_id"], job["status"]) for job in shown["after"]] == [(first, "queued")]
    assert [job["job_id"] for job in (await show(client, first))["followed_by"]] == [later]
    complete(platform, first)
    assert release(platform) == [later]
    assert (await show(client, later))["reason"] == "waiting_for_capacity"


async def test_files_of_a_job_are_the_data_of_the_next(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await make(client, output_dataset="features")
    later = await make(client, data={"train": f"job:{first}"})
    (data,) = (await show(client, later))["data"]
    assert (data["name"], data["version"], data["of_job"]) == ("features", None, first)
    complete(platform, first, train=CSV)
    made = await show(client, first)
    assert (made["output"]["name"], made["output"]["version"]) == ("features", 1)
    release(platform)
    (data,) = (await show(client, later))["data"]
    assert (data["name"], data["version"], data["of_job"]) == ("features", 1, first)
    version = (await client.get("/mlops/datasets/features/versions/1")).json()
    assert (version["files"][0]["path"], version["rows"], version["job_id"]) == ("train.csv", 1, first)


async def test_same_files_of_two_jobs_are_one_version(client: httpx.AsyncClient, platform: Platform) -> None:
    jobs = [await make(client, output_dataset="features") for _ in range(2)]
    outputs = [complete(platform, job_id, train=CSV).output for job_id in jobs]
    assert outputs[0] == outputs[1]
    assert len((await client.get("/mlops/datasets/features")).json()["versions"]) == 1


async def test_result_is_kept_once_after_a_kill(client: httpx.AsyncClient, platform: Platform) -> None:
    job = platform.start(await make(client, output_dataset="features"))
    write(platform, job, a=CSV, b=CSV)
    results = JobResults(platform.store, platform.settings)
    first = results.keep(job, directory_of(platform, job))
    assert results.keep(job, directory_of(platform, job)) == first
    files = (await client.get("/mlops/datasets/features/versions/1")).json()["files"]
    assert [file["path"] for file in files] == ["a.csv", "b.csv"]


async def test_files_that_no_dataset_takes_are_refused(client: httpx.AsyncClient, platform: Platform, tmp_path: Path) -> None:
    job = platform.start(await make(client, output_dataset="features"))
    results = JobResults(platform.store, platform.settings)
    with pytest.raises(ResultRefused, match="wrote no file to the folder that RAYLIFT_OUTPUT names"):
        results.keep(job, directory_of(platform, job))
    (tmp_path / "secret").write_text("x")
    (write(platform, job) / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(ResultRefused, match="is a link"):
        results.keep(job, directory_of(platform, job))
    assert RESULT_FOLDER in str(directory_of(platform, job).result())


@pytest.mark.parametrize("state", [JobState.FAILED, JobState.CANCELLED])
async def test_failure_ends_all_later_jobs(client: httpx.AsyncClient, platform: Platform, state: JobState) -> None:
    first = await make(client)
    second = await make(client, after=[first])
    third = await make(client, after=[second])
    reason = Reason.SCRIPT_ERROR if state is JobState.FAILED else Reason.CANCELLED_BY_USER
    platform.start(first)
    platform.finish(first, state, reason=reason)
    assert release(platform) == [second]
    assert release(platform) == [third]
    for job_id, before in ((second, first), (third, second)):
        shown = await show(client, job_id)
        assert (shown["status"], shown["reason"], shown["started_at"]) == ("cancelled", "upstream_failed", None)
        assert before in shown["message"]
        assert "never started" in shown["message"]


async def test_job_after_one_that_ended_badly_is_refused(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await make(client)
    platform.start(first)
    platform.finish(first, JobState.FAILED)
    answer = await send(client, after=[first])
    assert answer.status_code == 422
    assert "would never start" in answer.json()["errors"][0]["detail"]


async def test_unknown_job_before_is_not_found(client: httpx.AsyncClient) -> None:
    for fields in ({"after": ["job_none"]}, {"data": {"train": "job:job_none"}}):
        answer = await send(client, **fields)
        assert (answer.status_code, answer.json()["code"]) == (404, "job_not_found")
    batch = {"model_name": "churn", "model_version": "job:job_none", "input": "s3://b/k"}
    assert (await client.post(BATCHES, json=batch)).status_code == 404


async def test_data_of_a_job_without_a_dataset_is_refused(client: httpx.AsyncClient) -> None:
    first = await make(client)
    answer = await send(client, data={"train": f"job:{first}"})
    assert "makes no dataset" in answer.json()["errors"][0]["detail"]


async def test_batch_predicts_with_the_version_of_a_job(client: httpx.AsyncClient, platform: Platform) -> None:
    train = await make(client, model_name="churn")
    body = {"model_name": "churn", "model_version": f"job:{train}", "input": "s3://bucket/rows.parquet"}
    other = await client.post(BATCHES, json=body | {"model_name": "other"})
    assert "registers no version of 'other'" in other.json()["errors"][0]["detail"]
    made = (await client.post(BATCHES, json=body)).json()
    assert made["model_version"] == f"job:{train}"
    complete(platform, train, model_version="7")
    platform.store.deployments.ensure(
        "churn", "7", model_uri="models:/churn/7", config=DeploymentConfig(environment={"A": "b"}), now=datetime.now(UTC),
        environment_lock=("tinynumpy==1.2.1",),
    )  # fmt: skip
    assert release(platform) == [made["batch_id"]]
    assert platform.store.jobs.get(made["batch_id"]).spec.batch.version == "", "its files are still being read"  # pyright: ignore[reportOptionalMemberAccess]
    row = platform.store.deployments.get("churn", "7")
    platform.store.deployments.record_files(platform.lease, row, {"MLmodel": "0" * 64}, now=datetime.now(UTC))
    release(platform)
    spec = platform.store.jobs.get(made["batch_id"]).spec
    assert spec.batch is not None
    assert (spec.batch.version, spec.environment_lock, spec.environment) == ("7", ("tinynumpy==1.2.1",), {"A": "b"})
    assert (await client.get(f"{BATCHES}/{made['batch_id']}")).json()["model_version"] == "7"


async def test_batch_of_a_version_without_readable_files_ends(client: httpx.AsyncClient, platform: Platform) -> None:
    train = await make(client, model_name="churn")
    body = {"model_name": "churn", "model_version": f"job:{train}", "input": "s3://bucket/rows.parquet"}
    batch_id = (await client.post(BATCHES, json=body)).json()["batch_id"]
    complete(platform, train, model_version="7")
    now = datetime.now(UTC)
    platform.store.deployments.ensure("churn", "7", model_uri="models:/churn/7", config=DeploymentConfig(), now=now)
    release(platform)
    assert (await show(client, batch_id))["reason"] == "waiting_for_job"
    row = platform.store.deployments.get("churn", "7")
    status, generation = DeploymentStatus.UNHEALTHY, row.generation
    platform.store.deployments.observe(
        platform.lease, row, now=now, status=status, replicas=0, message="no MLmodel", applied_generation=generation
    )
    release(platform)
    shown = await show(client, batch_id)
    assert (shown["status"], shown["reason"]) == ("cancelled", "upstream_failed")
    assert "no MLmodel" in shown["message"]


async def test_rerun_comes_after_what_it_names(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await make(client)
    later = await make(client, after=[first])
    complete(platform, first)
    release(platform)
    again = (await client.post(f"{JOBS}/{later}/rerun")).json()["job_id"]
    assert (await show(client, again))["after"] == []
    third = (await client.post(f"{JOBS}/{first}/rerun", json={"after": [later]})).json()["job_id"]
    assert [job["job_id"] for job in (await show(client, third))["after"]] == [later]


async def test_rerun_without_its_data_is_refused(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await make(client, output_dataset="features")
    later = await make(client, data={"train": f"job:{first}"})
    platform.start(first)
    platform.finish(first, JobState.FAILED)
    release(platform)
    answer = await client.post(f"{JOBS}/{later}/rerun")
    assert "never started" in answer.json()["errors"][0]["detail"]


async def test_graph_has_all_jobs_in_their_order(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await make(client, output_dataset="features")
    second = await make(client, data={"train": f"job:{first}"}, model_name="churn")
    third = await make(client, after=[second])
    aside = await make(client, after=[first])
    complete(platform, first, train=CSV)
    graph = (await client.get(f"{JOBS}/{third}/graph")).json()
    ids = [job["job_id"] for job in graph["jobs"]]
    assert ids[0] == first
    assert set(ids) == {first, second, third, aside}
    assert ids.index(second) < ids.index(third)
    assert graph["jobs"][0]["output"]["name"] == "features"
    assert len(graph["edges"]) == 3
    assert (await client.get(f"{JOBS}/job_none/graph")).status_code == 404


async def test_dry_run_shows_the_order(client: httpx.AsyncClient) -> None:
    first = await make(client, output_dataset="features")
    body = {"script_content": "pass", "experiment_name": "e", "data": {"train": f"job:{first}"}, "output_dataset": "more"}
    found = (await client.post(UPLOAD, params={"dry_run": "true"}, json=body)).json()
    assert (found["after"], found["data"], found["output_dataset"]) == ([first], {"train": f"job:{first}"}, "more")
    assert found["waits_for"] == f"It waits for {first}."


async def test_schedule_has_no_job_before_it(client: httpx.AsyncClient) -> None:
    first = await make(client)
    body = {
        "name": "nightly", "cron": "0 3 * * *",
        "train": {"script_content": "pass", "experiment_name": "e", "after": [first]},
    }  # fmt: skip
    answer = await client.post("/mlops/schedules", json=body)
    assert "cannot be scheduled" in answer.text


async def test_sweep_comes_after_a_job(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await make(client)
    made = (await send(client, after=[first], sweep={"parameters": {"lr": [1, 2]}})).json()
    jobs = sorted(job["job_id"] for job in made["jobs"])
    complete(platform, first)
    assert sorted(release(platform)) == jobs


async def test_rerun_of_a_batch_keeps_the_version_of_the_job(client: httpx.AsyncClient, platform: Platform) -> None:
    train = await make(client, model_name="churn")
    body = {"model_name": "churn", "model_version": f"job:{train}", "input": "s3://bucket/rows.parquet"}
    batch_id = (await client.post(BATCHES, json=body)).json()["batch_id"]
    complete(platform, train, model_version="7")
    deployments, now = platform.store.deployments, datetime.now(UTC)
    deployments.ensure("churn", "7", model_uri="models:/churn/7", config=DeploymentConfig(), now=now)
    deployments.record_files(platform.lease, deployments.get("churn", "7"), {"MLmodel": "0" * 64}, now=now)
    release(platform)
    complete(platform, batch_id)
    other = await make(client)
    refused = await client.post(f"{JOBS}/{batch_id}/rerun", json={"data": {"train": "churn-train"}})
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "data")
    again = (await client.post(f"{JOBS}/{batch_id}/rerun", json={"after": [other]})).json()["job_id"]
    complete(platform, other)
    assert release(platform) == [again]
    assert release(platform) == []
    assert (await client.get(f"{BATCHES}/{again}")).json()["model_version"] == "7"


async def test_batch_of_a_version_that_is_not_deployed_ends(client: httpx.AsyncClient, platform: Platform) -> None:
    train = await make(client, model_name="churn")
    body = {"model_name": "churn", "model_version": f"job:{train}", "input": "s3://bucket/rows.parquet"}
    batch_id = (await client.post(BATCHES, json=body)).json()["batch_id"]
    complete(platform, train, model_version="7")
    platform.store.deployments.ensure(
        "churn", "7", model_uri="models:/churn/7", config=DeploymentConfig(), now=datetime.now(UTC), wanted=False
    )
    release(platform)
    shown = await show(client, batch_id)
    assert (shown["status"], shown["reason"]) == ("cancelled", "upstream_failed")
    assert "deploy it" in shown["message"]


async def test_file_that_cannot_be_read_is_told(
    client: httpx.AsyncClient, platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    job = platform.start(await make(client, output_dataset="features"))
    write(platform, job, train=CSV)
    monkeypatch.setattr(results, "open_plain", closed)  # Tests may run as root, who reads all.
    with pytest.raises(ResultRefused, match=r"'train\.csv' cannot be read: Permission denied"):
        JobResults(platform.store, platform.settings).keep(job, directory_of(platform, job))


async def test_files_are_copied_once_for_all_tries_of_a_registration(client: httpx.AsyncClient, platform: Platform) -> None:
    job = platform.start(await make(client, output_dataset="features"))
    folder = write(platform, job, train=CSV)
    kept = JobResults(platform.store, platform.settings)
    first = kept.keep(job, directory_of(platform, job))
    (folder / "train.csv").unlink()
    assert kept.keep(job, directory_of(platform, job)) == first
    assert not list(platform.settings.uploads_dir.rglob(f"{job.job_id}*"))
