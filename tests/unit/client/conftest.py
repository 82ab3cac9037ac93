"""A platform with scripted answers at the level of the transport. No part of the SDK is patched."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest

from raylift import Client, Clock
from tests.unit.job_resource import job_resource

Answer = httpx.Response | Exception | Callable[[httpx.Request], httpx.Response]


class FakeClock(Clock):
    """Sleeping only moves the clock."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.slept: list[float] = []

    def now(self) -> float:
        return self.time

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.time += seconds


@dataclass
class ScriptedPlatform:
    """Returns the scripted answers of each (method, path) in order. The last answer is repeated."""

    answers: dict[tuple[str, str], list[Answer]] = field(default_factory=dict)
    requests: list[httpx.Request] = field(default_factory=list)

    def on(self, method: str, path: str, *answers: Answer) -> None:
        self.answers[method, path] = list(answers)

    def __call__(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        queue = self.answers.get((request.method, request.url.raw_path.decode().partition("?")[0]))
        if not queue:
            return problem(404, "not_found", f"there is no {request.url.path}")
        answer = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, httpx.Response) else answer(request)

    def bodies(self) -> list[Any]:
        return [json.loads(request.content) for request in self.requests if request.content]


def problem(status: int, code: str, detail: str, headers: dict[str, str] | None = None, **facts: Any) -> httpx.Response:
    body = {"type": "about:blank", "title": "No", "status": status, "detail": detail, "code": code, **facts}
    return httpx.Response(status, json=body, headers={"Content-Type": "application/problem+json", **(headers or {})})


def job_json(status: str = "running", phase: str | None = None, **changes: Any) -> dict[str, Any]:
    return job_resource(status, **{"phase": phase or status, **changes})


ACCEPTED = {"job_id": "job_1", "status": "queued", "created_at": "2026-01-02T03:04:05Z", "message": "queued", "links": {}}


@pytest.fixture
def platform() -> ScriptedPlatform:
    return ScriptedPlatform()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def client(platform: ScriptedPlatform, clock: FakeClock) -> Iterator[Client]:
    with Client("http://platform.test", transport=httpx.MockTransport(platform), clock=clock) as client:
        yield client


@pytest.fixture
def make_problem() -> Callable[..., httpx.Response]:
    return problem


@pytest.fixture
def make_job() -> Callable[..., dict[str, Any]]:
    return job_json


@pytest.fixture
def accepted() -> dict[str, Any]:
    return dict(ACCEPTED)
