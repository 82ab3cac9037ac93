"""Errors of models that load but cannot answer any request: the version becomes unhealthy with the reason."""

from __future__ import annotations

from typing import Any

from raylift.domain.models.replica import CANNOT_ANSWER


class CannotAnswer(Exception):
    """No request can be built for the model. The message says why, and what to do."""


def lacks_method(model: Any, method: str) -> CannotAnswer:
    """Error of a model without the predicting method."""
    name = type(model).__name__
    last = _last_step(model)
    if last is not None:
        return _lacks(f"The last step of the {name}, {type(last).__name__},", last, method)
    if getattr(model, "refit", True) is False:
        return CannotAnswer(f"{name} has no {method} method with refit=False, {CANNOT_ANSWER}. Let it fit its best estimator.")
    return _lacks(name, model, method)


def not_fitted(model: Any) -> CannotAnswer:
    return CannotAnswer(f"{type(model).__name__} is not fitted, {CANNOT_ANSWER}. Log it after its fit().")


def takes_no_request(model: Any, reason: str) -> CannotAnswer:
    """Error of a model that refuses every kind of inputs for a reason that no value explains."""
    name = type(model).__name__
    return CannotAnswer(
        f"{name} takes no inputs that a request can have, {CANNOT_ANSWER}. With its input example it raised: {reason}."
    )


def _lacks(name: str, model: Any, method: str) -> CannotAnswer:
    hint = "Log a model that predicts"
    if hasattr(model, "transform"):
        hint += ', or name the method that answers: mlflow.sklearn.log_model(…, pyfunc_predict_fn="transform")'
    return CannotAnswer(f"{name} has no {method} method, {CANNOT_ANSWER}. {hint}.")


def _last_step(model: Any) -> Any:
    """Last step of a pipeline; None for any other model."""
    steps = getattr(model, "steps", None)
    last: Any = steps[-1][1] if isinstance(steps, list) and steps else None
    return None if isinstance(last, str) else last
