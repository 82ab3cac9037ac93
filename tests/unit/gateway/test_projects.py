from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx
import pytest

from raylift.domain.job import JobState
from raylift.domain.project import ProjectFile, pack
from raylift.services.uploads.archives import UNPACKING
from tests.unit.gateway.conftest import Platform

UPLOAD = "/mlops/training/upload"
FILES = {"train.py": "from pkg import x\n", "pkg/__init__.py": "x = 1\n", "requirements.txt": "numpy>=2\n"}


def zipped(changes: Mapping[str, str | None] | None = None) -> bytes:
    files = {**FILES, **(changes or {})}
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in files.items():
            if text is not None:
                archive.writestr(name, text)
    return buffer.getvalue()


async def send(client: httpx.AsyncClient, archive: bytes, entrypoint: str | None = "train.py", **fields: str) -> httpx.Response:
    texts = {"experiment_name": "tests", **({"entrypoint": entrypoint} if entrypoint else {}), **fields}
    headers = {"Idempotency-Key": texts.pop("key")} if "key" in texts else {}
    return await client.post(UPLOAD, data=texts, files={"project": ("whatever", archive)}, headers=headers)


async def taken(client: httpx.AsyncClient, archive: bytes, entrypoint: str = "train.py", **fields: str) -> dict[str, Any]:
    answer = await send(client, archive, entrypoint, **fields)
    assert answer.status_code == 202, answer.text
    return (await client.get(answer.json()["links"]["self"])).json()


async def refused(
    client: httpx.AsyncClient, archive: bytes, entrypoint: str | None = "train.py", **fields: str
) -> dict[str, Any]:
    answer = await send(client, archive, entrypoint, **fields)
    assert answer.status_code == 422, answer.text
    return {error["field"]: error for error in answer.json()["errors"]}


async def test_waiting_project_uploads_delay_no_other_request(client: httpx.AsyncClient) -> None:
    with UNPACKING:
        uploads = [asyncio.create_task(send(client, zipped())) for _ in range(60)]
        # Meanwhile the uploads proceed as far as they can.
        for _ in range(100):
            answer = await asyncio.wait_for(client.get("/mlops/training/jobs"), 30)
            assert answer.json()["jobs"] == []
    assert {upload.status_code for upload in await asyncio.gather(*uploads)} == {202}


async def test_project_is_accepted(client: httpx.AsyncClient) -> None:
    job = await taken(client, zipped())
    packed = pack(ProjectFile(name, text.encode()) for name, text in FILES.items())
    assert (job["project_sha256"], job["entrypoint"], job["script_name"]) == (packed.sha256, "train.py", "train.py")
    assert (job["requirements"], job["requirements_source"]) == (["numpy>=2"], "requirements.txt")
    path = job["links"]["self"]
    assert (await client.get(f"{path}/script")).text == FILES["train.py"]
    answer = await client.get(f"{path}/project")
    assert (answer.headers["content-type"], answer.content) == ("application/gzip", packed.content)


async def test_entrypoint_in_a_subfolder_is_accepted(client: httpx.AsyncClient) -> None:
    job = await taken(client, zipped({"jobs/fit.py": "1\n"}), "./jobs/fit.py", requirements="scipy")
    assert (job["entrypoint"], job["script_name"]) == ("jobs/fit.py", "fit.py")
    assert (job["requirements"], job["requirements_source"]) == (["scipy"], "request")


async def test_single_scripts_have_no_project(client: httpx.AsyncClient) -> None:
    script = '# /// script\n# dependencies = ["numpy"]\n# ///\n'
    answer = await client.post(UPLOAD, json={"script_content": script, "experiment_name": "e"})
    job = (await client.get(answer.json()["links"]["self"])).json()
    assert (job["project_sha256"], job["entrypoint"], job["requirements_source"]) == (None, None, "script metadata")
    assert job["requirements"] == ["numpy"]
    missing = await client.get(f"{job['links']['self']}/project")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")


@pytest.mark.parametrize(
    ("archive", "entrypoint", "field", "detail"),
    [
        (zipped(), None, "entrypoint", "is required with a project: the path of the script in it; did you mean 'train.py'?"),
        (zipped(), "fit.py", "entrypoint", "is 'fit.py', which is not in the project"),
        (zipped(), "../train.py", "entrypoint", "leads out of the project"),
        (zipped(), "requirements.txt", "entrypoint", "neither a Python file nor a notebook"),
        (zipped({"train.py": None, "p/train.py": "1"}), "train.py", "entrypoint", "did you mean 'p/train.py'?"),
        (zipped({"train.py": "x = 1\ndef f(:\n"}), "train.py", "entrypoint", "does not compile"),
        (zipped({"train.py": "import x\0"}), "train.py", "entrypoint", "null byte"),
        (b"print(1)", "train.py", "project", "is neither a .zip nor a .tar.gz"),
        (zipped({"requirements.txt": "a\nb c\n"}), "train.py", "requirements", "in requirements.txt, line 2: 'b c' is not"),
    ],
)
async def test_wrong_projects_are_named(
    client: httpx.AsyncClient, archive: bytes, entrypoint: str | None, field: str, detail: str
) -> None:
    errors = await refused(client, archive, entrypoint)
    assert list(errors) == [field]
    assert detail in errors[field]["detail"]


async def test_syntax_error_of_an_entrypoint_has_its_place(client: httpx.AsyncClient) -> None:
    errors = await refused(client, zipped({"train.py": "x = 1\ndef f(:\n"}))
    assert (errors["entrypoint"]["line"], errors["entrypoint"]["column"]) == (2, 7)


