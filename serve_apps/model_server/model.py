"""A loaded model version: what it wants, and how it is asked."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.error_text import said
from serve_apps.model_server.errors import InputsRefused, NoProbabilities, PredictionFailed
from serve_apps.model_server.inputs.column_reader import ColumnReader
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.fast_reader import ArrayReader
from serve_apps.model_server.inputs.features import Batch
from serve_apps.model_server.inputs.schema import Origin, Schema
from serve_apps.model_server.inputs.signature import Signature
from serve_apps.model_server.inputs.tabular import Inputs
from serve_apps.model_server.predictors.base import Predictor
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath
from serve_apps.model_server.predictors.pyfunc import PyfuncPredictor

_log = logging.getLogger(__name__)

_QUICK_SECONDS: Final = 0.002
_TRIALS: Final = 5
_NUMERIC: Final = frozenset({ColumnType.BOOLEAN, ColumnType.INTEGER, ColumnType.LONG, ColumnType.FLOAT, ColumnType.DOUBLE})


@dataclass(frozen=True, slots=True)
class Question:
    """One prediction request, in no protocol's terms."""

    batch: Batch
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    predictions: bool = True
    probabilities: bool = False
    echo: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What the protocol wants back in its answer, such as a request's id."""
    is_array: bool = False
    """Whether ``batch`` was read by the model's array reader, so that a library may want it as a frame."""

    @property
    def rows(self) -> int:
        """How many rows are asked for; 1 for what is no table."""
        batch = self.batch
        if isinstance(batch, dict):
            batch = next(iter(batch.values()), None)
        if isinstance(batch, np.ndarray):
            return len(batch) if batch.ndim else 1
        return len(batch) if isinstance(batch, (pd.DataFrame, pd.Series, list)) else 1


@dataclass(frozen=True, slots=True)
class Answer:
    predictions: Any
    """As the library gave them; None when not asked for."""
    probabilities: NDArray[Any] | None
    seconds: float
    """In the model alone."""


@dataclass(frozen=True, slots=True)
class Computed:
    """What a model made of some rows."""

    predictions: Any
    probabilities: Any

    def part(self, start: int, end: int) -> Computed:
        """That of some of the rows, where there is an entry for each."""
        return Computed(*(None if whole is None else whole[start:end] for whole in (self.predictions, self.probabilities)))

    def equals(self, other: Computed) -> bool:
        """Compare bit by bit. Answers that are no arrays are never equal."""
        return _equal(self.predictions, other.predictions) and _equal(self.probabilities, other.probabilities)


