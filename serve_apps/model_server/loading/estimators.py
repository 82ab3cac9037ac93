"""Structure of scikit-learn's estimators: which of them get the inputs unchanged, and what vectorizers take."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from typing import Any, Final

import numpy as np

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.signature import Column
from serve_apps.model_server.predictors.base import InputKind
from serve_apps.model_server.predictors.sklearn import estimators_in

_log = logging.getLogger(__name__)

_INNER: Final = ("best_estimator_", "estimator_", "regressor_", "estimators_", "calibrated_classifiers_", "estimator")
"""Attributes of scikit-learn's wrappers that hold the inner estimators; the first that exists counts."""
_MEMBERS: Final = 16
"""Limit of an ensemble's members: those of a forest are all alike."""
_MOST_NAMES: Final = 200
"""A vectorizer with more names has seen words instead of fields."""
_PROBE: Final = "ab cd"


def outermost(model: Any) -> Iterator[Any]:
    """Estimators that get the inputs unchanged."""
    steps, union = getattr(model, "steps", None), getattr(model, "transformer_list", None)
    if isinstance(steps, list):
        inner = [step for _, step in steps if step not in (None, "passthrough")][:1]
    elif isinstance(union, list):
        inner = [one for _, one in union if one not in ("drop", "passthrough")]
    elif _is_of_sklearn(model) and not hasattr(model, "transformers"):
        inner = next((list(_members(getattr(model, name))) for name in _INNER if hasattr(model, name)), [])
    else:
        inner = []
    for one in inner:
        yield from outermost(one)
    if not inner:
        yield model


def has_text_vectorizer(estimator: Any) -> bool:
    return any(vectorizer_kind(one) is InputKind.TEXTS for one in estimators_in(estimator))


def _members(inner: Any) -> Iterable[Any]:
    if isinstance(inner, np.ndarray):
        inner = inner.ravel().tolist()
    members: list[Any] = list(inner)[:_MEMBERS] if isinstance(inner, (list, tuple)) else [inner]
    return [one for one in members if hasattr(one, "__dict__")]


def vectorizer_kind(estimator: Any) -> InputKind | None:
    """Kind of a vectorizer's inputs; None for any other estimator."""
    if hasattr(estimator, "build_analyzer"):
        return InputKind.LISTS if _takes_tokens(estimator) else InputKind.TEXTS
    if is_sklearn(estimator, "DictVectorizer"):
        return InputKind.RECORDS
    if is_sklearn(estimator, "FeatureHasher"):
        return InputKind.RECORDS if estimator.input_type == "dict" else InputKind.LISTS
    return None


def _takes_tokens(vectorizer: Any) -> bool:
    """Tell whether a text vectorizer takes lists of words: its functions pass them through."""
    if not any(callable(getattr(vectorizer, name, None)) for name in ("analyzer", "tokenizer", "preprocessor")):
        return False
    try:
        tokens: list[Any] = list(vectorizer.build_analyzer()(_PROBE))
    except Exception as error:  # noqa: BLE001 - a user's function, which may raise anything for a text
        _log.info("%s does not take a text: %r", type(vectorizer).__name__, error)
        return True
    words: Iterable[str] = getattr(vectorizer, "vocabulary_", ())
    return tokens == list(_PROBE) and (not words or any(len(word) > 1 for word in words))


def wants_table(estimator: Any) -> bool:
    """Tell whether an estimator takes only tables."""
    if is_sklearn(estimator, "FunctionTransformer"):
        return False
    return _is_of_sklearn(estimator) or hasattr(estimator, "n_features_in_")


def _is_of_sklearn(estimator: Any) -> bool:
    return type(estimator).__module__.partition(".")[0] == "sklearn"


def is_sklearn(estimator: Any, name: str) -> bool:
    """Tell whether an estimator is an instance of a class of scikit-learn or of a subclass."""
    return any(kind.__name__ == name and kind.__module__.startswith("sklearn.") for kind in type(estimator).__mro__)


def dict_fields(estimator: Any) -> tuple[Column, ...]:
    """Fields of a DictVectorizer's training. Those with values in their feature names were text, the others numbers."""
    found = next((one for one in outermost(estimator) if is_sklearn(one, "DictVectorizer")), None)
    if found is None:
        return ()
    names: Iterable[str] = found.feature_names_
    types: dict[str, ColumnType] = {}
    for feature in names:
        name, separator, _ = str(feature).partition(found.separator)
        kind = ColumnType.STRING if separator else ColumnType.DOUBLE
        types[name] = kind if types.get(name, kind) is kind else ColumnType.NESTED
    if len(types) > _MOST_NAMES:
        return ()
    return tuple(Column(name, kind, required=False) for name, kind in types.items())