async def test_all_errors_are_reported_at_once(client: httpx.AsyncClient) -> None:
    errors = await refused(client, zipped({"requirements.txt": "!!"}), timeout_seconds="1", args='["a\\u0000b"]')
    assert set(errors) == {"requirements", "timeout_seconds", "args[0]"}
    errors = await refused(client, b"", "x", script_content="1", script_name="a.py", tags="{")
    assert set(errors) == {"script_content", "script_name", "tags"}


async def test_conflicting_parts_are_refused(client: httpx.AsyncClient) -> None:
    answer = await client.post(UPLOAD, data={"experiment_name": "e", "project": "text", "entrypoint": "x"}, files={"x": b""})
    assert "file part" in answer.text
    answer = await client.post(UPLOAD, json={"script_content": "1", "experiment_name": "e", "entrypoint": "x.py"})
    assert [error["field"] for error in answer.json()["errors"]] == ["entrypoint"]


async def test_limits_of_projects_are_enforced(client: httpx.AsyncClient, platform: Platform) -> None:
    limit = platform.settings.jobs.max_project_bytes
    answer = await send(client, b"PK\x03\x04" + bytes(limit))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    answer = await send(client, zipped({"train.py": "#" * (2 << 20)}))
    assert (answer.status_code, answer.json()["limit_bytes"]) == (413, platform.settings.jobs.max_script_bytes)
    answer = await send(client, bytes(limit + (12 << 20)))
    assert "body is larger" in answer.text


async def test_equal_files_in_another_archive_are_the_same_body(client: httpx.AsyncClient) -> None:
    deflated = io.BytesIO()
    with zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in reversed(FILES):
            archive.writestr(f"./{name}", FILES[name])
    first = await send(client, zipped(), key="k")
    assert (await send(client, deflated.getvalue(), key="k")).json()["job_id"] == first.json()["job_id"]
    assert (await send(client, zipped({"pkg/__init__.py": "x = 2\n"}), key="k")).status_code == 422


async def test_rerun_uses_the_same_project_and_lock(client: httpx.AsyncClient, platform: Platform) -> None:
    settings: dict[str, Any] = {"resources": '{"cpus": 0.5, "memory": "1GiB"}', "tags": '{"a": "b"}', "autolog": "false"}
    job = await taken(client, zipped(), environment='{"SECRET": "s3"}', args='["--n", "3"]', max_retries="2", **settings)
    lock = ("numpy==2.0.0",)
    platform.move(platform.store.jobs.get(job["job_id"]), JobState.ENVIRONMENT, JobState.STARTING, environment_lock=lock)
    first = platform.store.jobs.get(job["job_id"])
    again = platform.store.jobs.get((await client.post(f"{job['links']['self']}/rerun")).json()["job_id"])
    assert again.spec == replace(first.spec, environment_lock=lock, take_traffic=False)
    assert again.spec.environment == {"SECRET": "s3"}
    # Before its admission, its lock is only in its spec.
    third = platform.store.jobs.get((await client.post(f"/mlops/training/jobs/{again.job_id}/rerun")).json()["job_id"])
    assert third.spec == again.spec
    compared = (await client.get(f"{job['links']['self']}/diff/{third.job_id}")).json()
    assert compared["same"]


async def test_project_is_deleted_with_its_last_job(client: httpx.AsyncClient, platform: Platform) -> None:
    job = await taken(client, zipped())
    again = (await client.post(f"{job['links']['self']}/rerun")).json()["links"]["self"]
    platform.move(platform.store.jobs.get(job["job_id"]), JobState.CANCELLED)
    assert (await client.delete(job["links"]["self"])).status_code == 204
    assert (await client.get(f"{again}/project")).status_code == 200


async def test_difference_between_two_jobs_is_read(client: httpx.AsyncClient, platform: Platform) -> None:
    first = await taken(client, zipped({"a.txt": "1"}), environment='{"A": "1", "SAME": "x", "GONE": "s3cret"}', args="[]")
    second = await taken(
        client,
        zipped(
            {
                "train.py": "from pkg import y\n",
                "b.txt": "1",
                "pkg/__init__.py": "y = 1\n",
                "requirements.txt": "numpy>=2\nrich\n",
            }
        ),
        environment='{"A": "2", "SAME": "x", "NEW": "n3w"}',
        args='["3"]',
        resources='{"cpus": 2}',
        timeout_seconds="60",
        tags='{"t": "1"}',
    )
    done = platform.start(first["job_id"])
    platform.finish(done.job_id, metrics={"loss": 0.5, "nan": float("nan")})
    answer = await client.get(f"{first['links']['self']}/diff/{second['job_id']}")
    assert "s3cret" not in answer.text
    assert "n3w" not in answer.text
    diff = answer.json()
    assert not diff["same"]
    assert diff["project"] == [
        {"name": "a.txt", "change": "removed"},
        {"name": "b.txt", "change": "added"},
        {"name": "pkg/__init__.py", "change": "changed"},
        {"name": "requirements.txt", "change": "changed"},
        {"name": "train.py", "change": "changed"},
    ]
    assert "\n-from pkg import x\n+from pkg import y\n" in diff["script"]
    assert diff["requirements"] == {"removed": [], "added": ["rich"]}
    assert diff["args"] == {"name": "args", "first": [], "second": ["3"]}
    assert {item["name"]: item["change"] for item in diff["environment"]} == {"A": "changed", "GONE": "removed", "NEW": "added"}
    assert diff["resources"] == [{"name": "cpus", "first": 1.0, "second": 2.0}]
    assert {item["name"] for item in diff["settings"]} == {"timeout_seconds", "tags.t"}
    assert {item["name"]: item["first"] for item in diff["metrics"]}["loss"] == 0.5
    same = (await client.get(f"{first['links']['self']}/diff/{first['job_id']}")).json()
    assert same["same"] and same["script"] is None
    assert (await client.get(f"{first['links']['self']}/diff/job_nope")).status_code == 404
