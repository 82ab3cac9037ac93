"""Requests that crashed processes. A process that dies does not remove its note."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from raylift.api.headers import PREDICTION_ID
from serve_apps.model_server.server.poison_requests import InFlightRequests, refuse_poison_requests

ID = b"0a1b2c3d-0000-4000-8000-000000000001"
OTHER = b"0a1b2c3d-0000-4000-8000-000000000002"[::-1]
DIES = """
import os, sys
from pathlib import Path
from serve_apps.model_server.server.poison_requests import InFlightRequests
with InFlightRequests(Path(sys.argv[1])).recorded(sys.argv[2].encode()[:16]):
    os._exit(7)
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "in-flight"


@pytest.fixture
def in_flight(path: Path) -> Iterator[InFlightRequests]:
    notes = InFlightRequests(path)
    yield notes
    notes.close()


def die(path: Path, request: bytes, times: int) -> None:
    for _ in range(times):
        done = subprocess.run([sys.executable, "-c", DIES, str(path), request.decode()], check=False, timeout=60)
        assert done.returncode == 7


async def _ok(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


async def ask(
    app: Callable[..., Awaitable[None]], request: bytes | None, tail: str = "/predict", method: str = "POST"
) -> tuple[int, Any]:
    sent: list[dict[str, Any]] = []

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    headers = [] if request is None else [(PREDICTION_ID.lower().encode(), request)]
    scope = {"type": "http", "method": method, "path": f"/v2/models/m/versions/1{tail}", "headers": headers}
    await app(scope, None, send)
    return sent[0]["status"], json.loads(sent[1]["body"])


def test_answered_request_leaves_no_note(in_flight: InFlightRequests) -> None:
    with in_flight.recorded(ID[:16]):
        assert in_flight.crashes(ID[:16]) == 1
    with pytest.raises(ValueError, match="a model's"), in_flight.recorded(ID[:16]):
        raise ValueError("a model's")
    assert in_flight.crashes(ID[:16]) == 0


def test_later_processes_know_a_request_that_crashed_one(path: Path, in_flight: InFlightRequests) -> None:
    die(path, ID, 2)
    assert (in_flight.crashes(ID[:16]), in_flight.crashes(OTHER[:16])) == (2, 0)
    after = InFlightRequests(path)
    assert after.crashes(ID[:16]) == 2
    after.close()


def test_live_processes_share_no_slot(path: Path, in_flight: InFlightRequests) -> None:
    others = [InFlightRequests(path) for _ in range(20)]  # More than have a place.
    with in_flight.recorded(ID[:16]):
        for other in others:
            with other.recorded(OTHER[:16]):
                assert in_flight.crashes(ID[:16]) == 1
    for other in others:
        other.close()


def test_more_requests_than_slots_are_answered(in_flight: InFlightRequests) -> None:
    notes = [in_flight.recorded(b"%016d" % number) for number in range(200)]
    for note in notes:
        note.__enter__()
    for note in notes:
        note.__exit__(None, None, None)
    assert [in_flight.crashes(b"%016d" % number) for number in range(200)] == [0] * 200


async def test_request_that_crashed_two_processes_is_refused(tmp_path: Path, path: Path) -> None:
    app = refuse_poison_requests(_ok, "m", "1", str(tmp_path))
    die(path, ID, 1)
    assert (await ask(app, ID))[0] == 200
    die(path, ID, 1)
    status, problem = await ask(app, ID)
    assert (status, problem["code"]) == (502, "replica_failed")
    assert "2 processes of version 1 of 'm' died while they worked on this request" in problem["detail"]
    assert (await ask(app, ID, "/infer")) == (502, {"error": problem["detail"]})
    assert (await ask(app, ID, "/invocations"))[0] == 500
    for innocent in (OTHER, None, b"short"):
        assert (await ask(app, innocent))[0] == 200
    assert (await ask(app, ID, "/ready", "GET"))[0] == 200


async def test_requests_present_at_a_crash_are_retried_one_by_one(tmp_path: Path, path: Path) -> None:
    ids = [b"%08d-aaaa-bbbb-cccc" % number for number in range(3)]
    for suspect in ids:
        die(path, suspect, 1)
    together: list[int] = []
    now = 0
    go_on = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal now
        now += 1
        together.append(now)
        await go_on.wait()
        now -= 1
        await _ok(scope, receive, send)

    guarded = refuse_poison_requests(app, "m", "1", str(tmp_path))
    asked = [asyncio.create_task(ask(guarded, request)) for request in (*ids, OTHER)]
    while len(together) < 2:  # noqa: ASYNC110 - nothing says when all that can have begun
        await asyncio.sleep(0)
    assert len(together) == 2  # A suspect, and a request that crashed no process.
    go_on.set()
    assert [status for status, _ in await asyncio.gather(*asked)] == [200] * 4
    assert max(together) == 2
