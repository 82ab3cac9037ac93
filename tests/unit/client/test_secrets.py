from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift import Client, NotFound
from tests.unit.client.conftest import problem

PATH = "/mlops/secrets"
TIME = "2026-01-02T03:04:05Z"
SECRET = {"name": "AWS", "variables": ["A"], "created_at": TIME, "updated_at": TIME, "updated_by": "local"}


def test_secrets_are_stored_listed_and_deleted(client: Client, platform: Any) -> None:
    platform.on("PUT", f"{PATH}/AWS", httpx.Response(201, json=SECRET), httpx.Response(200, json=SECRET))
    platform.on("GET", PATH, httpx.Response(200, json={"secrets": [SECRET]}))
    platform.on("GET", f"{PATH}/AWS", httpx.Response(200, json=SECRET))
    platform.on("DELETE", f"{PATH}/AWS", httpx.Response(204))
    assert client.secrets.set("AWS", "hunter2").variables == ["A"]
    client.secrets.set("AWS", {"A": "hunter2"})
    assert platform.bodies() == [{"value": "hunter2"}, {"variables": {"A": "hunter2"}}]
    assert client.secrets.list() == [client.secrets.get("AWS")]
    client.secrets.delete("AWS")


def test_missing_secret_is_not_found(client: Client, platform: Any) -> None:
    platform.on("GET", f"{PATH}/GONE", problem(404, "secret_not_found", "There is no secret GONE."))
    with pytest.raises(NotFound, match="no secret GONE"):
        client.secrets.get("GONE")
