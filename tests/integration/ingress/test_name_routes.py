"""Requests by a model's name that go straight to its replicas, and those that go to the gateway."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.ingress.conftest import BUFFER_BYTES, INFERENCE, PLAIN, ROUTE, TOKEN


def padded(size: int) -> bytes:
    """A plain body of ``size`` bytes."""
    start, end = b'{"inputs": "', b'", "model_name": "churn"}'
    return start + b"x" * (size - len(start) - len(end)) + end


STRAIGHT = {
    "plain": PLAIN,
    "name last": b'{"inputs": {"a": [1, {"b": []}]}, "model_name": "churn"}',
    "spaces": b' {\n\t"model_name"\r\n:   "churn" , "inputs":[]}',
    "other escapes": rb'{"inputs": ["a\"b\\c\n\/"], "model_name": "churn"}',
    "utf-8": '{"inputs": ["Zürich ☃"], "model_name": "churn"}'.encode(),
    "name among values": b'{"inputs": {"name": ["model_name "]}, "model_name": "churn"}',
    # The replica refuses these: it parses JSON fully, and the ingress does not.
    "a number": b'{"model_name": 5, "inputs": []}',
    "no end": b'{"model_name": "churn", "inputs": [',
    "more after the end": PLAIN + PLAIN.replace(b"model_name", b"modelname"),
    "largest": padded(BUFFER_BYTES - 16 * 1024),
}
TO_THE_GATEWAY = {
    "unknown model": PLAIN.replace(b"churn", b"other"),
    "version": b'{"model_name": "churn", "model_version": 3, "inputs": []}',
    "version as null": b'{"model_name": "churn", "model_version": null, "inputs": []}',
    "alias": b'{"model_name": "churn", "alias": "champion", "inputs": []}',
    "alias deep inside": b'{"model_name": "churn", "inputs": {"alias": ["x"]}}',
    "two names": b'{"model_name": "churn", "model_name": "other", "inputs": []}',
    "two names, lines between": b'{"model_name": "other",\n\n"inputs": [],\n"model_name": "churn"}',
    "the key spelt with an escape": rb'{"model_name": "churn", "model\u005fname": "other", "inputs": []}',
    "the alias spelt with an escape": rb'{"model_name": "churn", "\u0061lias": "champion", "inputs": []}',
    "a name with an escape": rb'{"model_name": "\u0063hurn", "inputs": []}',
    "the name only inside": b'{"inputs": {"model_name": "churn"}}',
    "the name in a list": b'[{"model_name": "churn", "inputs": []}]',
    "a path": b'{"model_name": "../x", "inputs": []}',
    "a path inside": b'{"model_name": "a/b", "inputs": []}',
    "percent": b'{"model_name": "%63hurn", "inputs": []}',
    "a line break": b'{"model_name": "churn\\n", "inputs": []}',
    "a space": b'{"model_name": "churn ", "inputs": []}',
    "another case": b'{"model_name": "Churn", "inputs": []}',
    "unicode": '{"model_name": "chürn", "inputs": []}'.encode(),
    "very long": b'{"model_name": "' + b"c" * 30000 + b'", "inputs": []}',
    "a list for a name": b'{"model_name": ["churn"], "inputs": []}',
    "null": b'{"model_name": null, "inputs": []}',
    "deep": b'{"inputs": ' + b"[" * 500 + b"]" * 500 + b', "model_name": "churn"}',
    "empty object": b"{}",
    "text": b"churn",
    "a byte order mark": b"\xef\xbb\xbf" + PLAIN,
    "compressed": b"\x1f\x8b\x08\x00\x00\x00\x00\x00",
    "nothing": b"",
    "one byte too large": padded(BUFFER_BYTES - 16 * 1024 + 1),
    "much too large": padded(3 * 1024 * 1024),
}


@pytest.mark.parametrize("body", STRAIGHT.values(), ids=STRAIGHT)
def test_plain_bodies_go_straight_to_the_replica(http: httpx.Client, body: bytes) -> None:
    told = http.post(INFERENCE, content=body).json()
    assert (told["who"], told["path"]) == ("replica", f"{ROUTE}/predict")
    assert told["body"].encode("latin-1") == body
    assert told["headers"]["x-raylift-named"] == "1"


@pytest.mark.parametrize("body", TO_THE_GATEWAY.values(), ids=TO_THE_GATEWAY)
def test_ambiguous_bodies_go_to_the_gateway_unchanged(http: httpx.Client, body: bytes) -> None:
    told = http.post(INFERENCE, content=body).json()
    assert (told["who"], told["path"]) == ("gateway", INFERENCE)
    assert told["body"].encode("latin-1") == body
    assert "x-raylift-named" not in told["headers"]


ODD_HEADERS = [
    {"Content-Encoding": "gzip"},
    {"X-Scale-Up-Timeout": "soon"},
    {"X-Scale-Up-Timeout": "-1"},
    {"X-Scale-Up-Timeout": "1_0"},
    {"X-Request-ID": "a b"},
    {"X-Request-ID": "x" * 129},
]


@pytest.mark.parametrize("headers", ODD_HEADERS, ids=str)
def test_requests_with_headers_for_the_gateway_go_to_it(http: httpx.Client, headers: dict[str, str]) -> None:
    assert http.post(INFERENCE, content=PLAIN, headers=headers).json()["who"] == "gateway"
    assert http.post("/v2/models/churn/infer", content=b"{}", headers=headers).json()["who"] == "gateway"


@pytest.mark.parametrize("kind", ["text/csv", "Text/CSV; charset=utf-8"])
def test_csv_always_goes_to_the_gateway(http: httpx.Client, kind: str) -> None:
    headers = {"Content-Type": kind}
    told = http.post(f"{INFERENCE}?model_name=other", content=PLAIN, headers=headers).json()
    assert (told["who"], told["body"].encode("latin-1")) == ("gateway", PLAIN)
    assert http.post("/v2/models/churn/invocations", content=b"a\n1\n", headers=headers).json()["who"] == "replica"


@pytest.mark.parametrize(
    "headers", [{"X-Scale-Up-Timeout": "60"}, {"X-Scale-Up-Timeout": "0.5"}, {"X-Request-ID": "mine-1"}], ids=str
)
def test_valid_headers_allow_the_fast_route(http: httpx.Client, headers: dict[str, str]) -> None:
    told = http.post(INFERENCE, content=PLAIN, headers=headers).json()
    assert told["who"] == "replica"
    ((name, value),) = headers.items()
    assert told["headers"][name.lower()] == value


@pytest.mark.parametrize(
    ("method", "path", "beneath"),
    [
        ("POST", "/v2/models/churn/infer", "/infer"),
        ("POST", "/v2/models/churn/invocations", "/invocations"),
        ("POST", "/v2/models/churn/infer?x=1", "/infer?x=1"),
        ("GET", "/v2/models/churn", ""),
        ("GET", "/v2/models/churn/ready", "/ready"),
        ("GET", "/v2/models/churn/ping", "/ping"),
        ("GET", "/v2/models/churn/health", "/health"),
        ("GET", "/v2/models/churn/version", "/version"),
        ("GET", "/v2/models/churn/openapi.json", "/openapi.json"),
        ("POST", "/v2/models/versions/infer", "/infer"),
        ("POST", "/v1/models/churn:predict", "/v1:predict"),
        ("POST", "/v1/models/churn:predict?x=1", "/v1:predict?x=1"),
    ],
)
def test_by_name_paths_become_paths_of_the_version(http: httpx.Client, method: str, path: str, beneath: str) -> None:
    told = http.request(method, path).json()
    assert (told["who"], told["path"]) == ("replica", ROUTE + beneath)
    assert "x-raylift-named" not in told["headers"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v2/models/churn/infer"),
        ("POST", "/v2/models/churn"),
        ("POST", "/v2/models/churn/infer/"),
        ("POST", "/v2/models/churn//infer"),
        ("POST", "/v2/models//infer"),
        ("POST", "/v2/models/churn/versions"),
        ("POST", "/v2/models/churn/versions/infer"),
        ("POST", "/v2/models/versions/versions/3/infer"),
        ("POST", "/v2/models/%63hurn/infer"),
        ("POST", "/v2/models/churn%2finfer"),
        ("POST", "/v2/models/%2e%2e/infer"),
        ("POST", "/v2/models/other/infer"),
        ("POST", f"/v2/models/{'c' * 3000}/infer"),
        ("POST", "/v2/models/churn/infer?a=%00"),
        ("DELETE", "/v2/models/churn/infer"),
        ("GET", INFERENCE),
        ("POST", INFERENCE + "/"),
        ("POST", "/v1/models/other:predict"),
        ("POST", "/v1/models/churn:explain"),
        ("POST", "/v1/models/churn/x:predict"),
        ("POST", "/v1/models/churn%3apredict"),
        ("GET", "/v1/models/churn"),
        ("GET", "/v1/models"),
    ],
)
def test_other_paths_are_not_changed(http: httpx.Client, method: str, path: str) -> None:
    told = http.request(method, path, content=PLAIN if method == "POST" else None).json()
    assert (told["who"], told["path"]) == ("gateway", path)


def test_client_cannot_send_headers_of_the_ingress(http: httpx.Client) -> None:
    forged = {"X-Raylift-Ingress": "mine", "X-Raylift-Named": "1", "X-Request-Timeout-Seconds": "0.001"}
    told = http.post("/v2/models/churn/infer", headers=forged).json()
    assert told["headers"]["x-raylift-ingress"] == TOKEN
    assert not {"x-raylift-named", "x-request-timeout-seconds"} & told["headers"].keys()
