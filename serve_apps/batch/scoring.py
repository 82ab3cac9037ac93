"""Predicts for chunks of rows with the predictor of the endpoint, and finds the rows that it does not take."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from raylift.domain.batches.batch import BatchSpec, OnError
from raylift.domain.errors import PlatformError
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.inputs import for_schema, inputs_of, part_of
from serve_apps.batch.readers import Chunk
from serve_apps.batch.results import AnswerColumns, answer_columns
from serve_apps.model_server.errors import UnusableOutput
from serve_apps.model_server.inputs.params import checked_params
from serve_apps.model_server.inputs.tabular import Inputs
from serve_apps.model_server.model import Model

_HOPELESS_ROWS: Final = 10_000
"""Rows of one process that are all rejected: then the input as a whole is wrong."""
_FIRST_ROW: Final = re.compile(r"; row 0 has ")


@dataclass(frozen=True, slots=True)
class Answer:
    """Answers to neighbouring rows."""

    start: int
    end: int
    columns: AnswerColumns


@dataclass(slots=True)
class Scored:
    """Answers to the rows of a chunk, in their order, and the rows without one."""

    answers: list[Answer] = field(default_factory=list[Answer])
    rejected: dict[int, str] = field(default_factory=dict[int, str])
    """Errors by the place of the row in the chunk."""


class Scorer:
    """Predicts for chunks. Belongs to one process."""

    def __init__(self, model: Model, spec: BatchSpec) -> None:
        """Check what the batch asks of the model.

        Raises:
            BatchFailed: It has no probabilities, or other parameters.
        """
        # Each rejected row would be a line of the log.
        logging.getLogger("serve_apps.model_server.model").setLevel(logging.CRITICAL)
        self._model, self._spec = model, spec
        self._accepted = self._rejected = 0
        if spec.probabilities and model.classes is None:
            raise BatchFailed("This model has no probabilities: start the batch without them.")
        try:
            self._params = checked_params(dict(spec.params), model.declared_params)
        except PlatformError as error:
            raise BatchFailed(f"The model does not take these params. {error.detail}") from error

    def score(self, chunk: Chunk, names: Sequence[str]) -> Scored:
        """Predict for all rows that the model takes.

        Raises:
            BatchFailed: It does not take a row, and the batch wants to fail then; or it takes none at all.
        """
        scored = Scored(rejected=dict(chunk.unreadable))
        inputs = inputs_of(chunk, names, self._model) if names else None
        start = 0
        for end in [*sorted(chunk.unreadable), chunk.count]:
            if end > start:
                self._score(inputs, start, end, chunk, scored)
            start = end + 1
        if scored.rejected and self._spec.on_error is OnError.FAIL:
            row, error = next(iter(sorted(scored.rejected.items())))
            raise BatchFailed(_refusal(chunk.first_row + row, error))
        self._accepted += chunk.count - len(scored.rejected)
        return scored

    def _score(self, inputs: Inputs | None, start: int, end: int, chunk: Chunk, scored: Scored) -> None:
        try:
            if inputs is None:
                raise BatchFailed("The rows have no columns.")
            whole = start == 0 and end == chunk.count
            answers = self._predict(inputs if whole else part_of(inputs, start, end), end - start)
        except UnusableOutput as error:
            raise BatchFailed(error.detail) from error
        except PlatformError as error:
            self._halve(inputs, start, end, chunk, scored, error)
            return
        scored.answers.append(Answer(start, end, answers))

    def _halve(self, inputs: Inputs | None, start: int, end: int, chunk: Chunk, scored: Scored, error: PlatformError) -> None:
        """Look for the rows that the model does not take."""
        if end - start == 1:
            scored.rejected[start] = _FIRST_ROW.sub("; it has ", error.detail)
            self._rejected += 1
            if self._spec.on_error is OnError.FAIL:
                raise BatchFailed(_refusal(chunk.first_row + start, scored.rejected[start]))
            if self._rejected >= _HOPELESS_ROWS and not self._accepted and not scored.answers:
                raise BatchFailed(
                    f"None of the first {self._rejected} rows can be scored, so the batch ends. The last one: {error.detail}"
                )
            return
        middle = (start + end) // 2
        self._score(inputs, start, middle, chunk, scored)
        self._score(inputs, middle, end, chunk, scored)

    def _predict(self, inputs: Inputs, rows: int) -> AnswerColumns:
        model = self._model
        request = model.prediction_request(
            inputs, partial(for_schema, model=model), params=self._params, probabilities=self._spec.probabilities
        )
        return answer_columns(model.predict(request), rows, model)


def _refusal(row: int, error: str) -> str:
    return f"row {row} (from 0) cannot be scored. {error} Mend the row, or leave such rows out: --on-error skip (or null)."
