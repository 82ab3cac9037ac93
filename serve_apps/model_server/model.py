"""A loaded model version: predicts for requests of every protocol."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from raylift.domain.errors import FieldError
from raylift.domain.monitoring.reference import Reference
from serve_apps.model_server.errors import InputsRefused, NoProbabilities, PredictionFailed, describe_error
from serve_apps.model_server.inputs.column_reader import ColumnReader
from serve_apps.model_server.inputs.fast_reader import ArrayReader
from serve_apps.model_server.inputs.features import Batch
from serve_apps.model_server.inputs.schema import Origin, Schema
from serve_apps.model_server.inputs.signature import Parameter, Signature
from serve_apps.model_server.inputs.tabular import Inputs
from serve_apps.model_server.predictors.base import Predictor
from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath
from serve_apps.model_server.predictors.pyfunc import PyfuncPredictor

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PredictionRequest:
    """A prediction request, independent of its protocol."""

    batch: Batch
    params: Mapping[str, Any] = field(default_factory=dict[str, Any])
    predictions: bool = True
    probabilities: bool = False
    echo: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Values that the protocol returns with the result, such as a request's id."""
    is_array: bool = False
    """True if ``batch`` was read by the model's fast reader; the library may want a frame instead."""
    raw: Any = None
    """Inputs as they were sent, where ``batch`` has the model's transformed columns."""

    @property
    def rows(self) -> int:
        """Rows of the batch; 1 if it is not a table."""
        batch = self.batch
        if isinstance(batch, dict):
            batch = next(iter(batch.values()), None)
        if isinstance(batch, np.ndarray):
            return len(batch) if batch.ndim else 1
        return len(batch) if isinstance(batch, (pd.DataFrame, pd.Series, list)) else 1


@dataclass(frozen=True, slots=True)
class PredictionResult:
    """Predictions and probabilities as the library returned them; None if not requested."""

    predictions: Any
    probabilities: Any
    seconds: float = 0.0
    """Time in the model alone."""

    def part(self, start: int, end: int) -> PredictionResult:
        """Result of the rows from ``start`` to ``end``. Needs one entry for each row."""
        parts = (None if whole is None else whole[start:end] for whole in (self.predictions, self.probabilities))
        return PredictionResult(*parts, seconds=self.seconds)

    def equals(self, other: PredictionResult) -> bool:
        """Compare bit by bit. Results other than arrays are never equal."""
        return _equal(self.predictions, other.predictions) and _equal(self.probabilities, other.probabilities)


