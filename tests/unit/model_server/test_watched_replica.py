"""Calls of a replica's observer for each request."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from serve_apps.model_server.server.asgi import ReplicaApp
from tests.unit.model_server.test_batching import Seen
from tests.unit.model_server.test_replica_app import FakePredictor, _ask, _model

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def watched(predictor: FakePredictor | None = None, **options: Any) -> tuple[ReplicaApp, Seen]:
    watch = Seen()
    return ReplicaApp(_model(predictor), observer=watch, **options), watch


@pytest.mark.parametrize(
    ("path", "request_", "answer", "kind"),
    [
        ("/predict", {"json": {"inputs": [[1, 2]]}}, None, None),
        ("/predict", {"content": b"{"}, None, "malformed_body"),
        ("/predict", {"json": {"inputs": [[1]]}}, None, "wrong_inputs"),
        ("/predict", {"json": {"inputs": [[1, 2]], "unknown": 1}}, None, "invalid_request"),
        ("/predict", {"json": {"inputs": [[1, 2]], "return_probabilities": True}}, None, "no_probabilities"),
        ("/predict", {"content": b"x" * 101}, None, "too_large"),
        ("/predict", {"json": {"inputs": [[1, 2]]}}, ValueError("not these"), "inputs_refused"),
        ("/predict", {"json": {"inputs": [[1, 2]]}}, KeyError("broken"), "prediction_failed"),
        ("/infer", {"json": {"inputs": []}}, None, "invalid_request"),
        ("/invocations", {"content": b"1", "headers": {"content-type": "text/html"}}, None, "unsupported_content"),
    ],
)
def test_each_request_ends_with_its_kind_of_error(path: str, request_: dict[str, Any], answer: Any, kind: str | None) -> None:
    app, watch = watched(FakePredictor(answer), max_body_bytes=100)
    answered = _ask(app, "POST", path, **request_)
    (exchange,) = watch.exchanges
    assert watch.began_routes == [path]
    assert exchange.response
    assert (exchange.response.status, exchange.response.error) == (answered.status_code, kind), answered.text
    assert (exchange.response.error is None) == (answered.status_code == 200)


def test_metadata_and_unknown_pages_are_no_predictions() -> None:
    app, watch = watched()
    for method, path in (("GET", ""), ("GET", "/ready"), ("GET", "/predict"), ("POST", "/nothing")):
        _ask(app, method, path)
    assert (watch.began_routes, watch.exchanges) == ([], [])


def test_disconnected_client_gets_no_response() -> None:
    app, watch = watched()

    async def go_away() -> None:
        came = iter([{"type": "http.request", "body": b"", "more_body": True}])

        async def receive() -> Any:
            if (message := next(came, None)) is not None:
                return message
            raise asyncio.CancelledError

        async def send(message: Any) -> None:
            raise AssertionError(message)

        scope = {"type": "http", "method": "POST", "path": "/v2/models/m/versions/7/predict", "headers": []}
        with pytest.raises(asyncio.CancelledError):
            await app(scope, receive, send)

    asyncio.run(go_away())
    assert [exchange.response for exchange in watch.exchanges] == [None]


def test_traceparent_is_returned_unchanged() -> None:
    app, _ = watched()
    body = {"inputs": [[1, 2]]}
    assert _ask(app, "POST", "/predict", json=body, headers={"traceparent": TRACE}).headers["traceparent"] == TRACE
    assert "traceparent" not in _ask(app, "POST", "/predict", json=body).headers
