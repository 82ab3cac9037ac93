"""Predictor of any model that MLflow loads as a Python function."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from serve_apps.model_server.inputs.features import Batch, Features
from serve_apps.model_server.predictors.pyfunc_errors import refusal
from serve_apps.model_server.predictors.pyfunc_inputs import form_of

_ONNX: Final = "mlflow.onnx"
_PYTHON_MODEL: Final = "mlflow.pyfunc.model"


class PythonFunction(Protocol):
    """The used part of ``mlflow.pyfunc.PyFuncModel``."""

    @property
    def metadata(self) -> Any: ...

    @property
    def loader_module(self) -> str | None: ...

    def get_raw_model(self) -> Any: ...

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any: ...


class PyfuncPredictor:
    flavor = "python_function"
    predicts_labels = False
    features = Features()

    def __init__(self, model: PythonFunction, refusals: tuple[type[Exception], ...]) -> None:
        """``refusals`` are MLflow's errors. This module does not import MLflow."""
        self._is_of_library = model.loader_module != _PYTHON_MODEL
        self._model = _checked_as(model, _WholeOutputs(_implementation(model))) if model.loader_module == _ONNX else model
        raw = _raw_model(model) if self._is_of_library else None
        classes = getattr(raw, "classes_", None)
        has_probabilities = classes is not None and np.ndim(classes) == 1 and callable(getattr(raw, "predict_proba", None))
        self.classes: Sequence[Any] | None = np.asarray(classes).tolist() if has_probabilities else None
        self._probabilities = _checked_as(model, _Probabilities(raw)) if has_probabilities else None
        self.refusals = (*refusals, ValueError, TypeError, KeyError)
        self._has_signature = model.metadata is not None and model.metadata.signature is not None
        self._input_form = form_of(None if self._has_signature else model.loader_module, raw)

    @property
    def why_no_probabilities(self) -> str:
        if self._is_of_library:
            return "This model has no probabilities: its library has no predict_proba for it."
        return "This model is a Python function, which only has predict: let it answer the probabilities as columns of a frame."

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        try:
            return _without_iterators(self._model.predict(self._input_form(batch), params=dict(params) or None))
        except Exception as error:
            refused = refusal(
                error,
                batch,
                is_of_library=self._is_of_library,
                has_signature=self._has_signature,
                refusals=self.refusals,
            )
            if refused is None:
                raise
            raise refused from error

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        if self._probabilities is None:
            raise NotImplementedError("a Python function has no probabilities")
        return np.asarray(self._probabilities.predict(batch))


def _without_iterators(answer: Any) -> Any:
    """The output with lists for iterators, which can be read only once."""
    if isinstance(answer, Iterator):
        return [_without_iterators(value) for value in answer]
    # Types first: a long list has few.
    if type(answer) in (list, tuple) and any(issubclass(kind, Iterator) for kind in set(map(type, answer))):
        return type(answer)(_without_iterators(value) for value in answer)
    if type(answer) is dict:
        return {name: _without_iterators(value) for name, value in answer.items()}
    return answer


@dataclass(frozen=True, slots=True)
class _Probabilities:
    """Model whose predictions are a library's probabilities."""

    model: Any

    def predict(self, data: Any) -> Any:
        return self.model.predict_proba(data)


@dataclass(frozen=True, slots=True)
class _WholeOutputs:
    """Calls MLflow's ONNX wrapper with tensors: its output for a frame has all outputs flattened."""

    wrapper: Any

    def predict(self, data: Any) -> Any:
        if not isinstance(data, pd.DataFrame):
            return self.wrapper.predict(data)
        names = [name for name, _ in self.wrapper.inputs]
        feeds = {name: data[name].to_numpy() for name in names} if len(names) > 1 else {names[0]: data.to_numpy()}
        outputs = {name: np.asarray(values) for name, values in self.wrapper.predict(feeds).items()}
        if all(values.size == len(data) for values in outputs.values()):
            return pd.DataFrame({name: values.reshape(-1) for name, values in outputs.items()})  # as MLflow does
        return outputs


def _checked_as(model: Any, implementation: Any) -> PythonFunction:
    """A PyFuncModel of ``implementation``, with MLflow's checks of the inputs."""
    return type(model)(model.metadata, implementation)


def _implementation(model: Any) -> Any:
    return model._model_impl


def _raw_model(model: PythonFunction) -> Any:
    try:
        return model.get_raw_model()
    except NotImplementedError:
        return _implementation(model)
