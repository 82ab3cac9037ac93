"""Keys at the real HAProxy: predictions that pass the gateway by, and MLflow."""

from __future__ import annotations

import base64
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

from raylift.domain.access import AccessKey, Role, new_token
from raylift.domain.models.workspaces import PREFIX
from raylift.ingress.allowed_hosts import LOOPBACK_NAMES
from raylift.ingress.guard import Guard
from raylift.ingress.keys import KeyMaps
from raylift.settings import IngressSettings
from serve_apps.gateway.access.new_keys import wait_for_ingress
from tests.integration.ingress.conftest import INFERENCE, PLAIN, ROUTE, TOKEN, Ingress, running_ingress

NOW = datetime.now(UTC)
TOKENS = {
    name: new_token() for name in ("red", "blue", "admin", "viewer", "only-churn", "only-other", "expired", "soon", "revoked")
}


def key(name: str, role: Role = Role.SUBMITTER, workspace: str = "red", **fields: Any) -> AccessKey:
    token = TOKENS[name]
    return AccessKey(token.key_id, token.sha256, name, role, workspace, fields.pop("models", ()), NOW, "admin", **fields)


def all_keys() -> list[AccessKey]:
    return [
        key("red"),
        key("blue", workspace="blue"),
        key("admin", Role.ADMIN, "default"),
        key("viewer", Role.VIEWER),
        key("only-churn", models=("churn", "fraud")),
        key("only-other", models=("other",)),
        key("expired", expires_at=NOW - timedelta(seconds=1)),
        key("revoked", revoked_at=NOW),
    ]


PREDICTIONS = [
    ("POST", f"{ROUTE}/predict"),
    ("POST", f"{ROUTE}/infer"),
    ("GET", ROUTE),
    ("GET", f"{ROUTE}/ready"),
    ("DELETE", f"{ROUTE}/anything"),
    ("POST", "/v2/models/churn/infer"),
    ("GET", "/v2/models/churn"),
    ("POST", "/v2/models/churn/invocations"),
    ("POST", "/v1/models/churn:predict"),
    ("POST", INFERENCE),
]


@pytest.fixture(scope="module")
def keyed() -> Iterator[Ingress]:
    with running_ingress(Guard(frozenset(LOOPBACK_NAMES)), asks_for_keys=True) as running:
        KeyMaps(running.directory).put(all_keys(), {"churn": "red"}, NOW)
        yield running


def send(ingress: Ingress, who: str | None, method: str, path: str, **headers: str) -> httpx.Response:
    if who is not None:
        headers["Authorization"] = f"Bearer {TOKENS[who].text if who in TOKENS else who}"
    return httpx.request(method, ingress.url + path, content=PLAIN, headers=headers, trust_env=False)


@pytest.mark.parametrize(("method", "path"), PREDICTIONS)
def test_prediction_with_a_key_reaches_the_replica_without_it(keyed: Ingress, method: str, path: str) -> None:
    for who in ("red", "viewer", "admin", "only-churn"):
        told = send(keyed, who, method, path).json()
        assert (told["who"], told["headers"]["x-raylift-checked"]) == ("replica", "1")
        assert "authorization" not in told["headers"]
        assert TOKENS[who].text not in str(told)


@pytest.mark.parametrize(("method", "path"), PREDICTIONS)
def test_prediction_without_a_valid_key_is_refused(keyed: Ingress, method: str, path: str) -> None:
    for who in (None, "wrong", "expired", "revoked", new_token().text, TOKENS["red"].text + "x", TOKENS["red"].sha256):
        answer = send(keyed, who, method, path)
        assert answer.status_code == 401, who
        assert answer.headers["www-authenticate"].startswith('Basic realm="raylift"')
        words = answer.json()
        assert ("code" in words) is (path == INFERENCE or path.endswith("/predict")), path


@pytest.mark.parametrize(("method", "path"), PREDICTIONS)
def test_model_of_another_workspace_is_not_found(keyed: Ingress, method: str, path: str) -> None:
    for who in ("blue", "only-other"):
        assert send(keyed, who, method, path).status_code == 404


def test_requests_of_the_gateway_need_no_key(keyed: Ingress) -> None:
    told = send(keyed, None, "POST", f"{ROUTE}/predict", **{"X-Raylift-Ingress": TOKEN, "X-Raylift-Checked": "1"}).json()
    assert (told["who"], told["headers"]["x-raylift-checked"]) == ("replica", "1")


