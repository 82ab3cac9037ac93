"""Tags each model that a script logs with its class, its kind, and whether autologging made it.

Registration chooses by these tags (raylift.supervisor.jobs.choose_model). Only this process has the object itself.
"""

from __future__ import annotations

import functools
import sys

from job_entrypoints.contract import (
    CLASS_SEPARATOR,
    KIND_BASELINE,
    KIND_OTHER,
    KIND_PREDICTOR,
    TAG_AUTOLOGGED,
    TAG_MODEL_CLASS,
    TAG_MODEL_KIND,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

_CHAIN_LIMIT = 8


def tagged_models(log: Callable[..., Any], safety: Callable[[], ModuleType | None]) -> Callable[..., Any]:
    """Wrap MLflow's ``Model.log``, to tag the model that it makes. The script's own tags win."""

    @functools.wraps(log)
    def log_with_tags(*arguments: Any, **named: Any) -> Any:
        if named.get("model_id") is None:
            named["tags"] = {**_tags_or_none(named, safety), **(named.get("tags") or {})}
        return log(*arguments, **named)

    return log_with_tags


def model_tags(model: Any, *, autologged: bool) -> dict[str, str]:
    """The tags of a model. ``model`` is None if the object is unknown."""
    tags = {TAG_AUTOLOGGED: "true" if autologged else "false"}
    if model is not None:
        chain = _chain(model)
        tags[TAG_MODEL_CLASS] = CLASS_SEPARATOR.join(type(each).__name__ for each in chain)
        tags[TAG_MODEL_KIND] = _kind(model, chain)
    return tags


def _tags_or_none(named: Mapping[str, Any], safety: Callable[[], ModuleType | None]) -> dict[str, str]:
    try:
        return model_tags(_model_among(named), autologged=_is_autologging(safety()))
    except Exception as error:  # noqa: BLE001 - raised by the user's own object, which is logged all the same
        print(f"[raylift] the logged model is not described: {error!r}", file=sys.stderr)  # noqa: T201
        return {}


def _model_among(named: Mapping[str, Any]) -> Any:
    """Find the model among a flavor's arguments: ``sk_model``, ``xgb_model``, ``python_model``, ``model`` and the like."""
    for name, value in named.items():
        if (name == "model" or name.endswith("_model")) and value is not None and not isinstance(value, str):
            return value
    return None


def _is_autologging(safety: ModuleType | None) -> bool:
    return safety is not None and safety._AutologgingSessionManager.active_session() is not None


def _chain(model: Any) -> list[Any]:
    """The model and the estimators in it, outermost first: a search, its pipeline, the pipeline's last step."""
    chain = [model]
    while len(chain) < _CHAIN_LIMIT and (inner := _inside(chain[-1])) is not None:
        chain.append(inner)
    return chain


def _inside(model: Any) -> Any:
    if not type(model).__module__.startswith(("sklearn.", "imblearn.")):
        return None
    steps = getattr(model, "steps", None)
    if isinstance(steps, list) and steps and isinstance(steps[-1], tuple):
        last = steps[-1][-1]
        return None if last is None or isinstance(last, str) else last
    if type(model).__module__.startswith("sklearn.model_selection."):
        return getattr(model, "best_estimator_", getattr(model, "estimator", None))
    return None


def _kind(model: Any, chain: list[Any]) -> str:
    if type(chain[-1]).__module__ == "sklearn.dummy":
        return KIND_BASELINE
    sklearn = sys.modules.get("sklearn.base")
    if sklearn is None or not isinstance(model, sklearn.BaseEstimator):
        return KIND_PREDICTOR
    supervised = sklearn.is_classifier(model) or sklearn.is_regressor(model)
    return KIND_PREDICTOR if supervised and hasattr(model, "predict") else KIND_OTHER
