"""Answers of Ray Serve or HAProxy in place of a replica, and requests that are sent again."""

from __future__ import annotations

import httpx
import pytest

from raylift.api.headers import FORWARDED, INGRESS, PREDICTION_ID
from tests.integration.ingress.conftest import INFERENCE, PLAIN, ROUTE, TOKEN, Ingress
from tests.integration.ingress.raw_http import Raw, post


@pytest.mark.parametrize(("status", "told"), [(429, 429), (503, 503), (500, 503), (404, 503)])
def test_plain_text_error_of_the_engine_becomes_a_problem(http: httpx.Client, status: int, told: int) -> None:
    answer = http.post(f"{INFERENCE}?status={status}", content=PLAIN)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (told, told)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["code"] == ("queue_full" if told == 429 else "deployment_not_ready")
    assert answer.headers["retry-after"] == "1"
    # Below its prefix, the error has the form of the Open Inference Protocol, on every route.
    for path in ("/v2/models/churn/infer", f"{ROUTE}/infer"):
        answer = http.post(f"{path}?status={status}")
        assert (answer.status_code, answer.headers["content-type"]) == (told, "application/json")
        assert list(answer.json()) == ["error"]
    # Not of the platform's own protocol.
    answer = http.post(f"{ROUTE}/predict?status={status}", content=PLAIN)
    assert (answer.status_code, answer.headers["content-type"]) == (told, "application/problem+json")
    assert answer.json()["code"] == problem["code"]


def test_error_of_an_overloaded_gateway_is_a_problem(http: httpx.Client) -> None:
    answer = http.get("/mlops/models?status=429")
    assert (answer.status_code, answer.json()["code"], answer.headers["retry-after"]) == (429, "queue_full", "1")
    assert answer.headers["content-type"] == "application/problem+json"


def test_answers_of_replicas_are_not_changed(http: httpx.Client) -> None:
    assert http.post("/v2/models/churn/invocations?status=415").text.startswith("Request dropped")
    assert http.post("/v2/models/churn/infer?status=500&kind=application/json").status_code == 500


def test_unavailable_server_gives_the_error_of_each_protocol(http: httpx.Client) -> None:
    answer = http.post(INFERENCE, content=PLAIN.replace(b"churn", b"gone"))
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/problem+json")
    assert (answer.json()["code"], answer.headers["retry-after"]) == ("deployment_not_ready", "1")
    answer = http.get("/v2/models/gone")
    assert (answer.status_code, answer.headers["content-type"]) == (503, "application/json")
    assert answer.json()["error"]


@pytest.mark.parametrize("path", [INFERENCE, "/v2/models/churn/infer", f"{ROUTE}/predict"])
def test_prediction_is_sent_again_after_its_replica_breaks_off(http: httpx.Client, ingress: Ingress, path: str) -> None:
    answer = http.post(f"{path}?breaks={path}", content=PLAIN)
    assert (answer.status_code, answer.json()["who"]) == (200, "replica")
    assert answer.json()["body"] == PLAIN.decode()
    assert len([line for line in ingress.replica.asked if f"breaks={path}" in line]) == 2


def test_request_with_side_effects_is_not_sent_again(ingress: Ingress) -> None:
    raw = Raw(ingress.port)
    raw.send(post("/mlops/training/upload?breaks=upload", PLAIN, "Connection: close"))
    # If HAProxy's own connection was used before, it closes the client's without an answer.
    assert raw.rest()[:12] in {b"", b"HTTP/1.1 502"}
    raw.close()
    assert len([line for line in ingress.gateway.asked if "breaks=upload" in line]) == 1


def test_request_that_always_breaks_off_is_refused(http: httpx.Client, ingress: Ingress) -> None:
    answer = http.post(f"{INFERENCE}?breaks=poison&times=99", content=PLAIN)
    assert (answer.status_code, answer.json()["code"]) == (502, "replica_failed")
    assert len([line for line in ingress.replica.asked if "breaks=poison" in line]) <= 4


@pytest.mark.parametrize("path", [INFERENCE, "/v2/models/churn/infer", f"{ROUTE}/predict"])
def test_prediction_that_is_sent_again_keeps_its_request_id(http: httpx.Client, ingress: Ingress, path: str) -> None:
    ingress.replica.requests.clear()
    forged = {PREDICTION_ID: "0" * 36}
    for name in ("one", "other"):
        assert http.post(f"{path}?breaks=named-{path}-{name}", content=PLAIN, headers=forged).status_code == 200
    first, again, second, again_second = ingress.replica.requests
    assert (first, second) == (again, again_second)
    assert first is not None
    assert len(first) == 36
    assert first not in {second, forged[PREDICTION_ID]}


def test_request_forwarded_by_the_gateway_keeps_its_request_id(http: httpx.Client) -> None:
    headers = {PREDICTION_ID: "0a1b2c3d-0000-4000-8000-000000000001", FORWARDED: "1"}
    told = http.post(f"{ROUTE}/predict", content=PLAIN, headers={**headers, INGRESS: TOKEN}).json()
    assert told["headers"][PREDICTION_ID.lower()] == headers[PREDICTION_ID]
    assert told["headers"][FORWARDED.lower()] == "1"


def test_client_cannot_pose_as_the_gateway(http: httpx.Client) -> None:
    forged = {PREDICTION_ID: "0a1b2c3d-0000-4000-8000-000000000001", FORWARDED: "1"}
    for headers in (forged, {**forged, INGRESS: "guessed"}):
        told = http.post(f"{ROUTE}/predict", content=PLAIN, headers=headers).json()
        assert told["headers"][PREDICTION_ID.lower()] != forged[PREDICTION_ID]
        assert FORWARDED.lower() not in told["headers"]
