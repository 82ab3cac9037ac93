from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift import Client, Conflict, InvalidRequest
from tests.unit.client.conftest import problem

PATH = "/mlops/environments"
BUILT = {
    "hash": "a" * 24,
    "lock": ["humanize==4.9.0"],
    "built": True,
    "in_use": False,
    "size": 429549,
    "created_at": "2026-01-02T03:04:05Z",
    "last_used_at": "2026-01-02T03:04:05Z",
    "message": None,
}
BEGUN = BUILT | {"built": False, "size": None, "created_at": None, "last_used_at": None}
ONE = f"{PATH}/{BUILT['hash']}"


def test_environments_are_listed_and_read(client: Client, platform: Any):
    platform.on("GET", PATH, httpx.Response(200, json={"environments": [BUILT], "size": 429549, "max_size": 10}))
    platform.on("GET", ONE, httpx.Response(200, json=BUILT))
    assert [seen.lock for seen in client.environments.list()] == [["humanize==4.9.0"]]
    assert client.environments.get("a" * 24).size == 429549


def test_prewarm_waits_for_the_build(client: Client, platform: Any, tmp_path: Path):
    file = tmp_path / "requirements.txt"
    file.write_text("humanize\n")
    platform.on("POST", PATH, httpx.Response(202, json=BEGUN))
    platform.on("GET", ONE, httpx.Response(200, json=BEGUN), httpx.Response(200, json=BUILT))
    begun = client.environments.prewarm(file)
    assert not begun.built
    assert client.environments.wait(begun).built
    assert platform.bodies() == [{"requirements": ["humanize"]}]


def test_wait_raises_for_a_failed_build(client: Client, platform: Any):
    platform.on("POST", PATH, httpx.Response(202, json=BEGUN))
    platform.on("GET", ONE, httpx.Response(200, json=BEGUN | {"message": "it broke"}))
    assert client.environments.wait(client.environments.prewarm(["humanize"])).message == "it broke"


def test_wait_ends_at_its_timeout(client: Client, platform: Any):
    platform.on("POST", PATH, httpx.Response(202, json=BEGUN))
    platform.on("GET", ONE, httpx.Response(200, json=BEGUN))
    with pytest.raises(TimeoutError, match="not built after 3 s"):
        client.environments.wait(client.environments.prewarm(["humanize"]), timeout=3)


def test_prewarm_without_a_build_returns_at_once(client: Client, platform: Any):
    platform.on("POST", PATH, httpx.Response(200, json=BUILT | {"hash": None, "lock": []}))
    assert client.environments.wait(client.environments.prewarm(["numpy"])).hash is None
    assert len(platform.requests) == 1


def test_refusals_raise_their_exceptions(client: Client, platform: Any):
    platform.on("POST", PATH, problem(422, "environment_error", "No packages meet the requirements nope: …"))
    platform.on("DELETE", ONE, problem(409, "environment_in_use", "in use"))
    with pytest.raises(InvalidRequest, match="nope"):
        client.environments.prewarm(["nope"])
    with pytest.raises(Conflict, match="in use"):
        client.environments.delete("a" * 24)


def test_environment_is_deleted(client: Client, platform: Any):
    platform.on("DELETE", ONE, httpx.Response(204))
    client.environments.delete("a" * 24)
    assert [request.method for request in platform.requests] == ["DELETE"]
