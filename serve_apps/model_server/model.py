"""A loaded model version: what it wants, and how it is asked."""

from __future__ import annotations

import logging
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from serve_apps.model_server.errors import InputsRefused, NoProbabilities, PredictionFailed
from serve_apps.model_server.predictors.base import Batch, Predictor
from serve_apps.model_server.schema import Schema
from serve_apps.model_server.signature import ColumnType, Signature

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


@dataclass(frozen=True, slots=True)
class Answer:
    predictions: Any
    """As the library gave them; None when not asked for."""
    probabilities: NDArray[Any] | None
    seconds: float
    """In the model alone."""


@dataclass(frozen=True, slots=True)
class Model:
    """One model version in memory. Several threads may ask it at once."""

    name: str
    version: str
    predictor: Predictor
    schema: Schema
    signature: Signature | None
    mlflow_version: str

    @property
    def classes(self) -> Sequence[Any] | None:
        return self.predictor.classes

    @property
    def is_function(self) -> bool:
        """Whether MLflow predicts, as it does for every library that the replica has no predictor of its own for."""
        return self.predictor.flavor == "python_function"

    def ask(self, question: Question) -> Answer:
        """Predict.

        Raises:
            NoProbabilities: They were asked for and the model has none.
            InputsRefused: The model raised an error that wrong inputs explain.
            PredictionFailed: It raised any other.
        """
        if question.probabilities and self.classes is None:
            detail = "This model has no probabilities: only classifiers of one output that can estimate them do."
            raise NoProbabilities(detail, [FieldError("return_probabilities", "the model has none")])
        started = time.perf_counter()
        try:
            predictions = self.predictor.predict(question.batch, question.params) if question.predictions else None
            probabilities = self.predictor.probabilities(question.batch) if question.probabilities else None
        except self.predictor.refusals as error:
            _log.info("%s version %s refused inputs: %s", self.name, self.version, error)
            raise InputsRefused(
                f"The model did not take these inputs. {_said(error)}", [FieldError("inputs", _said(error))]
            ) from error
        except Exception as error:
            _log.exception("%s version %s failed to predict", self.name, self.version)
            raise PredictionFailed(f"The model failed to predict. {_said(error)}") from error
        return Answer(predictions, probabilities, time.perf_counter() - started)

    def is_quick(self) -> bool:
        """Whether one row takes so little that handing it to a thread would cost more, measured on rows of zeros.

        A model that cannot be tried without risk (a Python function may do anything) counts as slow.
        """
        batch = self._trial_batch()
        if batch is None:
            return False
        try:
            return statistics.median(self._trial(batch) for _ in range(_TRIALS)) < _QUICK_SECONDS
        except Exception as error:  # noqa: BLE001 - zeros may be anything to a model, and need not be inputs it takes
            _log.info("%s version %s cannot be timed on zeros: %s", self.name, self.version, _said(error))
            return False

    def _trial(self, batch: Batch) -> float:
        started = time.perf_counter()
        self.predictor.predict(batch, {})
        return time.perf_counter() - started

    def _trial_batch(self) -> Batch | None:
        if self.is_function:
            return None
        columns = self.schema.columns
        if columns and all(column.name is not None and column.type in (None, *_NUMERIC) for column in columns):
            return pd.DataFrame(np.zeros((1, len(columns))), columns=[str(column.name) for column in columns])
        tensors = self.schema.tensors
        if len(tensors) == 1 and tensors[0].name is None and -1 not in tensors[0].shape[1:]:
            dtype = np.dtype(tensors[0].dtype)
            return np.zeros((1, *tensors[0].shape[1:]), dtype=dtype) if dtype.kind in "biuf" else None
        return None


def _said(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text if len(text) <= 500 else text[:499] + '…'}"
