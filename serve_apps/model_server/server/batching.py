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
from serve_apps.model_server.model import Answer, Model, Question

Outcome = Answer | Exception

_MS: Final = 1000


@dataclass(slots=True)
class _Waiting:
    question: Question
    rows: int
    outcome: asyncio.Future[tuple[Answer, int]]


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

    def takes(self, question: Question) -> bool:
        """Whether a question can be computed with others: its inputs are an array, it has no parameters, and it is small."""
        return question.is_array and not question.params and 2 * len(question.batch) <= self._limits.max_rows

    async def ask(self, question: Question) -> tuple[Answer, int]:
        """The answer, and how many rows were computed together with it. Raises as :meth:`Model.ask` does."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(question, len(question.batch), loop.create_future())
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
        questions = [waiting.question for waiting in group]
        if self._executor is None:
            self._deliver(group, answer_all(self._model, questions))
            return
        running = asyncio.get_running_loop().run_in_executor(self._executor, answer_all, self._model, questions)
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


def answer_all(model: Model, questions: Sequence[Question]) -> list[Outcome]:
    """The answers of questions that are alike, computed together; where that fails, each by itself."""
    if len(questions) == 1:
        return [_outcome(model.ask, questions[0])]
    together = replace(
        questions[0],
        batch=np.concatenate([question.batch for question in questions]),
        predictions=any(question.predictions for question in questions),
        probabilities=any(question.probabilities for question in questions) and model.classes is not None,
    )
    try:
        whole = model.ask(together)
    except PlatformError:
        return [_outcome(model.ask, question) for question in questions]
    return _parts(whole, questions, model)


def _parts(whole: Answer, questions: Sequence[Question], model: Model) -> list[Outcome]:
    parts: list[Outcome] = []
    start = 0
    for question in questions:
        end = start + len(question.batch)
        if question.probabilities and whole.probabilities is None:
            parts.append(_outcome(model.ask, question))  # the model has none, and says so
        else:
            parts.append(_part(whole, question, slice(start, end)))
        start = end
    return parts


def _part(whole: Answer, question: Question, rows: slice) -> Answer:
    predictions = whole.predictions[rows] if question.predictions else None
    probabilities = whole.probabilities[rows] if question.probabilities and whole.probabilities is not None else None
    return Answer(predictions, probabilities, whole.seconds)


def _outcome(ask: Callable[[Question], Answer], question: Question) -> Outcome:
    try:
        return ask(question)
    except PlatformError as error:
        return error


def _alike(one: _Waiting, other: _Waiting) -> bool:
    return one.question.batch.dtype == other.question.batch.dtype