@pytest.mark.parametrize("path", ["/mlops/training/jobs", "/v2/models", "/v2/models/unknown/infer", "/api/jobs/"])
def test_other_requests_go_to_the_gateway_with_their_key(keyed: Ingress, path: str) -> None:
    told = send(keyed, "red", "GET", path, **{"X-Raylift-Checked": "1"}).json()
    assert (told["who"], told["headers"]["authorization"]) == ("gateway", f"Bearer {TOKENS['red'].text}")
    assert "x-raylift-checked" not in told["headers"]
    assert told["headers"]["x-raylift-address"] == "127.0.0.1"


def test_address_cannot_be_forged(keyed: Ingress) -> None:
    told = send(keyed, "red", "GET", "/mlops/jobs", **{"X-Raylift-Address": "10.0.0.1"}).json()
    assert told["headers"]["x-raylift-address"] == "127.0.0.1"


def test_basic_authentication_has_the_key_as_its_password(keyed: Ingress) -> None:
    for password, status in ((TOKENS["red"].text, 200), ("wrong", 401)):
        answer = httpx.get(keyed.url + ROUTE, auth=("me", password), trust_env=False)
        assert answer.status_code == status
    for text in ("%%%", base64.b64encode(b"no colon").decode(), "x"):
        answer = httpx.get(keyed.url + ROUTE, headers={"Authorization": f"Basic {text}"}, trust_env=False)
        assert answer.status_code == 401


def test_two_authorization_headers_never_pass_a_wrong_key(keyed: Ingress) -> None:
    for first, second in (
        (TOKENS["red"].text, "wrong"),
        ("wrong", TOKENS["red"].text),
        (TOKENS["blue"].text, TOKENS["red"].text),
    ):
        headers = [("Authorization", f"Bearer {first}"), ("Authorization", f"Bearer {second}")]
        answer = httpx.get(keyed.url + ROUTE, headers=headers, trust_env=False)
        assert answer.status_code in {200, 401, 404}
        if answer.status_code == 200:
            assert TOKENS["red"].text in {first, second}
            assert "authorization" not in answer.json()["headers"]


def test_changed_keys_take_effect_at_once(keyed: Ingress) -> None:
    maps = KeyMaps(keyed.directory)
    maps.put([one for one in all_keys() if one.name != "red"], {"churn": "red"}, NOW)
    assert send(keyed, "red", "GET", ROUTE).status_code == 401
    maps.put(all_keys(), {"churn": "blue"}, NOW)
    assert send(keyed, "red", "GET", ROUTE).status_code == 404
    assert send(keyed, "blue", "GET", ROUTE).status_code == 200
    maps.put(all_keys(), {"churn": "red"}, NOW)
    assert send(keyed, "red", "GET", ROUTE).status_code == 200


def test_haproxy_itself_refuses_a_key_after_its_expiry(keyed: Ingress) -> None:
    maps = KeyMaps(keyed.directory)
    # As if the supervisor had died before the expiry.
    maps.put([*all_keys(), key("soon", expires_at=NOW)], {"churn": "red"}, NOW - timedelta(seconds=9))
    assert send(keyed, "soon", "GET", ROUTE).status_code == 401
    maps.put([*all_keys(), key("soon", expires_at=NOW + timedelta(hours=1))], {"churn": "red"}, NOW)
    assert send(keyed, "soon", "GET", ROUTE).status_code == 200
    maps.put(all_keys(), {"churn": "red"}, NOW)


def test_keys_survive_a_reload(keyed: Ingress) -> None:
    keyed.reload()
    assert send(keyed, "red", "GET", ROUTE).status_code == 200
    assert send(keyed, None, "GET", ROUTE).status_code == 401


class TestMlflow:
    def test_admins_reach_all_workspaces_and_others_their_own(self, keyed: Ingress) -> None:
        told = send(keyed, "admin", "GET", "/mlflow/api/2.0/mlflow/experiments/search").json()
        assert told["path"] == "/api/2.0/mlflow/experiments/search"
        assert told["headers"]["authorization"] == "Bearer the-credential"
        assert TOKENS["admin"].text not in str(told)
        assert "x-raylift-ingress" not in told["headers"]
        for who, workspace in (("red", "red"), ("viewer", "red"), ("blue", "blue")):
            for path in ("/api/x", f"{PREFIX}/green/api/x"):
                assert send(keyed, who, "GET", f"/mlflow{path}").json()["path"] == f"{PREFIX}/{workspace}{path}"
        for who, status in (("only-churn", 403), (None, 401), ("expired", 401), ("wrong", 401)):
            assert send(keyed, who, "GET", "/mlflow/").status_code == status, who

    def test_viewers_read_mlflow(self, keyed: Ingress) -> None:
        create, search = "/mlflow/api/2.0/mlflow/runs/create", "/mlflow/api/2.0/mlflow/runs/search"
        for who, create_status in (("red", 200), ("viewer", 403), ("only-churn", 403)):
            assert send(keyed, who, "POST", create).status_code == create_status
            assert send(keyed, who, "DELETE", create).status_code == create_status
        for method, path in (("GET", "/mlflow/"), ("POST", search), ("POST", "/mlflow/graphql")):
            assert send(keyed, "viewer", method, path).status_code == 200

    def test_pages_of_other_sites_are_refused(self, keyed: Ingress) -> None:
        for origin, status in (("https://evil.example", 403), ("null", 403), (keyed.url, 200)):
            assert send(keyed, "admin", "POST", "/mlflow/graphql", Origin=origin).status_code == status

    def test_bare_path_is_redirected(self, keyed: Ingress) -> None:
        assert send(keyed, None, "GET", "/mlflow").headers["location"] == "/mlflow/"


