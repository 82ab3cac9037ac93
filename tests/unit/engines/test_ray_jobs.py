from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx

from raylift.domain.job import Resources
from raylift.engines.ray_engine.jobs import RayJobs


class Dashboard:
    def __init__(self, *jobs: dict[str, Any], **options: Any) -> None:
        self.submitted: list[dict[str, Any]] = []
        self.jobs = list(jobs)
        self.ray = RayJobs("http://ray.test", transport=httpx.MockTransport(self.answer), **options)

    def answer(self, request: httpx.Request) -> httpx.Response:
        if request.method == "POST":
            self.submitted.append(json.loads(request.content))
        return httpx.Response(200, json=self.jobs)

    def submit(self, **options: Any) -> dict[str, Any]:
        self.ray.submit("job_A-a1", "python x", Resources(0.5, 2**30), runtime_env={}, metadata={}, **options)
        return self.submitted[-1]


def test_avoided_node_is_excluded_by_its_label() -> None:
    dashboard = Dashboard()
    assert dashboard.submit(avoid_nodes=["ab12", "cd34"])["entrypoint_label_selector"] == {"ray.io/node-id": "!in(ab12,cd34)"}
    assert "entrypoint_label_selector" not in dashboard.submit()


def test_job_runs_on_prepared_nodes_only() -> None:
    dashboard = Dashboard(node_labels={"raylift.io/node": "h"})
    assert dashboard.submit()["entrypoint_label_selector"] == {"raylift.io/node": "h"}
    assert dashboard.submit(avoid_nodes=["ab12"])["entrypoint_label_selector"] == {
        "raylift.io/node": "h",
        "ray.io/node-id": "!in(ab12)",
    }


def test_job_has_its_node() -> None:
    runs = {"type": "SUBMISSION", "submission_id": "a", "status": "RUNNING", "entrypoint": "x", "driver_node_id": "ab12"}
    waits = {"type": "SUBMISSION", "submission_id": "b", "status": "PENDING", "entrypoint": "x", "driver_node_id": None}
    assert [job.node_id for job in Dashboard(runs, waits).ray.list()] == ["ab12", None]


def test_calls_carry_the_token_of_ray(tmp_path: Path) -> None:
    token_file, asked = tmp_path / "token", list[str | None]()
    token_file.write_text("secret\n", encoding="ascii")

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.headers.get("authorization"))
        return httpx.Response(200, json=[])

    for file in (token_file, None):
        RayJobs("http://ray.test", file, httpx.MockTransport(answer)).list()
    assert asked == ["Bearer secret", None]
