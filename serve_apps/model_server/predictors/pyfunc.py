"""Any model that MLflow can load as a Python function."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from serve_apps.model_server.predictors.base import Batch, Features


class PythonFunction(Protocol):
    """The part of ``mlflow.pyfunc.PyFuncModel`` that is used."""

    def predict(self, data: Any, params: dict[str, Any] | None = None) -> Any: ...


class PyfuncPredictor:
    flavor = "python_function"
    predicts_labels = False
    features = Features()
    classes = None

    def __init__(self, model: PythonFunction, refusals: tuple[type[Exception], ...]) -> None:
        """``refusals`` are MLflow's own errors, which this module does not import."""
        self._model = model
        self.refusals = (*refusals, ValueError, TypeError, KeyError)

    def predict(self, batch: Batch, params: Mapping[str, Any]) -> Any:
        return self._model.predict(batch, params=dict(params) or None)

    def probabilities(self, batch: Batch) -> NDArray[Any]:
        raise NotImplementedError("a Python function has no probabilities")
