"""Limits of clients at the real HAProxy."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.guard import Guard
from raylift.ingress.limits import Limits
from tests.integration.ingress.conftest import INFERENCE, PLAIN, ROUTE, TOKEN, Ingress, running_ingress

UPLOAD = "/mlops/training/upload"
PROXY = "127.0.0.7"


@contextmanager
def limited(**limits: int) -> Iterator[tuple[Ingress, httpx.Client]]:
    guard = Guard(frozenset(LOOPBACK_NAMES), (PROXY,), unlimited=("127.0.0.1",))
    with (
        running_ingress(guard, limits=Limits(**limits)) as running,
        httpx.Client(base_url=running.url, timeout=90, trust_env=False) as client,
    ):
        yield running, client


def post(client: httpx.Client, path: str = INFERENCE, key: str | None = None, **headers: str) -> httpx.Response:
    sent = {"Content-Type": "application/json", **({"Authorization": f"Bearer {key}"} if key else {}), **headers}
    return client.post(path, content=PLAIN, headers=sent)


def statuses(answers: list[httpx.Response]) -> list[int]:
    return [answer.status_code for answer in answers]


def test_each_key_has_its_own_requests_on_all_routes_together() -> None:
    with limited(requests_per_minute=3) as (ingress, client):
        paths = [INFERENCE, f"{ROUTE}/predict", "/mlops/models", INFERENCE, f"{ROUTE}/predict"]
        first = [post(client, path, "ann") for path in paths]
        assert statuses(first) == [200, 200, 200, 429, 429]
        assert [answer.headers["ratelimit"] for answer in first[:4]] == [
            '"requests";r=2;t=60',
            '"requests";r=1;t=60',
            '"requests";r=0;t=60',
            '"requests";r=0;t=20',
        ]
        assert {answer.headers["ratelimit-policy"] for answer in first} == {'"requests";q=3;w=60'}
        assert first[3].headers["retry-after"] == "20"
        assert first[3].headers["content-type"] == "application/problem+json"
        assert first[3].json()["code"] == "rate_limited"
        assert post(client, key="bob").status_code == 200
        assert client.post(INFERENCE, content=PLAIN, headers={"Authorization": "bearer  ann"}).status_code == 429
        # The address without a key is one more client.
        assert statuses([post(client) for _ in range(4)]) == [200, 200, 200, 429]
        assert len([asked for asked in ingress.replica.asked + ingress.gateway.asked if asked.startswith("POST")]) == 7


def test_requests_of_the_gateway_are_not_counted_again() -> None:
    inner = {"X-Raylift-Ingress": TOKEN, "X-Raylift-Forwarded": "1"}
    with limited(requests_per_minute=1, concurrent_requests=1, uploads_per_hour=1) as (_, client):
        assert statuses([post(client, f"{ROUTE}/predict", "ann", **inner) for _ in range(5)]) == [200] * 5


def test_uploads_have_a_limit_of_their_own() -> None:
    with limited(uploads_per_hour=2) as (_, client):
        assert statuses([post(client, f"{UPLOAD}?dry_run=true", "ann") for _ in range(5)]) == [200] * 5
        assert statuses([post(client, path, "ann") for path in (UPLOAD, "/api/jobs/", UPLOAD)]) == [200, 200, 429]
        # Of two values the gateway would take the last.
        assert post(client, f"{UPLOAD}?dry_run=true&dry_run=false", "ann").status_code == 429
        refused = post(client, UPLOAD, "ann")
        assert (refused.headers["retry-after"], refused.headers["ratelimit-policy"]) == ("1800", '"uploads";q=2;w=3600')
        assert post(client, key="ann").status_code == 200
        assert "ratelimit" not in post(client, key="ann").headers
        assert client.get("/api/jobs/", headers={"Authorization": "Bearer ann"}).status_code == 200


def test_requests_in_progress_are_limited() -> None:
    with limited(concurrent_requests=2) as (ingress, client):
        answers: list[httpx.Response] = []
        threads = [
            threading.Thread(target=lambda: answers.append(post(client, f"{ROUTE}/predict?sleeps=1", "ann"))) for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        while len(ingress.replica.asked) < 2:
            time.sleep(0.01)
        refused = post(client, key="ann")
        assert refused.status_code == 429
        assert refused.headers["retry-after"] == "1"
        assert "in progress" in refused.json()["detail"]
        assert post(client, key="bob").status_code == 200
        for thread in threads:
            thread.join()
        assert statuses(answers) == [200, 200]
        assert post(client, key="ann").status_code == 200


@pytest.mark.parametrize(("source", "wanted"), [("127.0.0.8", [200, 200, 429]), (PROXY, [200] * 3), ("127.0.0.1", [200] * 3)])
def test_address_is_limited_before_its_keys_are_read(source: str, wanted: list[int]) -> None:
    with limited(address_requests_per_minute=2) as (ingress, _):
        transport = httpx.HTTPTransport(local_address=source)
        with httpx.Client(base_url=ingress.url, transport=transport, timeout=30) as client:
            answers = [post(client, key=f"guess-{number}") for number in range(3)]
    assert statuses(answers) == wanted
    if 429 in wanted:
        assert answers[-1].headers["retry-after"] == "30"
        assert "One address may have 2" in answers[-1].json()["detail"]


def test_key_over_its_rows_is_refused_at_its_next_request() -> None:
    with limited(rows_per_minute=100) as (_, client):
        path = f"{ROUTE}/predict?rows="
        first, second, third = (post(client, f"{path}60", "ann") for _ in range(3))
        assert statuses([first, second, third]) == [200, 200, 429]
        assert [answer.headers["ratelimit"] for answer in (first, second, third)] == [
            '"rows";r=40;t=60',
            '"rows";r=0;t=60',
            '"rows";r=0;t=60',
        ]
        assert {answer.headers["ratelimit-policy"] for answer in (first, second, third)} == {'"rows";q=100;w=60'}
        assert (third.json()["code"], third.headers["retry-after"]) == ("rate_limited", "60")
        assert post(client, "/mlops/models", "ann").status_code == 429
        assert post(client, f"{path}1", "bob").status_code == 200
        # Answers of the gateway to others' predictions are counted once, for the client.
        forwarded = {"X-Raylift-Ingress": TOKEN}
        assert statuses([post(client, f"{path}60", "cid", **forwarded) for _ in range(3)]) == [200, 200, 200]


def test_rows_and_requests_are_counted_beside_each_other() -> None:
    with limited(rows_per_minute=100, requests_per_minute=3) as (_, client):
        answer = post(client, f"{ROUTE}/predict?rows=30", "ann")
        assert answer.headers.get_list("ratelimit") == ['"requests";r=2;t=60', '"rows";r=70;t=60']
        assert statuses([post(client, f"{ROUTE}/predict?rows=0", "ann") for _ in range(3)]) == [200, 200, 429]
        assert post(client, "/mlops/models", "ann").json()["detail"].startswith("A client may have 3 requests")


def test_without_limits_answers_say_nothing(http: httpx.Client) -> None:
    answer = post(http, key="ann")
    assert answer.status_code == 200
    assert not {name for name in answer.headers if name.startswith("ratelimit")}
