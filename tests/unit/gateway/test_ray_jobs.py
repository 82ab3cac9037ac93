"""The HTTP interface of Ray's Jobs API, read with Ray's own models and called as Ray's own client calls it."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
from ray.dashboard.modules.job.common import JobSubmitRequest, JobSubmitResponse
from ray.dashboard.modules.job.pydantic_models import JobDetails
from ray.dashboard.modules.version import CURRENT_VERSION, VersionResponse

from raylift.api.ray_jobs import JobDetails as OwnDetails
from raylift.api.ray_jobs import JobSubmitRequest as OwnRequest
from raylift.domain.job import JobState, Reason
from raylift.domain.project import ProjectFile
from raylift.services.ray_api import packages
from raylift.services.uploads import sources
from raylift.services.uploads.archives import UNPACKING, read_project
from raylift.settings import JobSettings
from tests.unit.gateway.conftest import Platform

FILES = {"train.py": "import features\n", "features.py": "x = 1\n"}
NAME = "_ray_pkg_0123456789abcdef.zip"
PACKAGE = f"/api/packages/gcs/{NAME}"


def zipped(files: Mapping[str, str] = FILES) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return buffer.getvalue()


async def upload(client: httpx.AsyncClient, path: str = PACKAGE, files: Mapping[str, str] = FILES) -> None:
    assert (await client.put(path, content=zipped(files))).status_code == 200


async def submit(client: httpx.AsyncClient, entrypoint: str = "true", **fields: Any) -> httpx.Response:
    return await client.post("/api/jobs/", json={"entrypoint": entrypoint, **fields})


async def submitted(client: httpx.AsyncClient, entrypoint: str = "true", **fields: Any) -> str:
    answer = await submit(client, entrypoint, **fields)
    assert answer.status_code == 200, answer.text
    return JobSubmitResponse(**answer.json()).submission_id


async def details(client: httpx.AsyncClient, submission_id: str) -> JobDetails:
    answer = await client.get(f"/api/jobs/{submission_id}")
    assert answer.status_code == 200, answer.text
    return JobDetails(**answer.json())


def test_fields_are_those_of_ray() -> None:
    assert set(OwnDetails.model_fields) == set(JobDetails.model_fields)
    assert set(OwnRequest.model_fields) == set(JobSubmitRequest.__dataclass_fields__)


async def test_version_is_answered(client: httpx.AsyncClient) -> None:
    answer = VersionResponse(**(await client.get("/api/version")).json())
    assert answer.version == CURRENT_VERSION
    assert answer.ray_version.startswith("2.")


async def test_package_is_uploaded_once(client: httpx.AsyncClient) -> None:
    missing = await client.get(PACKAGE)
    assert (missing.status_code, missing.text) == (404, f"Package gcs://{NAME} does not exist")
    await upload(client)
    assert (await client.get(PACKAGE)).status_code == 200


@pytest.mark.parametrize(
    ("path", "content", "status", "words"),
    [
        (PACKAGE, b"no archive", 400, "neither a .zip nor a .tar.gz"),
        (PACKAGE, zipped({"../x": ""}), 400, "'..'"),
        ("/api/packages/gcs/wheel.whl", zipped(), 400, "wheels as requirements"),
        ("/api/packages/s3/a.zip", zipped(), 400, "no package of a Ray client"),
    ],
)
async def test_package_is_checked(client: httpx.AsyncClient, path: str, content: bytes, status: int, words: str) -> None:
    answer = await client.put(path, content=content)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8")
    assert words in answer.text


async def test_script_of_a_working_dir_becomes_a_project_job(client: httpx.AsyncClient) -> None:
    await upload(client)
    metadata = {"raylift.model_name": "oak", "own": "kept"}
    runtime_env = {"working_dir": f"gcs://{NAME}", "pip": ["tinydb"], "env_vars": {"SECRET": "s3"}}
    submission_id = await submitted(
        client, "python train.py --n 1", submission_id="raysubmit_1", runtime_env=runtime_env, metadata=metadata
    )
    assert submission_id == "raysubmit_1"
    found = await details(client, submission_id)
    assert (found.status, found.metadata, found.entrypoint) == ("PENDING", metadata, "python train.py --n 1")
    assert found.runtime_env == {**runtime_env, "env_vars": {"SECRET": "***"}}
    assert "place 1 in the queue" in (found.message or "")
    assert found.start_time
    assert found.end_time is None

    job = (await client.get(f"/mlops/training/jobs/{found.job_id}")).json()
    assert (job["entrypoint"], job["args"], job["model_name"]) == ("train.py", ["--n", "1"], "oak")
    assert (job["requirements"], job["environment"], job["command"]) == (["tinydb"], {"SECRET": "***"}, None)


async def test_py_modules_are_added_to_the_project(client: httpx.AsyncClient, platform: Platform) -> None:
    await upload(client)
    await upload(client, "/api/packages/gcs/_ray_pkg_2.zip", {"shop/__init__.py": ""})
    runtime_env = {"working_dir": f"gcs://{NAME}", "py_modules": ["gcs://_ray_pkg_2.zip"]}
    job = platform.services.ray_jobs.find(await submitted(client, "python train.py", runtime_env=runtime_env))
    assert job.spec.python_path == (".", ".py_modules/0")
    assert job.spec.project_sha256


async def test_projects_are_unpacked_one_at_a_time(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    alone: list[bool] = []

    def watched(archive: bytes, settings: JobSettings) -> dict[str, ProjectFile]:
        alone.append(UNPACKING.locked())
        return read_project(archive, settings)

    for module in (packages, sources):
        monkeypatch.setattr(module, "read_project", watched)
    await upload(client)
    assert alone == [True]
    await submitted(client, "python train.py", runtime_env={"working_dir": f"gcs://{NAME}", "py_modules": [f"gcs://{NAME}"]})
    assert alone == [True] * 4
    assert not UNPACKING.locked()


async def test_py_modules_together_have_the_limit_of_a_project(client: httpx.AsyncClient, platform: Platform) -> None:
    limit = platform.settings.jobs.max_project_unpacked_bytes
    await upload(client, files={"big.bin": "0123456789abcdef" * (3 * 1024 * 1024 // 16)})
    again = ["gcs://" + NAME] * (limit // (3 * 1024 * 1024) + 1)
    answer = await submit(client, "true", runtime_env={"py_modules": again})
    assert (answer.status_code, "128 MiB" in answer.text) == (413, True), answer.text


async def test_other_entrypoint_is_a_shell_command(client: httpx.AsyncClient) -> None:
    command = "cd sub && ./run.sh $HOME"
    submission_id = await submitted(client, command, entrypoint_num_cpus=0.5)
    assert submission_id.startswith("job_")
    job = (await client.get(f"/mlops/training/jobs/{submission_id}")).json()
    assert (job["command"], job["script_name"], job["resources"]["cpus"]) == (command, "entrypoint.sh", 0.5)
    assert (await client.get(f"/mlops/training/jobs/{submission_id}/script")).text == command
    rerun = (await client.post(f"/mlops/training/jobs/{submission_id}/rerun")).json()["job_id"]
    assert (await details(client, rerun)).entrypoint == command


async def test_rerun_has_a_submission_id_of_its_own(client: httpx.AsyncClient) -> None:
    first = await details(client, await submitted(client, submission_id="mine"))
    rerun = (await client.post(f"/mlops/training/jobs/{first.job_id}/rerun")).json()["job_id"]
    assert (await details(client, rerun)).submission_id == rerun
    assert (await details(client, "mine")).job_id == first.job_id


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"entrypoint": "python train.py"}, 400, "there is no working_dir"),
        ({"runtime_env": {"working_dir": "gcs://_ray_pkg_gone.zip"}}, 404, "does not exist"),
        ({"runtime_env": {"working_dir": "https://example.com/a.zip"}}, 400, "nothing is fetched from elsewhere"),
        ({"runtime_env": {"conda": {"dependencies": []}}}, 400, "conda"),
        ({"runtime_env": {"pip": ["no == requirement"]}}, 400, "runtime_env.pip[0]"),
        ({"runtime_env": {"pip": ["x @ /etc"]}}, 400, "names a file or directory"),
        ({"runtime_env": {"uv": {"packages": ["x==${HOME}"]}}}, 400, "variables are not replaced"),
        ({"runtime_env": {"env_vars": {"PATH": "/"}}}, 400, "runtime_env.env_vars.PATH"),
        ({"entrypoint_num_cpus": 64}, 400, "entrypoint_num_cpus no node of the cluster"),
        ({"metadata": {"raylift.timeout_seconds": "5"}}, 400, "metadata.raylift.timeout_seconds"),
        *(({"submission_id": odd}, 400, "submission_id") for odd in ("a/b", "a?b", "a#b", "a%20b", "..", "a\tb")),
        ({"unknown": 1}, 400, "unknown"),
        ({"entrypoint": 5}, 400, "entrypoint"),
    ],
)
async def test_refusals_are_plain_text(client: httpx.AsyncClient, fields: dict[str, Any], status: int, words: str) -> None:
    answer = await client.post("/api/jobs/", json={"entrypoint": "true"} | fields)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "text/plain; charset=utf-8"), answer.text
    assert words in answer.text
    assert (await client.get("/api/jobs/")).json() == []


async def test_script_missing_from_the_working_dir_is_refused(client: httpx.AsyncClient) -> None:
    await upload(client)
    answer = await submit(client, "python tain.py", runtime_env={"working_dir": f"gcs://{NAME}"})
    assert (answer.status_code, "did you mean 'train.py'" in answer.text) == (400, True)


async def test_used_submission_id_is_refused_as_ray_does(client: httpx.AsyncClient) -> None:
    await submitted(client, submission_id="mine")
    answer = await submit(client, submission_id="mine")
    assert answer.status_code == 500
    assert "Job with submission_id mine already exists. Please use a different submission_id." in answer.text
    assert len((await client.get("/api/jobs/")).json()) == 1


@pytest.mark.parametrize("method", ["get", "delete"])
@pytest.mark.parametrize("path", ["", "/logs", "/stop"])
async def test_unknown_job_is_404(client: httpx.AsyncClient, method: str, path: str) -> None:
    if path:
        method = {"/logs": "get", "/stop": "post"}[path]
    answer = await client.request(method, f"/api/jobs/nobody{path}")
    assert (answer.status_code, answer.text) == (404, "Job nobody does not exist")


async def test_every_status_has_ray_s_name(client: httpx.AsyncClient, platform: Platform) -> None:
    ids = [await submitted(client) for _ in range(4)]
    for job_id in ids[1:]:
        platform.start(job_id)
    platform.finish(ids[2], exit_code=0)
    platform.finish(ids[3], JobState.FAILED, reason=Reason.OUT_OF_MEMORY, message="used too much", exit_code=137)
    listed = {job["submission_id"]: JobDetails(**job) for job in (await client.get("/api/jobs/")).json()}
    assert [listed[job_id].status.value for job_id in ids] == ["PENDING", "RUNNING", "SUCCEEDED", "FAILED"]
    failed = listed[ids[3]]
    assert (failed.error_type, failed.driver_exit_code) == ("JOB_ENTRYPOINT_COMMAND_ERROR", 137)
    assert failed.message == "Job failed: out_of_memory. used too much"
    assert failed.end_time is not None
    assert failed.start_time is not None
    assert failed.end_time >= failed.start_time


async def test_job_is_stopped_and_deleted(client: httpx.AsyncClient, platform: Platform) -> None:
    await submitted(client, submission_id="mine")
    running = await client.delete("/api/jobs/mine")
    assert (running.status_code, "non-terminal state PENDING" in running.text) == (500, True)
    assert (await client.post("/api/jobs/mine/stop")).json() == {"stopped": True}
    job = platform.services.ray_jobs.find("mine")
    assert job.cancel_requested_at
    platform.move(job, JobState.CANCELLED, reason=Reason.CANCELLED_BY_USER)
    assert (await details(client, "mine")).status.value == "STOPPED"
    assert (await client.post("/api/jobs/mine/stop")).json() == {"stopped": False}
    assert (await client.delete("/api/jobs/mine")).json() == {"deleted": True}
    assert (await client.get("/api/jobs/mine")).status_code == 404


async def test_log_is_read(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await submitted(client)
    assert (await client.get(f"/api/jobs/{job_id}/logs")).json() == {"logs": ""}
    platform.start(job_id, "one\nzwö\n".encode())
    assert (await client.get(f"/api/jobs/{job_id}/logs")).json() == {"logs": "one\nzwö\n"}


async def test_owner_comes_in_a_header(client: httpx.AsyncClient, platform: Platform) -> None:
    answer = await client.post("/api/jobs/", json={"entrypoint": "true"}, headers={"X-Raylift-Owner": "blue"})
    assert platform.services.ray_jobs.find(answer.json()["submission_id"]).spec.owner == "blue"
    refused = await client.post("/api/jobs/", json={"entrypoint": "true"}, headers={"X-Raylift-Owner": "no owner"})
    assert (refused.status_code, "X-Raylift-Owner" in refused.text) == (400, True)