@dataclass(frozen=True, slots=True)
class Model:
    """A model version in memory. Thread-safe."""

    name: str
    version: str
    predictor: Predictor
    schema: Schema
    signature: Signature | None
    mlflow_version: str
    origin: Origin = field(default_factory=lambda: Origin("none"))
    """Origin of ``schema``."""
    other_numerics: str | None = None
    """Difference between this process's arithmetic and the training's (loading/numerics.py)."""
    reader: ArrayReader | ColumnReader | None = None
    """Fast reader of plain inputs; None if every request goes through ``schema``."""
    fast: FastPath | None = None
    """Checked at load to equal the predictor bit by bit (loading/fast_path_check.py). Needs a reader."""
    is_groupable: bool = False
    """True if rows of several requests may be computed together. Checked at load; needs a reader."""
    reference: Reference | None = None
    """Profile of the training data; None for a model without one."""
    example: Any = None
    """Body of MLflow's scoring protocol that was logged with the model (loading/examples.py)."""

    @property
    def declared_params(self) -> tuple[Parameter, ...]:
        """Parameters of the signature; empty if the model takes none."""
        return (self.signature.params if self.signature is not None else None) or ()

    @property
    def transforms(self) -> bool:
        """True if the reader already transforms the columns as the model does."""
        return isinstance(self.reader, ColumnReader)

    @property
    def takes_raw_inputs(self) -> bool:
        """True for a Python function with a type hint: inputs go to it unchanged."""
        return self.signature is not None and self.signature.from_type_hint

    @property
    def classes(self) -> Sequence[Any] | None:
        return self.predictor.classes

    @property
    def is_function(self) -> bool:
        """True if MLflow predicts: for each library without a predictor here."""
        return self.predictor.flavor == "python_function"

    def prediction_request(self, inputs: Any, tabular: Callable[[Any], Inputs], **fields: Any) -> PredictionRequest:
        """Make a request of ``inputs``, by the fast reader if it takes them, else by the schema.

        Args:
            inputs: As the protocol has them.
            tabular: Turns them into the schema's inputs; called only if the fast reader declines.
            fields: Further fields of the request.

        Raises:
            WrongInputs: They are not what the model wants.
        """
        array = self.read(inputs, fields.get("params"))
        if array is not None:
            return PredictionRequest(array, is_array=True, raw=inputs if self.transforms else None, **fields)
        return PredictionRequest(self.schema.batch(tabular(inputs)), **fields)

    def read(self, inputs: Any, params: Mapping[str, Any] | None) -> NDArray[Any] | None:
        """Read inputs with the fast reader; None if they must go through the schema."""
        # Only the fast path takes the rows of a ColumnReader, and it takes no parameters.
        if self.reader is None or (params and isinstance(self.reader, ColumnReader)):
            return None
        return self.reader.read(inputs)

    def predict(self, request: PredictionRequest) -> PredictionResult:
        """Predict.

        Raises:
            NoProbabilities: They were requested and the model has none.
            InputsRefused: The model raised an error that wrong inputs explain.
            PredictionFailed: It raised any other.
        """
        if request.probabilities and self.classes is None:
            raise NoProbabilities(self._no_probabilities(), [FieldError("return_probabilities", "the model has none")])
        started = time.perf_counter()
        try:
            result = self.predict_raw(request)
        except InputsRefused as error:
            _log.info("%s version %s refused inputs: %r", self.name, self.version, error.__cause__)
            raise
        except self.predictor.refusals as error:
            _log.info("%s version %s refused inputs: %s", self.name, self.version, error)
            message = describe_error(error)
            raise InputsRefused(f"The model did not take these inputs. {message}", [FieldError("inputs", message)]) from error
        except Exception as error:
            _log.exception("%s version %s failed to predict", self.name, self.version)
            raise PredictionFailed(f"The model failed to predict. {describe_error(error)}") from error
        return replace(result, seconds=time.perf_counter() - started)

    def _no_probabilities(self) -> str:
        if isinstance(self.predictor, PyfuncPredictor):
            return self.predictor.why_no_probabilities
        return "This model has no probabilities: only classifiers of one output that can estimate them do."

    def compute(self, array: NDArray[Any]) -> PredictionResult:
        """Predict an array as the reader returns it, with probabilities if the model has them. Raises the library's errors."""
        return self.predict_raw(PredictionRequest(array, is_array=True, probabilities=self.classes is not None))

    def predict_raw(self, request: PredictionRequest) -> PredictionResult:
        """Predict as :meth:`predict` does, with the library's own errors."""
        batch = request.batch
        if request.is_array:
            path, reader = self.fast, self.reader if isinstance(self.reader, ArrayReader) else None
            if path is not None and path.multiplies and reader is not None:
                batch = reader.in_library_order(batch)
            if path is not None and not request.params and (rows := path.prepare(batch)) is not None:
                return _fast(path, rows, request)
            batch = batch if reader is None else reader.as_library_input(batch)
        return PredictionResult(
            self.predictor.predict(batch, request.params) if request.predictions else None,
            self.predictor.probabilities(batch) if request.probabilities else None,
        )

    def accepts(self, request: PredictionRequest) -> bool:
        """Tell whether the model answers a request without an error."""
        try:
            self.predict_raw(request)
        except Exception as error:  # noqa: BLE001 - any error means no
            _log.info("%s version %s does not take an example: %s", self.name, self.version, describe_error(error))
            return False
        return True


def _fast(path: FastPath, rows: NDArray[Any], request: PredictionRequest) -> PredictionResult:
    scores = path.scores(rows)
    probabilities = path.probabilities if request.probabilities else None
    return PredictionResult(
        path.predictions(scores) if request.predictions else None,
        None if probabilities is None else probabilities(scores),
    )


def _equal(one: Any, other: Any) -> bool:
    if one is None or other is None:
        return one is other
    if not (isinstance(one, np.ndarray) and isinstance(other, np.ndarray)):
        return False
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return np.array_equal(one, other) if one.dtype.hasobject else one.tobytes() == other.tobytes()
