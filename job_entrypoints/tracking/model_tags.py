"""Tags on each model that a script logs: its class, its kind, and whether autologging made it.

Registration chooses by them (raylift.supervisor.jobs.choose_model). They are read off the object, which only this process has.
"""

from __future__ import annotations

import functools
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import ModuleType
    from typing import Any

TAG_CLASS = "raylift.model_class"
TAG_KIND = "raylift.model_kind"
TAG_AUTOLOGGED = "raylift.autologged"
OF = " of "
"""Between the class of a search, a pipeline or another wrapper and that of the estimator in it."""

PREDICTOR, OTHER, PART, BASELINE = "predictor", "other", "part", "baseline"
"""A supervised model; a transformer or a clusterer; a fold of a cross-validation; a Dummy estimator."""

_CROSS_VALIDATION = "sklearn.model_selection._validation"
_CHAIN_LIMIT = 8


def tagged_models(log: Callable[..., Any], safety: Callable[[], ModuleType | None]) -> Callable[..., Any]:
    """``Model.log`` of MLflow, with our tags on the model that it makes. The script's own tags win."""

    @functools.wraps(log)
    def log_with_tags(*arguments: Any, **named: Any) -> Any:
        if named.get("model_id") is None:
            named["tags"] = {**_tags_or_none(named, safety), **(named.get("tags") or {})}
        return log(*arguments, **named)

    return log_with_tags


def model_tags(model: Any, *, autologged: bool) -> dict[str, str]:
    """The tags of a model. ``model`` is None where it cannot be told which object it is."""
    tags = {TAG_AUTOLOGGED: "true" if autologged else "false"}
    if model is not None:
        chain = _chain(model)
        tags[TAG_CLASS] = OF.join(type(each).__name__ for each in chain)
        tags[TAG_KIND] = _kind(model, chain, autologged=autologged)
    return tags


def _tags_or_none(named: Mapping[str, Any], safety: Callable[[], ModuleType | None]) -> dict[str, str]:
    try:
        return model_tags(_model_among(named), autologged=_is_autologging(safety()))
    except Exception as error:  # noqa: BLE001 - an object of the user's that answers in its own way: it is logged all the same
        print(f"[raylift] the logged model is not described: {error!r}", file=sys.stderr)  # noqa: T201
        return {}


def _model_among(named: Mapping[str, Any]) -> Any:
    """The model among a flavor's arguments: ``sk_model``, ``xgb_model``, ``python_model``, ``model`` and the like."""
    for name, value in named.items():
        if (name == "model" or name.endswith("_model")) and value is not None and not isinstance(value, str):
            return value
    return None


def _is_autologging(safety: ModuleType | None) -> bool:
    return safety is not None and safety._AutologgingSessionManager.active_session() is not None


def _chain(model: Any) -> list[Any]:
    """The model, and what it wraps, outermost first: a search, its pipeline, the pipeline's last step."""
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


def _kind(model: Any, chain: list[Any], *, autologged: bool) -> str:
    if type(chain[-1]).__module__ == "sklearn.dummy":
        return BASELINE
    if autologged and _is_a_fold():
        return PART
    sklearn = sys.modules.get("sklearn.base")
    if sklearn is None or not isinstance(model, sklearn.BaseEstimator):
        return PREDICTOR
    supervised = sklearn.is_classifier(model) or sklearn.is_regressor(model)
    return PREDICTOR if supervised and hasattr(model, "predict") else OTHER


def _is_a_fold() -> bool:
    """Called from ``cross_val_score`` and its like, which fit an estimator on a part of the data."""
    frame = sys._getframe(1)  # pyright: ignore[reportPrivateUsage]
    while frame is not None:
        if frame.f_globals.get("__name__") == _CROSS_VALIDATION:
            return True
        frame = frame.f_back
    return False
