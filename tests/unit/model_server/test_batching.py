"""Requests that are computed together, requests that are not, and the effect on the others."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from raylift.domain.models.deployment import Batching
from serve_apps.model_server.errors import InputsRefused, NoProbabilities
from serve_apps.model_server.inputs.array import PlainArray
from serve_apps.model_server.inputs.fast_reader import ArrayReader
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.model import Model, PredictionRequest
from serve_apps.model_server.observability.exchange import Exchange
from serve_apps.model_server.server.asgi import ReplicaApp
from serve_apps.model_server.server.batching import Batcher

_LIMITS = Batching(max_rows=8, wait_ms=0)


class Recorder:
    """Doubles the first value of each row, and records the number of rows of each call. Refuses negative values."""

    flavor = "sklearn"
    predicts_labels = True
    features = Features()
    refusals: tuple[type[Exception], ...] = (ValueError,)

    def __init__(self, classes: Sequence[Any] | None = None) -> None:
        self.classes = classes
        self.groups: list[list[float]] = []
        self.go = threading.Event()
        self.go.set()

    def predict(self, batch: Any, params: Mapping[str, Any]) -> Any:
        assert self.go.wait(30)
        self.groups.append(batch[:, 0].tolist())
        if (batch < 0).any():
            raise ValueError("a negative value")
        return batch[:, 0] * 2

    def probabilities(self, batch: Any) -> Any:
        return np.column_stack([batch[:, 0], 1 - batch[:, 0]])


def _model(recorder: Recorder) -> Model:
    reader = ArrayReader(1, None, np.dtype(np.float64))
    return Model("m", "1", recorder, PlainArray(None, (-1, 1)), None, "3", reader=reader, is_groupable=True)


def _request(*values: float, dtype: type = np.float64, **asked: Any) -> PredictionRequest:
    return PredictionRequest(np.array([[value] for value in values], dtype=dtype), is_array=True, **asked)


async def test_concurrent_requests_are_computed_together() -> None:
    recorder = Recorder()
    batcher = Batcher(_model(recorder), _LIMITS, None)
    answers = await asyncio.gather(*(batcher.predict(_request(value, value)) for value in (1.0, 2.0, 3.0)))
    assert recorder.groups == [[1.0, 1.0, 2.0, 2.0, 3.0, 3.0]]
    assert [(answer.predictions.tolist(), together) for answer, together in answers] == [
        ([2.0, 2.0], 6),
        ([4.0, 4.0], 6),
        ([6.0, 6.0], 6),
    ]


async def test_batches_count_rows_and_keep_the_order_of_arrival() -> None:
    recorder = Recorder()
    batcher = Batcher(_model(recorder), _LIMITS, None)
    await asyncio.gather(*(batcher.predict(_request(value, value, value)) for value in (1.0, 2.0, 3.0)))
    assert recorder.groups == [[1.0] * 3 + [2.0] * 3, [3.0] * 3]


async def test_requests_of_other_types_are_computed_separately() -> None:
    recorder = Recorder()
    batcher = Batcher(_model(recorder), _LIMITS, None)
    kinds = (np.float64, np.int64, np.float64)
    await asyncio.gather(*(batcher.predict(_request(value, dtype=kind)) for value, kind in zip((1, 2, 3), kinds, strict=True)))
    assert recorder.groups == [[1.0], [2], [3.0]]


async def test_bad_request_in_a_batch_fails_alone() -> None:
    batcher = Batcher(_model(Recorder()), _LIMITS, None)
    good, bad, other = await asyncio.gather(
        *(batcher.predict(_request(value)) for value in (1.0, -1.0, 3.0)), return_exceptions=True
    )
    assert isinstance(good, tuple) and good[0].predictions.tolist() == [2.0]
    assert isinstance(bad, InputsRefused)
    assert isinstance(other, tuple) and other[0].predictions.tolist() == [6.0]


async def test_each_request_gets_the_kind_of_answer_it_asked_for() -> None:
    batcher = Batcher(_model(Recorder(classes=[0, 1])), _LIMITS, None)
    plain, both, only = await asyncio.gather(
        batcher.predict(_request(0.5)),
        batcher.predict(_request(0.25, probabilities=True)),
        batcher.predict(_request(0.125, probabilities=True, predictions=False)),
    )
    assert (plain[0].predictions.tolist(), plain[0].probabilities) == ([1.0], None)
    assert both[0].probabilities is not None and both[0].probabilities.tolist() == [[0.25, 0.75]]
    assert only[0].predictions is None


async def test_missing_probabilities_are_refused_only_if_requested() -> None:
    batcher = Batcher(_model(Recorder()), _LIMITS, None)
    good, refused = await asyncio.gather(
        batcher.predict(_request(1.0)), batcher.predict(_request(1.0, probabilities=True)), return_exceptions=True
    )
    assert isinstance(good, tuple)
    assert isinstance(refused, NoProbabilities)


async def test_requests_during_a_computation_are_the_next_batch() -> None:
    recorder = Recorder()
    recorder.go.clear()
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(_model(recorder), _LIMITS, executor)
        first = asyncio.create_task(batcher.predict(_request(1.0)))
        await _turns()
        later = [asyncio.create_task(batcher.predict(_request(value))) for value in (2.0, 3.0)]
        await _turns()
        recorder.go.set()
        await asyncio.gather(first, *later)
    assert recorder.groups == [[1.0], [2.0, 3.0]]


async def test_request_of_a_disconnected_client_is_not_computed() -> None:
    recorder = Recorder()
    recorder.go.clear()
    with ThreadPoolExecutor(1) as executor:
        batcher = Batcher(_model(recorder), _LIMITS, executor)
        first = asyncio.create_task(batcher.predict(_request(1.0)))
        await _turns()
        gone, stays = (asyncio.create_task(batcher.predict(_request(value))) for value in (2.0, 3.0))
        await _turns()
        gone.cancel()
        await _turns()
        recorder.go.set()
        await asyncio.gather(first, stays)
    assert recorder.groups == [[1.0], [3.0]]


async def test_single_request_does_not_wait_and_later_ones_do() -> None:
    recorder = Recorder()
    batcher = Batcher(_model(recorder), Batching(max_rows=8, wait_ms=3_600_000), None)
    await batcher.predict(_request(1.0))  # an hour, if it waited
    # Two had company once more: then each waits until the other is there.
    await asyncio.gather(batcher.predict(_request(2.0)), batcher.predict(_request(3.0)))
    first = asyncio.create_task(batcher.predict(_request(4.0)))
    await _turns()
    assert not first.done()
    await asyncio.gather(first, batcher.predict(_request(5.0)))
    assert recorder.groups == [[1.0], [2.0, 3.0], [4.0, 5.0]]


def test_parameters_large_requests_and_frames_are_not_batched() -> None:
    batcher = Batcher(_model(Recorder()), _LIMITS, None)
    assert batcher.accepts(_request(1.0))
    assert not batcher.accepts(_request(1.0, params={"a": 1}))
    assert not batcher.accepts(_request(*range(5)))
    assert not batcher.accepts(PredictionRequest([[1.0]]))


@pytest.mark.parametrize(("batching", "groups"), [(_LIMITS, 1), (None, 3), (Batching(max_rows=1, wait_ms=0), 3)])
async def test_replica_batches_if_it_is_configured(batching: Batching | None, groups: int) -> None:
    recorder = Recorder()
    watch = Seen()
    app = ReplicaApp(_model(recorder), batching=batching, observer=watch)
    recorder.groups.clear()
    statuses = await asyncio.gather(*(_post(app, b'{"inputs": [[%d]]}' % value) for value in (1, 2, 3)))
    assert statuses == [200, 200, 200]
    assert len(recorder.groups) == groups
    assert watch.began_routes == ["/predict"] * 3
    assert [(one.rows, one.rows_together) for one in watch.exchanges] == [(1, 4 - groups)] * 3
    assert [one.response.status for one in watch.exchanges if one.response] == [200] * 3


class Seen:
    """Records the calls of the observer."""

    def __init__(self) -> None:
        self.began_routes: list[str] = []
        self.exchanges: list[Exchange] = []

    def began(self, route: str) -> None:
        self.began_routes.append(route)

    def ended(self, exchange: Exchange) -> None:
        self.exchanges.append(exchange)


async def _turns() -> None:
    """Run the event loop until no task can proceed."""
    for _ in range(10):
        await asyncio.sleep(0)


async def _post(app: ReplicaApp, body: bytes) -> int:
    route = "/v2/models/m/versions/1"
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"{route}/predict", "root_path": route, "headers": []}
    await app(scope, receive, send)
    return sent[0]["status"]
