"""Adaptive batching: requests that come together are computed together.

Nobody waits for nothing. A request starts a computation in the loop's next turn, and takes along what has come by then; what
comes while a computation runs is the next one's. Only where the last computation had company, and a wait is allowed, the next
one waits for as much company again, at most that long.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from raylift.domain.deployment import Batching
from raylift.domain.errors import PlatformError
from serve_apps.model_server.model import Model, PredictionRequest, PredictionResult

Outcome = PredictionResult | Exception

_MS: Final = 1000


@dataclass(slots=True)
class _Waiting:
    request: PredictionRequest
    rows: int
    outcome: asyncio.Future[tuple[PredictionResult, int]]


class Batcher:
    """Asks one model on behalf of many requests. Belongs to one event loop.

    Requests are taken in the order of their coming. A request that fails takes none with it: the others of its group are
    then asked one by one. One whose client has gone is dropped before it is computed.
    """

    def __init__(self, model: Model, limits: Batching, executor: Executor | None) -> None:
        """``executor`` computes. None: the loop itself does, as is right for what takes less than a change of threads."""
        self._model = model
        self._limits = limits
        self._executor = executor
        self._waiting: deque[_Waiting] = deque()
        self._rows = 0
        self._company = 1
        self._is_busy = False
        """A computation runs or is scheduled."""
        self._pause: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """How many requests have not begun to be computed."""
        return len(self._waiting)

    def accepts(self, request: PredictionRequest) -> bool:
        """Whether a request can be computed with others: its inputs are an array, it has no parameters, and it is small."""
        return request.is_array and not request.params and 2 * len(request.batch) <= self._limits.max_rows

    async def predict(self, request: PredictionRequest) -> tuple[PredictionResult, int]:
        """The answer, and how many rows were computed together with it. Raises as :meth:`Model.predict` does."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(request, len(request.batch), loop.create_future())
        self._waiting.append(waiting)
        self._rows += waiting.rows
        if not self._is_busy:
            self._is_busy = True
            loop.call_soon(self._begin)
        elif self._pause is not None and self._is_enough():
            self._pause.cancel()
            self._compute()
        return await waiting.outcome

    def _begin(self) -> None:
        if self._limits.wait_ms > 0 and not self._is_enough():
            loop = asyncio.get_running_loop()
            self._pause = loop.call_later(self._limits.wait_ms / _MS, self._compute)
        else:
            self._compute()

    def _is_enough(self) -> bool:
        """Whether as many have come as were there the last time."""
        return len(self._waiting) >= self._company or self._rows >= self._limits.max_rows

    def _compute(self) -> None:
        self._pause = None
        group = self._next_group()
        if not group:
            self._is_busy = False
            return
        self._company = len(group)
        requests = [waiting.request for waiting in group]
        if self._executor is None:
            self._deliver(group, answer_all(self._model, requests))
            return
        running = asyncio.get_running_loop().run_in_executor(self._executor, answer_all, self._model, requests)
        running.add_done_callback(lambda done: self._deliver(group, done.result()))

    def _deliver(self, group: Sequence[_Waiting], outcomes: Sequence[Outcome]) -> None:
        rows = sum(waiting.rows for waiting in group)
        for waiting, outcome in zip(group, outcomes, strict=True):
            if waiting.outcome.done():  # cancelled meanwhile
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
        """The first that wait, as many as fit and are alike."""
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


def answer_all(model: Model, requests: Sequence[PredictionRequest]) -> list[Outcome]:
    """The answers of requests that are alike, computed together; where that fails, each by itself."""
    if len(requests) == 1:
        return [_outcome(model.predict, requests[0])]
    together = replace(
        requests[0],
        batch=np.concatenate([request.batch for request in requests]),
        predictions=any(request.predictions for request in requests),
        probabilities=any(request.probabilities for request in requests) and model.classes is not None,
    )
    try:
        whole = model.predict(together)
    except PlatformError:
        return [_outcome(model.predict, request) for request in requests]
    return _parts(whole, requests, model)


def _parts(whole: PredictionResult, requests: Sequence[PredictionRequest], model: Model) -> list[Outcome]:
    parts: list[Outcome] = []
    start = 0
    for request in requests:
        end = start + len(request.batch)
        if request.probabilities and whole.probabilities is None:
            parts.append(_outcome(model.predict, request))  # the model has none, and says so
        else:
            parts.append(_part(whole, request, slice(start, end)))
        start = end
    return parts


def _part(whole: PredictionResult, request: PredictionRequest, rows: slice) -> PredictionResult:
    predictions = whole.predictions[rows] if request.predictions else None
    probabilities = whole.probabilities[rows] if request.probabilities and whole.probabilities is not None else None
    return PredictionResult(predictions, probabilities, whole.seconds)


def _outcome(ask: Callable[[PredictionRequest], PredictionResult], request: PredictionRequest) -> Outcome:
    try:
        return ask(request)
    except PlatformError as error:
        return error


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return one.request.batch.dtype == other.request.batch.dtype
