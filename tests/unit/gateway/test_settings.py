"""``GET /mlops/settings``, and the live usage of a running job."""

from __future__ import annotations

import json

import httpx

from raylift.services.cluster.shown_settings import shown_settings
from raylift.settings import PlatformSettings
from tests.unit.gateway.conftest import Platform


def test_secrets_are_masked(settings: PlatformSettings) -> None:
    secret = "s3cret-value"
    changed = settings.model_copy(
        update={"database_url": f"postgresql+psycopg://ann:{secret}@host/db", "mlflow_secret": secret},
    )
    shown = shown_settings(changed)
    assert secret not in json.dumps(shown)
    assert shown["database_url"] == "postgresql+psycopg://ann:***@host/db"
    assert (shown["mlflow_secret"], shown["ray_token_file"]) == ("***", None)
    assert shown["jobs"]["max_sweep_jobs"] == 100


async def test_settings_have_versions(client: httpx.AsyncClient) -> None:
    seen = (await client.get("/mlops/settings")).json()
    assert set(seen["versions"]) == {"raylift", "python", "ray", "mlflow"}
    assert seen["settings"]["auth"] == "local"


async def test_running_job_shows_what_it_uses_now(client: httpx.AsyncClient, platform: Platform) -> None:
    upload = {"script_content": "print(1)", "experiment_name": "e"}
    job_id = (await client.post("/mlops/training/upload", json=upload)).json()["job_id"]
    address = f"/mlops/training/jobs/{job_id}"
    platform.start(job_id, b"x")
    assert (await client.get(address)).json()["live_usage"] is None
    job = platform.store.jobs.get(job_id)
    record = platform.settings.attempts_dir / str(job.submission_id) / "usage.json"
    record.write_text('{"at": 1.0, "cpu_seconds": 3.5, "cpus": 1.5, "memory_bytes": 1024, "processes": 2}')
    seen = (await client.get(address)).json()["live_usage"]
    assert (seen["cpus"], seen["memory_bytes"], seen["processes"]) == (1.5, 1024, 2)
    record.write_text("not what the wrapper writes")
    assert (await client.get(address)).json()["live_usage"] is None
    platform.finish(job_id)
    assert (await client.get(address)).json()["live_usage"] is None
