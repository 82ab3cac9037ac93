"""Pages of other sites at the real HAProxy: predictions for allowed origins, nothing for all others."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.guard import Guard
from tests.integration.ingress.conftest import INFERENCE, PLAIN, ROUTE, TOKEN, Ingress, running_ingress

APP = "https://app.example"
EVIL = "https://evil.example"
PREDICTIONS = [
    INFERENCE,
    *(f"{ROUTE}/{tail}" for tail in ("predict", "infer", "invocations", "v1:predict")),
    *(f"/v2/models/churn/{tail}" for tail in ("predict", "infer", "invocations")),
    "/v1/models/churn:predict",
    "/v2/models/gone/versions/1/infer",
]
OTHERS = [
    "/mlops/training/upload",
    "/api/jobs/",
    "/mlops/secrets/AWS",
    "/mlops/inference/",
    f"{ROUTE}/other",
    "/v2/models/churn",
]


@pytest.fixture(scope="module")
def open_ingress() -> Iterator[Ingress]:
    guard = Guard(frozenset({*LOOPBACK_NAMES, "raylift.example"}), ("127.0.0.1",))
    with running_ingress(guard, origins=(APP, "http://localhost:3000")) as running:
        yield running


@pytest.fixture
def client(open_ingress: Ingress) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=open_ingress.url, timeout=90, trust_env=False) as connected:
        yield connected


def preflight(client: httpx.Client, path: str, origin: str, **headers: str) -> httpx.Response:
    asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type,authorization"}
    return client.request("OPTIONS", path, headers={"Origin": origin, **asked, **headers})


def post(client: httpx.Client, path: str, **headers: str) -> httpx.Response:
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.post(path, content=PLAIN, headers={"Content-Type": "application/json", **names})


def permissions(answer: httpx.Response) -> dict[str, str]:
    return {name: value for name, value in answer.headers.items() if name.startswith("access-control-")}


def is_refusal(answer: httpx.Response) -> bool:
    told: dict[str, Any] = answer.json() if answer.status_code == 403 else {}
    return told.get("code") == "cross_origin_refused" and not permissions(answer)


@pytest.mark.parametrize("path", PREDICTIONS)
def test_allowed_page_gets_the_same_permission_on_every_route(client: httpx.Client, path: str) -> None:
    asked = preflight(client, path, APP)
    assert asked.status_code == 204
    assert asked.headers["access-control-allow-origin"] == APP
    assert asked.headers["access-control-allow-methods"] == "POST"
    assert {"Content-Type", "Authorization"} <= set(asked.headers["access-control-allow-headers"].split(", "))
    assert asked.headers["vary"] == "Origin"
    answer = post(client, path, Origin=APP, Sec_Fetch_Site="cross-site")
    assert answer.headers["access-control-allow-origin"] == APP
    assert "X-Raylift-Model-Version" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    assert answer.headers["vary"] == "Origin"


@pytest.mark.parametrize("path", PREDICTIONS)
@pytest.mark.parametrize(
    "origin", [EVIL, "null", f"{APP}:8443", f"{APP}.evil.example", "http://app.example", "https://APP.example"]
)
def test_foreign_page_is_refused_on_every_route(open_ingress: Ingress, client: httpx.Client, path: str, origin: str) -> None:
    before = len(open_ingress.replica.asked) + len(open_ingress.gateway.asked)
    assert is_refusal(preflight(client, path, origin))
    assert is_refusal(post(client, path, Origin=origin))
    assert is_refusal(client.post(path, content="a=1", headers={"Origin": origin, "Content-Type": "text/plain"}))
    assert len(open_ingress.replica.asked) + len(open_ingress.gateway.asked) == before


@pytest.mark.parametrize("path", OTHERS)
@pytest.mark.parametrize("origin", [APP, EVIL])
def test_every_page_is_refused_elsewhere(client: httpx.Client, path: str, origin: str) -> None:
    assert is_refusal(preflight(client, path, origin))
    assert is_refusal(post(client, path, Origin=origin))
    read = client.get(path, headers={"Origin": origin})
    assert permissions(read) == {}


def test_allowed_page_takes_the_short_way(client: httpx.Client) -> None:
    for path in (INFERENCE, "/v2/models/churn/infer"):
        told = post(client, path, Origin=APP, Sec_Fetch_Site="cross-site").json()
        assert told["who"] == "replica"
        assert not {"origin", "sec-fetch-site"} & told["headers"].keys()


def test_programs_and_own_pages_need_no_permission(open_ingress: Ingress, client: httpx.Client) -> None:
    host = f"127.0.0.1:{open_ingress.port}"
    for path in (*PREDICTIONS[:2], "/mlops/training/upload"):
        for headers in ({}, {"Origin": f"http://{host}"}, {"Origin": f"https://{host}"}, {"Sec_Fetch_Site": "same-origin"}):
            answer = post(client, path, **headers)
            assert answer.status_code == 200
            assert permissions(answer) == {}
        assert is_refusal(post(client, path, Sec_Fetch_Site="cross-site"))
    assert client.request("OPTIONS", "/mlops/models").status_code != 403


def test_own_page_behind_a_trusted_proxy(client: httpx.Client) -> None:
    page = {"Origin": "https://raylift.example", "X_Forwarded_Host": "raylift.example"}
    assert post(client, "/mlops/training/upload", **page).status_code == 200
    assert is_refusal(post(client, "/mlops/training/upload", **{**page, "Origin": EVIL}))


def test_two_origins_are_refused(client: httpx.Client) -> None:
    answer = client.post(INFERENCE, content=PLAIN, headers=[("Origin", APP), ("Origin", EVIL)])
    assert is_refusal(answer)


def test_gateway_s_own_requests_are_not_a_page_s(client: httpx.Client) -> None:
    answer = post(client, f"{ROUTE}/predict", Origin=EVIL, X_Raylift_Ingress=TOKEN, X_Raylift_Forwarded="1")
    assert answer.status_code == 200


def test_failure_of_the_platform_is_shown_to_an_allowed_page(client: httpx.Client) -> None:
    answer = post(client, f"{ROUTE}/predict?status=503", Origin=APP)
    assert answer.status_code == 503
    assert answer.headers["access-control-allow-origin"] == APP


def test_without_allowed_origins_all_foreign_pages_are_refused(http: httpx.Client) -> None:
    for path in (*PREDICTIONS, *OTHERS):
        assert is_refusal(preflight(http, path, APP))
        assert is_refusal(post(http, path, Origin=APP))


def test_star_allows_every_page() -> None:
    with (
        running_ingress(Guard(frozenset(LOOPBACK_NAMES)), origins=("*",)) as running,
        httpx.Client(base_url=running.url, timeout=90, trust_env=False) as client,
    ):
        assert post(client, INFERENCE, Origin=EVIL).headers["access-control-allow-origin"] == EVIL
        assert is_refusal(post(client, "/mlops/training/upload", Origin=EVIL))
