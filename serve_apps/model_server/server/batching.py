"""Adaptive batching: requests that arrive together are computed together.

A request starts a computation in the loop's next turn, together with all that have arrived by then. Requests that arrive during
a computation form the next one. If the last computation had several requests and waiting is allowed, the next one waits until
as many have arrived again, at most ``wait_ms``.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from raylift.domain.errors import PlatformError
from raylift.domain.models.deployment import Batching
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult

Outcome = PredictionResult | Exception

_MS: Final = 1000


@dataclass(slots=True)
class _Waiting:
    request: PredictionRequest
    rows: int
    outcome: asyncio.Future[tuple[PredictionResult, int]]


class Batcher:
    """Predicts requests of a model in groups. Belongs to one event loop.

    Requests are taken in the order of arrival. If a group fails, its requests are predicted one by one, so that one bad request
    does not fail the others. A request whose client has disconnected is dropped before it is computed.
    """

    def __init__(self, model: Model, limits: Batching, executor: Executor | None) -> None:
        """``executor`` runs the computations. None: the loop runs them, which is faster for a quick model."""
        self._model = model
        self._limits = limits
        self._executor = executor
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._last_size = 1
        self._is_busy = False
        """True while a computation runs or is scheduled."""
        self._timer: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Number of requests whose computation has not begun."""
        return len(self._waiting)

    def accepts(self, request: PredictionRequest) -> bool:
        """Tell whether a request can be computed with others: an array without parameters, at most half a group."""
        return request.is_array and not request.params and 2 * len(request.batch) <= self._limits.max_rows

    async def predict(self, request: PredictionRequest) -> tuple[PredictionResult, int]:
        """Result of a request, and the number of rows computed with it. Raises as :meth:`Model.predict` does."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, len(request.batch), loop.create_future())
        self._waiting.append(waiting)
        self._rows += waiting.rows
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._begin)
        elif self._timer is not None and self._is_enough():
            self._timer.cancel()
            self._compute()
        return await waiting.outcome

    def _begin(self) -> None:
        if self._limits.wait_ms > 0 and not self._is_enough():
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(self._limits.wait_ms / _MS, self._compute)
        else:
            self._compute()

    def _is_enough(self) -> bool:
        """Tell whether as many requests wait as the last group had, or the limit of rows is reached."""
        return len(self._waiting) >= self._last_size or self._rows >= self._limits.max_rows

    def _compute(self) -> None:
        self._timer = None
        group = self._next_group()
        if not group:
            self._is_busy = False
            return
        self._last_size = len(group)
        requests = [waiting.request for waiting in group]
        if self._executor is None:
            self._deliver(group, predict_all(self._model, requests))
            return
        running = asyncio.get_running_loop().run_in_executor(self._executor, predict_all, self._model, requests)
        running.add_done_callback(lambda done: self._deliver(group, done.result()))

    def _deliver(self, group: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        rows = sum(waiting.rows for waiting in group)
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.outcome.done():  # cancelled in the meantime
                continue
            if isinstance(outcome, Exception):
                waiting.outcome.set_exception(outcome)
            else:
                waiting.outcome.set_result((outcome, rows))
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._begin)
        else:
            self._is_busy = False

    def _next_group(self) -> list[_Waiting]:
        """The longest-waiting requests that are alike and fit the limit of rows."""
        group: list[_Waiting] = []
        rows = 0
        while self._waiting:
            first = self._waiting[0]
            is_gone = first.outcome.done()
            if group and not is_gone and not (_alike(group[0], first) and rows + first.rows <= self._limits.max_rows):
                break
            self._waiting.popleft()
            self._rows -= first.rows
            if not is_gone:
                group.append(first)
                rows += first.rows
        return group


def predict_all(model: Model, requests: Sequence[PredictionRequest]) -> list[Outcome]:
    """Predict requests that are alike together; one by one if that fails."""
    if len(requests) == 1:
        return [_outcome(model.predict, requests[0])]
    together = replace(
        requests[0],
        batch=np.concatenate([request.batch for request in requests]),
        predictions=any(request.predictions for request in requests),
        probabilities=any(request.probabilities for request in requests) and model.classes is not None,
    )
    try:
        result = model.predict(together)
    except PlatformError:
        return [_outcome(model.predict, request) for request in requests]
    return _parts(result, requests, model)


def _parts(result: PredictionResult, requests: Sequence[PredictionRequest], model: Model) -> list[Outcome]:
    parts: list[Outcome] = []
    start = 0
    for request in requests:
        end = start + len(request.batch)
        if request.probabilities and result.probabilities is None:
            parts.append(_outcome(model.predict, request))  # raises that the model has none
        else:
            part = result.part(start, end)
            predictions = part.predictions if request.predictions else None
            parts.append(
                replace(part, predictions=predictions, probabilities=part.probabilities if request.probabilities else None)
            )
        start = end
    return parts


def _outcome(ask: Callable[[PredictionRequest], PredictionResult], request: PredictionRequest) -> Outcome:
    try:
        return ask(request)
    except PlatformError as error:
        return error


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return one.request.batch.dtype == other.request.batch.dtype