def test_dashboard_of_ray_is_for_admins(keyed: Ingress) -> None:
    told = send(keyed, "admin", "GET", "/ray/api/jobs/?x=1").json()
    assert (told["path"], told["headers"]["authorization"]) == ("/api/jobs/?x=1", "Bearer the-token")
    for who, status in (("red", 403), ("viewer", 403), ("only-churn", 403), (None, 401), ("wrong", 401), ("expired", 401)):
        assert send(keyed, who, "GET", "/ray/").status_code == status, who
    assert send(keyed, "admin", "POST", "/ray/api/jobs/", Origin="https://evil.example").status_code == 403


@pytest.mark.parametrize(("method", "path"), PREDICTIONS)
def test_session_of_a_browser_counts_for_own_pages_alone(keyed: Ingress, method: str, path: str) -> None:
    own, foreign = keyed.url, "http://127.0.0.1:3000"
    reads = method == "GET"
    for headers, is_taken in (
        ({"Origin": own}, True),
        ({"Origin": foreign}, False),
        ({"Origin": "null"}, False),
        ({}, reads),
        ({"Sec-Fetch-Site": "same-origin"}, reads),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Authorization": "Bearer wrong", "Origin": own}, False),
    ):
        cookie = {"Cookie": f"other=1; raylift_session={TOKENS['red'].text}"}
        answer = httpx.request(method, keyed.url + path, content=PLAIN, headers=cookie | headers, trust_env=False)
        assert (answer.status_code == 200) is is_taken, headers
        if is_taken:
            assert not {"cookie", "authorization"} & answer.json()["headers"].keys()
        else:
            assert answer.status_code in {401, 403}


def test_session_of_a_browser_opens_engine_pages_without_the_cookie(keyed: Ingress) -> None:
    cookie = {"Cookie": f"raylift_session={TOKENS['admin'].text}"}
    for path in ("/mlflow/", "/ray/"):
        told = httpx.get(keyed.url + path, headers=cookie, trust_env=False).json()
        assert "cookie" not in told["headers"]
    assert httpx.get(keyed.url + "/mlflow/", headers={"Cookie": "raylift_session=wrong"}, trust_env=False).status_code == 401


def test_console_is_refused_without_the_browsers_dialog(keyed: Ingress) -> None:
    for path in (f"{ROUTE}/ready", "/mlflow/"):
        answer = httpx.get(keyed.url + path, headers={"X-Raylift-Console": "1"}, trust_env=False)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")


def test_allowed_page_of_another_site_has_no_session() -> None:
    page = "https://app.example"
    with running_ingress(Guard(frozenset(LOOPBACK_NAMES)), asks_for_keys=True, origins=[page]) as running:
        KeyMaps(running.directory).put(all_keys(), {"churn": "red"}, NOW)
        sent = {"Origin": page, "Cookie": f"raylift_session={TOKENS['red'].text}"}
        assert httpx.post(f"{running.url}{ROUTE}/predict", content=PLAIN, headers=sent, trust_env=False).status_code == 401


def test_new_key_is_waited_for(keyed: Ingress) -> None:
    maps, new = KeyMaps(keyed.directory), key("soon")
    settings = IngressSettings(directory=keyed.directory, token=TOKEN)
    assert (maps.has(key("red").sha256), maps.has(new.sha256)) == (True, False)
    answers: list[int] = []

    def ask() -> None:
        wait_for_ingress(settings, new)
        answers.append(send(keyed, "soon", "POST", f"{ROUTE}/predict").status_code)

    waiting = threading.Thread(target=ask)
    waiting.start()
    waiting.join(0.2)
    assert waiting.is_alive()
    maps.put([*all_keys(), new], {"churn": "red"}, NOW)
    waiting.join()
    maps.put(all_keys(), {"churn": "red"}, NOW)
    assert answers == [200]
