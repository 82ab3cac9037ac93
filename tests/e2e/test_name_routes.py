"""A request that names only a model gets the same answer from HAProxy's fast route and from the gateway."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import httpx
import mlflow
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from raylift import Client
from raylift.ingress.haproxy import IngressFiles
from raylift.ingress.route_map import names_file
from raylift.launcher.local_platform import LocalPlatform
from tests.e2e.protocol_models import PICKLED, Logged, is_found, register

ROW = '{"age": 0.1, "bmi": -0.2}'
ROWS = f"[{', '.join([ROW] * 4000)}]"
STRAIGHT = {
    "plain": '{"model_name": "NAME", "inputs": [ROW]}',
    "the name last": '{"inputs": [ROW], "model_name": "NAME"}',
    "columns": '{"model_name": "NAME", "inputs": {"bmi": [1, 2], "age": [3, 4]}}',
    "spaces": ' {\n\t"model_name"\r\n:   "NAME" , "inputs":[ROW]}',
    "no inputs": '{"model_name": "NAME"}',
    "wrong inputs": '{"model_name": "NAME", "inputs": [{"age": "old", "colour": "red"}]}',
    "an unknown field": '{"model_name": "NAME", "inputs": [ROW], "zürich": 1}',
    "unicode inside": '{"model_name": "NAME", "inputs": [{"age": "☃", "bmi": 1}]}',
    "no end": '{"model_name": "NAME", "inputs": [',
    "text after the end": '{"model_name": "NAME", "inputs": [ROW]} x',
    "not a number": '{"model_name": "NAME", "inputs": [{"age": NaN, "bmi": 1}]}',
}
BY_THE_GATEWAY = {
    "the version": '{"model_name": "NAME", "model_version": "1", "inputs": [ROW]}',
    "a version that is not there": '{"model_name": "NAME", "model_version": "77", "inputs": [ROW]}',
    "an alias that is not there": '{"model_name": "NAME", "alias": "nobody", "inputs": [ROW]}',
    "an unknown model": '{"model_name": "nobody", "inputs": [ROW]}',
    "two names": '{"model_name": "NAME", "model_name": "other", "inputs": [ROW]}',
    "two names, the other first": '{"model_name": "other", "inputs": [ROW], "model_name": "NAME"}',
    "the key spelt with an escape": r'{"model\u005fname": "NAME", "inputs": [ROW]}',
    "the second key spelt with an escape": r'{"model_name": "NAME", "model\u005fname": "other", "inputs": [ROW]}',
    "a path": '{"model_name": "../NAME", "inputs": [ROW]}',
    "a path to a version": '{"model_name": "NAME/versions/1", "inputs": [ROW]}',
    "percent": '{"model_name": "%2e%2e/NAME", "inputs": [ROW]}',
    "unicode": '{"model_name": "NÄME", "inputs": [ROW]}',
    "a line break": r'{"model_name": "NAME\n", "inputs": [ROW]}',
    "no name": '{"inputs": [ROW]}',
    "a number for a name": '{"model_name": 1, "inputs": [ROW]}',
    "a list": '[{"model_name": "NAME"}]',
    "nothing": "",
    "larger than HAProxy's buffer": '{"model_name": "NAME", "inputs": ROWS}',
    "larger, the name last": '{"inputs": ROWS, "model_name": "NAME"}',
}


@pytest.fixture(scope="module")
def model(platform: LocalPlatform) -> str:
    """A model with one version, which HAProxy has in its map."""
    prefix, example = f"named-{uuid.uuid4().hex[:6]}", pd.DataFrame({"age": [0.1, 0.2, 0.3], "bmi": [0.3, -0.1, 0.2]})
    ridge = Ridge().fit(example, [1.0, 2.0, 4.0])
    register({"model": Logged(mlflow.sklearn.log_model, ridge, example, PICKLED)}, prefix, platform.record.mlflow_url)
    name = f"{prefix}-model"
    with Client(platform.url, timeout=300) as client:
        end = time.monotonic() + 120
        while not is_found(client, name, "1"):
            assert time.monotonic() < end, "the version was not found"
            time.sleep(0.2)
        client.deployments.put(name, "1", min_replicas=1)
    names = names_file(IngressFiles(platform.record.session_dir).haproxy)
    end = time.monotonic() + 120
    while f"{name} " not in names.read_text():
        assert time.monotonic() < end, "HAProxy does not know the model"
        time.sleep(0.2)
    return name


@pytest.fixture
def http(platform: LocalPlatform) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=platform.url, timeout=120) as client:
        yield client


def body_of(text: str, model: str) -> bytes:
    return text.replace("ROWS", ROWS).replace("ROW", ROW).replace("NAME", model).encode()


def seen_by_the_gateway(http: httpx.Client) -> float:
    """Number of predictions by a model's name that the gateway has answered."""
    lines = re.findall(r'^raylift_http_requests_total{.*route="/mlops/inference".*} (\S+)$', http.get("/metrics").text, re.M)
    return sum(map(float, lines))


def said(answer: httpx.Response) -> tuple[int, str | None, str | None, Any]:
    """Content of an answer, without the inference time and without the reporter of malformed JSON."""
    content = answer.json()
    content.pop("inference_time_ms", None)
    version = answer.headers.get("x-raylift-model-version")
    if answer.status_code == HTTPStatus.BAD_REQUEST:
        version = None
        content.pop("instance")
    return answer.status_code, answer.headers.get("content-type"), version, content


@pytest.mark.parametrize(
    ("text", "passes_the_gateway"),
    [*((text, False) for text in STRAIGHT.values()), *((text, True) for text in BY_THE_GATEWAY.values())],
    ids=[*STRAIGHT, *BY_THE_GATEWAY],
)
def test_fast_route_and_gateway_give_the_same_answer(
    http: httpx.Client, model: str, text: str, passes_the_gateway: bool
) -> None:
    body, headers = body_of(text, model), {"content-type": "application/json"}
    before = seen_by_the_gateway(http)
    whole = http.post("/mlops/inference", content=body, headers=headers)
    between = seen_by_the_gateway(http)
    # HAProxy does not inspect a body of unknown length.
    chunked = http.post("/mlops/inference", content=iter([body[:20], body[20:]]), headers=headers)
    assert (between - before, seen_by_the_gateway(http) - between) == (float(passes_the_gateway), 1.0)
    assert said(whole) == said(chunked)
    if whole.is_success:
        assert whole.json()["model_name"] == model