@dataclass(frozen=True, slots=True)
class Model:
    """One model version in memory. Several threads may ask it at once."""

    name: str
    version: str
    predictor: Predictor
    schema: Schema
    signature: Signature | None
    mlflow_version: str
    origin: Origin = field(default_factory=lambda: Origin("none"))
    """Origin of ``schema``."""
    other_numerics: str | None = None
    """Sentence on how this process's arithmetic differs from the training's (loading/numerics.py)."""
    reader: ArrayReader | ColumnReader | None = None
    """The short way for inputs; None where there is none, and all go through ``schema``."""
    fast: FastPath | None = None
    """Proven to answer as the predictor does (acceleration.py). Needs a reader."""
    is_groupable: bool = False
    """Whether rows of several requests may be computed together: proven, too. Needs a reader."""
    example: Any = None
    """The scoring body that was logged with it (examples.py)."""

    @property
    def classes(self) -> Sequence[Any] | None:
        return self.predictor.classes

    @property
    def is_function(self) -> bool:
        """Whether MLflow predicts, as it does for every library that the replica has no predictor of its own for."""
        return self.predictor.flavor == "python_function"

    def question(self, inputs: Any, tabular: Callable[[Any], Inputs], **asked: Any) -> Question:
        """A request for ``inputs``: by the short way where they take it, else by the schema of what ``tabular`` makes of them.

        Raises:
            WrongInputs: They are not what the model wants.
        """
        array = self.read(inputs, asked.get("params"))
        if array is not None:
            return Question(array, is_array=True, **asked)
        return Question(self.schema.batch(tabular(inputs)), **asked)

    def read(self, inputs: Any, params: Mapping[str, Any] | None) -> NDArray[Any] | None:
        """The inputs by the short way; None where they must go by the schema."""
        # What a ColumnReader reads only its fast path takes, which knows no parameters.
        is_for_library = bool(params) and isinstance(self.reader, ColumnReader)
        return None if self.reader is None or is_for_library else self.reader.read(inputs)

    def ask(self, question: Question) -> Answer:
        """Predict.

        Raises:
            NoProbabilities: They were asked for and the model has none.
            InputsRefused: The model raised an error that wrong inputs explain.
            PredictionFailed: It raised any other.
        """
        if question.probabilities and self.classes is None:
            raise NoProbabilities(self._no_probabilities(), [FieldError("return_probabilities", "the model has none")])
        started = time.perf_counter()
        try:
            computed = self.computed(question)
        except InputsRefused as error:
            _log.info("%s version %s refused inputs: %r", self.name, self.version, error.__cause__)
            raise
        except self.predictor.refusals as error:
            _log.info("%s version %s refused inputs: %s", self.name, self.version, error)
            raise InputsRefused(
                f"The model did not take these inputs. {said(error)}", [FieldError("inputs", said(error))]
            ) from error
        except Exception as error:
            _log.exception("%s version %s failed to predict", self.name, self.version)
            raise PredictionFailed(f"The model failed to predict. {said(error)}") from error
        return Answer(computed.predictions, computed.probabilities, time.perf_counter() - started)

    def _no_probabilities(self) -> str:
        if isinstance(self.predictor, PyfuncPredictor):
            return self.predictor.why_no_probabilities
        return "This model has no probabilities: only classifiers of one output that can estimate them do."

    def compute(self, array: NDArray[Any]) -> Computed:
        """All that the model says of an array such as its reader reads. Raises what the library raises."""
        return self.computed(Question(array, is_array=True, probabilities=self.classes is not None))

    def computed(self, question: Question) -> Computed:
        """The same as :meth:`ask`, raising what the library raises."""
        batch = question.batch
        if question.is_array:
            path, reader = self.fast, self.reader if isinstance(self.reader, ArrayReader) else None
            if path is not None and path.multiplies and reader is not None:
                batch = reader.laid_out(batch)
            if path is not None and not question.params and (rows := path.prepare(batch)) is not None:
                return _fast(path, rows, question)
            batch = batch if reader is None else reader.for_library(batch)
        return Computed(
            self.predictor.predict(batch, question.params) if question.predictions else None,
            self.predictor.probabilities(batch) if question.probabilities else None,
        )

    def takes(self, question: Question) -> bool:
        """Whether the model answers it."""
        try:
            self.computed(question)
        except Exception as error:  # noqa: BLE001 - that is the question
            _log.info("%s version %s does not take an example: %s", self.name, self.version, said(error))
            return False
        return True

    def is_quick(self) -> bool:
        """Whether one row takes so little that handing it to a thread would cost more, measured on rows of zeros.

        A model that cannot be tried without risk (a Python function may do anything) counts as slow.
        """
        trial = self._trial_question()
        if trial is None:
            return False
        try:
            return statistics.median(self._trial(trial) for _ in range(_TRIALS)) < _QUICK_SECONDS
        except Exception as error:  # noqa: BLE001 - zeros may be anything to a model, and need not be inputs it takes
            _log.info("%s version %s cannot be timed on zeros: %s", self.name, self.version, said(error))
            return False

    def _trial(self, question: Question) -> float:
        started = time.perf_counter()
        self.computed(question)
        return time.perf_counter() - started

    def _trial_question(self) -> Question | None:
        if self.is_function:
            return None
        if isinstance(self.reader, ColumnReader):
            return Question(self.reader.read([dict(self.reader.example)]), is_array=True)
        if self.reader is not None:
            return Question(np.zeros((1, self.reader.width), dtype=self.reader.dtype), is_array=True)
        columns = self.schema.columns
        if columns and all(column.name is not None and column.type in (None, *_NUMERIC) for column in columns):
            return Question(pd.DataFrame(np.zeros((1, len(columns))), columns=[column.label for column in columns]))
        tensors = self.schema.tensors
        if len(tensors) == 1 and tensors[0].name is None and -1 not in tensors[0].shape[1:]:
            dtype = np.dtype(tensors[0].dtype)
            return Question(np.zeros((1, *tensors[0].shape[1:]), dtype=dtype)) if dtype.kind in "biuf" else None
        return None


def _fast(path: FastPath, rows: NDArray[Any], question: Question) -> Computed:
    scores = path.scores(rows)
    wants_probabilities = question.probabilities and path.probabilities is not None
    return Computed(
        path.predictions(scores) if question.predictions else None,
        path.probabilities(scores) if wants_probabilities and path.probabilities is not None else None,
    )


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)):
        return False
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return np.array_equal(one, other) if one.dtype.hasobject else one.tobytes() == other.tobytes()
