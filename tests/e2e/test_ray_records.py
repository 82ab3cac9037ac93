"""Ray's own dashboard about the platform's jobs, from their start to their end."""

from __future__ import annotations

import time
from collections import defaultdict
from pathlib import Path

import httpx

from raylift import Client
from raylift.launcher import LocalPlatform


def test_ray_calls_no_completed_job_failed(platform: LocalPlatform, client: Client) -> None:
    completed = client.train(script_content="print('done')", model="ray-records", deploy=False)
    failed = client.train(script_content="raise SystemExit(3)", model="ray-records", deploy=False)
    token = Path(platform.record.ray_token_file).read_text(encoding="ascii")
    seen: dict[str, set[str]] = defaultdict(set)
    end = time.monotonic() + 300
    with httpx.Client(base_url=platform.record.ray_dashboard_url, headers={"Authorization": f"Bearer {token}"}) as ray:
        while not (completed.refresh().is_final and failed.refresh().is_final):
            assert time.monotonic() < end, (completed.status, failed.status)
            _look(ray, seen)
            time.sleep(0.05)
        _look(ray, seen)
    assert "RUNNING" in seen[f"{completed.job_id}-a1"] <= {"PENDING", "RUNNING", "SUCCEEDED"}
    assert "RUNNING" in seen[f"{failed.job_id}-a1"] <= {"PENDING", "RUNNING", "FAILED"}


def _look(ray: httpx.Client, seen: dict[str, set[str]]) -> None:
    for record in ray.get("/api/jobs/").raise_for_status().json():
        seen[record.get("submission_id") or ""].add(record["status"])
