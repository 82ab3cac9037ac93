from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx

from raylift.engines.ray_engine.jobs import RayJobs
from raylift.supervisor.jobs.ray_snapshot import RayView

SUBMISSION = {"type": "SUBMISSION", "submission_id": "job_1-a1", "status": "RUNNING", "entrypoint": "x"}


class Ray:
    """Ray's list of jobs, with a count of calls. ``meanwhile`` runs during the call."""

    def __init__(self) -> None:
        self.lists = 0
        self.status = 200
        self.meanwhile: Callable[[], Any] = lambda: None
        self.now = 0.0
        transport = httpx.MockTransport(self.answer)
        self.view = RayView(RayJobs("http://ray.test", transport=transport), lambda: self.now)

    def answer(self, _request: httpx.Request) -> httpx.Response:
        self.lists += 1
        self.meanwhile()
        return httpx.Response(self.status, json=[SUBMISSION])


def test_list_is_read_each_second_and_less_often_without_jobs() -> None:
    ray = Ray()
    for tenth in range(61):
        ray.now = tenth / 10
        ray.view.snapshot(has_jobs=True)
    assert ray.lists == 7
    for tenth in range(61, 121):
        ray.now = tenth / 10
        ray.view.snapshot(has_jobs=False)
    assert ray.lists == 9


def test_list_says_nothing_of_later_submissions() -> None:
    ray = Ray()
    snapshot = ray.view.snapshot(has_jobs=True)
    assert snapshot.speaks_of("job_1")
    ray.view.touch("job_1")
    assert not ray.view.snapshot(has_jobs=True).speaks_of("job_1")
    ray.now = 1.0
    assert ray.view.snapshot(has_jobs=True).speaks_of("job_1")


def test_list_says_nothing_of_submissions_during_its_call() -> None:
    ray = Ray()
    ray.meanwhile = lambda: ray.view.touch("job_1")
    snapshot = ray.view.snapshot(has_jobs=True)
    assert not snapshot.speaks_of("job_1")
    assert snapshot.speaks_of("job_2")


def test_failed_call_gives_no_observation() -> None:
    ray = Ray()
    ray.status = 500
    snapshot = ray.view.snapshot(has_jobs=True)
    assert not snapshot.answers
    assert not snapshot.speaks_of("job_1")
