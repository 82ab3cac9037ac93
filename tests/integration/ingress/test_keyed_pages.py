"""Keys, foreign pages and limits together at the real HAProxy."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime

import httpx
import pytest

from raylift.domain.access import AccessKey, Role, new_token
from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.guard import Guard
from raylift.ingress.keys import KeyMaps
from raylift.ingress.limits import Limits
from tests.integration.ingress.conftest import INFERENCE, PLAIN, ROUTE, running_ingress

APP = "https://app.example"
KEY = new_token()
NOW = datetime.now(UTC)
PREFLIGHT = {
    "Origin": APP,
    "Access-Control-Request-Method": "POST",
    "Access-Control-Request-Headers": "authorization,content-type",
}


@pytest.fixture
def client() -> Iterator[httpx.Client]:
    guard, limits = Guard(frozenset(LOOPBACK_NAMES)), Limits(requests_per_minute=4)
    with running_ingress(guard, asks_for_keys=True, origins=(APP,), limits=limits) as running:
        key = AccessKey(KEY.key_id, KEY.sha256, "ann", Role.ADMIN, "default", (), NOW, "admin")
        KeyMaps(running.directory).put([key], {}, NOW)
        with httpx.Client(base_url=running.url, timeout=90, trust_env=False) as connected:
            yield connected


def ask(client: httpx.Client, authorization: str | None = None, path: str = f"{ROUTE}/predict") -> httpx.Response:
    headers = {"Origin": APP, "Content-Type": "application/json"}
    return client.post(path, content=PLAIN, headers=headers | ({"Authorization": authorization} if authorization else {}))


def basic(key: str) -> str:
    return "Basic " + base64.b64encode(f"any:{key}".encode()).decode()


@pytest.mark.parametrize("path", [INFERENCE, f"{ROUTE}/predict"])
def test_preflight_needs_no_key(client: httpx.Client, path: str) -> None:
    answer = client.request("OPTIONS", path, headers=PREFLIGHT)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (204, APP)


def test_allowed_page_sees_that_it_needs_a_key(client: httpx.Client) -> None:
    refused = ask(client)
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, APP)
    answer = ask(client, f"Bearer {KEY.text}")
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, APP)
    assert "origin" not in answer.json()["headers"]


def test_key_is_one_client_as_a_token_and_as_a_password(client: httpx.Client) -> None:
    forms = [f"Bearer {KEY.text}", basic(KEY.text)]
    statuses = [ask(client, forms[number % 2]).status_code for number in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    assert ask(client).status_code == 401


def test_wrong_key_is_counted_before_it_is_checked(client: httpx.Client) -> None:
    statuses = [ask(client, "Bearer wrong").status_code for _ in range(5)]
    assert statuses == [401, 401, 401, 401, 429]


@pytest.mark.parametrize("path", ["/mlflow/api", "/ray/api"])
def test_page_allowed_for_predictions_reads_no_engine(client: httpx.Client, path: str) -> None:
    headers = {"Origin": APP, "Authorization": f"Bearer {KEY.text}"}
    refused = client.get(path, headers=headers)
    assert (refused.status_code, refused.json()["code"]) == (403, "cross_origin_refused")
    assert "access-control-allow-origin" not in refused.headers
    own = client.get(path, headers=headers | {"Origin": str(client.base_url).rstrip("/")})
    assert own.status_code == 200
