"""``/mlops/environments`` with the real uv and local wheels, without an index and without Ray."""

from __future__ import annotations

import asyncio
import subprocess
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

import raylift.services.requirements.environments as service
from raylift.domain.job import JobState
from raylift.domain.models.deployment import DeploymentConfig
from raylift.engines.environments.inventory import list_overlays
from raylift.engines.environments.overlays.build_record import write_record
from raylift.engines.environments.overlays.overlay import ensure_overlay, environment_hash, overlay_directory
from raylift.engines.environments.uv.process import Downloads
from raylift.settings import EnvironmentSettings
from tests.unit.gateway.conftest import Platform

PATH = "/mlops/environments"


@pytest.fixture(autouse=True)
def probe(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A package ``probe`` 1.0 in a folder of wheels, the only source of uv."""
    for name in ("UV_CACHE_DIR", "UV_FIND_LINKS"):
        monkeypatch.delenv(name, raising=False)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    with zipfile.ZipFile(wheels / "probe-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr("probe.py", "")
        archive.writestr("probe-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: probe\nVersion: 1.0\n")
        archive.writestr("probe-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr("probe-1.0.dist-info/RECORD", "")


@pytest.fixture
def root(platform: Platform) -> Path:
    return platform.settings.environments_dir


async def _until(client: httpx.AsyncClient, path: str, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    for _ in range(1200):
        view = (await client.get(path)).json()
        if met(view):
            return view
        await asyncio.sleep(0.05)
    raise AssertionError(path)


async def test_list_is_empty_at_first(client: httpx.AsyncClient) -> None:
    answer = (await client.get(PATH)).json()
    assert answer == {"environments": [], "size": 0, "max_size": EnvironmentSettings().max_bytes}


async def test_prewarm_builds_in_the_background(client: httpx.AsyncClient, root: Path) -> None:
    begun = await client.post(PATH, json={"requirements": ["probe>=1  # the newest", "numpy"]})
    assert begun.status_code == 202
    view = begun.json()
    assert (view["hash"], view["lock"], view["built"]) == (environment_hash(["probe==1.0"]), ["probe==1.0"], False)
    built = await _until(client, begun.headers["location"], lambda seen: seen["built"])
    assert built["size"] > 0
    assert not built["in_use"]
    assert built["created_at"] <= built["last_used_at"]
    listed = (await client.get(PATH)).json()
    assert [each["hash"] for each in listed["environments"]] == [view["hash"]]
    assert listed["size"] == built["size"]
    assert ensure_overlay(["probe==1.0"], root).exists()


async def test_prewarm_of_a_built_environment_answers_at_once(client: httpx.AsyncClient, root: Path) -> None:
    ensure_overlay(["probe==1.0"], root)
    answer = await client.post(PATH, json={"requirements": ["probe"]})
    assert answer.status_code == 200
    assert answer.json()["built"]


async def test_prewarm_of_packages_of_the_base_builds_nothing(client: httpx.AsyncClient, root: Path) -> None:
    answer = await client.post(PATH, json={"requirements": ["numpy", "scikit-learn"]})
    assert answer.status_code == 200
    assert (answer.json()["hash"], answer.json()["lock"], answer.json()["built"]) == (None, [], True)
    assert list_overlays(root) == []


@pytest.mark.parametrize(
    ("requirements", "code", "named"),
    [
        (["probe==9"], "environment_error", "probe==9"),
        (["nonsense-package"], "environment_error", "nonsense-package"),
        (["ray==1.0"], "environment_error", "ray"),
        (["probe", "-r other.txt"], "invalid_request", "requirements[1]"),
        (["not a requirement"], "invalid_request", "not a requirement"),
    ],
)
async def test_prewarm_of_impossible_requirements_is_refused(
    client: httpx.AsyncClient, requirements: list[str], code: str, named: str
) -> None:
    answer = await client.post(PATH, json={"requirements": requirements})
    assert (answer.status_code, answer.json()["code"]) == (422, code)
    assert named in answer.json()["detail"]


async def test_failed_build_says_why(client: httpx.AsyncClient, tmp_path: Path) -> None:
    wheel = tmp_path / "wheels" / "probe-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("probe-1.0.dist-info/entry_points.txt", "[console_scripts]\nbroken")
    begun = await client.post(PATH, json={"requirements": ["probe"]})
    failed = await _until(client, begun.headers["location"], lambda seen: seen["message"] is not None)
    assert not failed["built"]
    assert "probe==1.0" in failed["message"]
    assert (await client.delete(begun.headers["location"])).status_code == 204


async def test_api_answers_during_a_resolution(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(*_: Any, **__: Any) -> tuple[str, ...]:
        loop.call_soon_threadsafe(begun.set)
        asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(30)
        return ()

    monkeypatch.setattr(service, "lock_of", slow)
    posted = asyncio.create_task(client.post(PATH, json={"requirements": ["probe"]}))
    await asyncio.wait_for(begun.wait(), 30)
    assert (await client.get("/healthz")).status_code == 200
    go_on.set()
    assert (await posted).status_code == 200


async def test_environment_in_use_cannot_be_removed(client: httpx.AsyncClient, root: Path) -> None:
    python = ensure_overlay(["probe==1.0"], root)
    path = f"{PATH}/{environment_hash(['probe==1.0'])}"
    command = [python, "-c", "print(flush=True); input()"]
    with subprocess.Popen(command, stdin=-1, stdout=-1) as script:  # noqa: ASYNC220
        assert script.stdout
        script.stdout.readline()
        assert (await client.get(path)).json()["in_use"]
        refused = await client.delete(path)
        assert (refused.status_code, refused.json()["code"]) == (409, "environment_in_use")
        assert f"in use by process {script.pid} (" in refused.json()["detail"]
        script.kill()
    assert (await client.delete(path)).status_code == 204
    for answer in (await client.get(path), await client.delete(path)):
        assert (answer.status_code, answer.json()["code"]) == (404, "environment_not_found")
    assert not python.exists()


@pytest.mark.parametrize("name", ["nope", "..", ".cache", "0" * 24])
async def test_unknown_environment_is_404(client: httpx.AsyncClient, root: Path, name: str) -> None:
    (root / ".cache").mkdir(parents=True)
    assert (await client.delete(f"{PATH}/{name}")).status_code in {404, 405}
    assert (root / ".cache").exists()


async def test_environment_of_a_job_is_read(client: httpx.AsyncClient, platform: Platform, root: Path) -> None:
    accepted = await client.post(
        "/mlops/training/upload", json={"script_content": "print(1)", "experiment_name": "e", "requirements": ["probe"]}
    )
    job_id = accepted.json()["job_id"]
    queued = await client.get(f"{PATH}/{job_id}")
    assert (queued.status_code, queued.json()["code"]) == (404, "environment_not_found")
    platform.move(platform.store.jobs.get(job_id), JobState.STARTING, submission_id="s", environment_lock=("probe==1.0",))
    view = (await client.get(f"{PATH}/{job_id}")).json()
    assert (view["hash"], view["lock"], view["built"]) == (environment_hash(["probe==1.0"]), ["probe==1.0"], False)
    ensure_overlay(["probe==1.0"], root)
    assert (await client.get(f"{PATH}/{job_id}")).json()["built"]
    assert (await client.get(f"{PATH}/job_nope")).json()["code"] == "job_not_found"


async def test_job_without_requirements_has_no_environment(client: httpx.AsyncClient, platform: Platform) -> None:
    accepted = await client.post("/mlops/training/upload", json={"script_content": "print(1)", "experiment_name": "e"})
    job_id = accepted.json()["job_id"]
    platform.move(platform.store.jobs.get(job_id), JobState.STARTING, submission_id="s", environment_lock=())
    view = (await client.get(f"{PATH}/{job_id}")).json()
    assert (view["hash"], view["lock"]) == (None, [])


async def _job(client: httpx.AsyncClient, **fields: Any) -> str:
    body = {"script_content": "print(1)", "experiment_name": "e", "requirements": ["probe"], **fields}
    return (await client.post("/mlops/training/upload", json=body)).json()["job_id"]


async def test_download_shows_at_the_job_and_at_its_environment(
    client: httpx.AsyncClient, platform: Platform, root: Path
) -> None:
    job = platform.store.jobs.get(await _job(client))
    platform.store.jobs.amend(platform.lease, platform.move(job, JobState.ENVIRONMENT), environment_lock=("probe==1.0",))
    directory = overlay_directory(["probe==1.0"], root)
    write_record(directory, ["probe==1.0"], downloads=Downloads(10, 40), note="a word")
    seen = (await client.get(f"/mlops/training/jobs/{job.job_id}")).json()
    assert (seen["phase"], seen["environment_progress"]) == ("environment", {"downloaded": 10, "size": 40})
    assert seen["environment_note"] == "a word"
    environment = (await client.get(f"{PATH}/{job.job_id}")).json()
    assert (environment["progress"], environment["note"]) == ({"downloaded": 10, "size": 40}, "a word")


async def test_prewarm_notes_a_needless_cuda_download(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "missing_gpu_note", lambda *_, **__: "5 GiB of CUDA")
    begun = await client.post(PATH, json={"requirements": ["probe"]})
    assert begun.json()["note"] == "5 GiB of CUDA"
    await _until(client, begun.headers["location"], lambda seen: seen["built"])


async def test_prewarm_takes_a_torch_backend(client: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr(service, "lock_of", lambda *_, torch_backend, **__: asked.append(torch_backend) or ())
    await client.post(PATH, json={"requirements": ["probe"]})
    await client.post(PATH, json={"requirements": ["probe"], "torch_backend": "cu128"})
    assert asked == ["auto", "cu128"]
    refused = await client.post(PATH, json={"requirements": ["probe"], "torch_backend": "gpu"})
    assert refused.status_code == 422


async def test_torch_backend_is_kept_for_reruns(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = await _job(client, torch_backend="cpu")
    assert (await client.get(f"/mlops/training/jobs/{job_id}")).json()["torch_backend"] == "cpu"
    again = (await client.post(f"/mlops/training/jobs/{job_id}/rerun")).json()["job_id"]
    assert platform.store.jobs.get(again).spec.torch_backend == "cpu"
    form = {"script": "print(1)", "experiment_name": "e", "torch_backend": "cu128"}
    sent = await client.post("/mlops/training/upload", files={name: (None, value) for name, value in form.items()})
    assert platform.store.jobs.get(sent.json()["job_id"]).spec.torch_backend == "cu128"
    refused = await client.post(
        "/mlops/training/upload", json={"script_content": "1", "experiment_name": "e", "torch_backend": "gpu"}
    )
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "torch_backend")


async def test_jobs_and_deployments_that_hold_an_environment_are_listed(
    client: httpx.AsyncClient, platform: Platform, root: Path
) -> None:
    lock = ("probe==1.0",)
    ensure_overlay(lock, root, expected=True)
    path = f"{PATH}/{environment_hash(lock)}"
    assert "a worker that has not started" in (await client.delete(path)).json()["detail"]
    job = platform.move(platform.store.jobs.get(await _job(client)), JobState.STARTING, environment_lock=lock)
    row = platform.store.deployments.ensure(
        "m", "3", model_uri="models:/m/3", config=DeploymentConfig(), now=datetime.now(UTC), environment_lock=lock
    )
    refused = (await client.delete(path)).json()
    assert f"in use by job {job.job_id}, the deployment of m version 3 (pending)" in refused["detail"]
    assert (refused["jobs"], refused["deployments"]) == ([job.job_id], ["m version 3 (pending)"])
    platform.store.deployments.want(row.model_name, row.version, now=datetime.now(UTC), wanted=False)
    assert "m version 3 (stopping)" in (await client.delete(path)).json()["detail"]


class TestLeftToRay:
    @pytest.fixture
    def settings(self, settings: Any) -> Any:
        return settings.model_copy(update={"environments": EnvironmentSettings(mechanism="ray_uv")})

    async def test_prewarm_is_refused_without_the_overlay_mechanism(self, client: httpx.AsyncClient) -> None:
        answer = await client.post(PATH, json={"requirements": ["probe"]})
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")
        assert "ray_uv" in answer.json()["detail"]


@pytest.mark.parametrize(
    "line", ["x @ /etc", "x @ file:///etc", "x @ git+file:///etc", "./lib", "-e .", "x @ http://127.0.0.1/x.whl", "x==${HOME}"]
)
async def test_prewarm_refuses_paths_variables_and_http(client: httpx.AsyncClient, line: str) -> None:
    answer = await client.post(PATH, json={"requirements": ["numpy", line]})
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "requirements[1]")
