"""Finds the kind of a model's inputs: a table, texts, a Series, dictionaries or lists.

The estimators that get the inputs unchanged decide, inside pipelines, unions, searches and other wrappers. A vectorizer among
them has a known kind. For estimators of other libraries each kind is tried, the likeliest first, with a row of the logged
example or of the schema; the first one that predicts is taken.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from raylift.domain.errors import PlatformError
from serve_apps.model_server.codecs.raylift import tabular
from serve_apps.model_server.inputs.array import PlainArray
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.documents import Lists, Records, SingleValues
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.signature import Column, Signature
from serve_apps.model_server.loading.estimators import (
    dict_fields,
    has_text_vectorizer,
    is_sklearn,
    outermost,
    vectorizer_kind,
    wants_table,
)
from serve_apps.model_server.loading.examples import rows_to_try
from serve_apps.model_server.model import Model
from serve_apps.model_server.predictors.base import InputKind
from serve_apps.model_server.predictors.cannot_answer import not_fitted, takes_no_request
from serve_apps.model_server.predictors.sklearn import SklearnPredictor

_log = logging.getLogger(__name__)

_ROWS: Final[Mapping[InputKind, Sequence[Any]]] = {
    InputKind.TABLE: ([[0.5]], [["text"]]),
    InputKind.TEXTS: (["text"],),
    InputKind.SERIES: (["text"], [0.5]),
    InputKind.RECORDS: ([{"a": 0.5, "b": "text"}],),
    InputKind.LISTS: ([["a", "b"]], [[0.5, 1.5]]),
}
"""Rows for models without a schema."""


def with_input_kind(model: Model) -> Model:
    """The model with the schema of its kind of inputs.

    Raises:
        CannotAnswer: No request can be built for it.
    """
    predictor = model.predictor
    if not isinstance(predictor, SklearnPredictor):
        return model
    kinds = candidates(predictor.estimator, model.signature)
    errors: list[Exception] = []
    for kind in kinds:
        candidate = replace(model, schema=schema_of_kind(kind, model, predictor.estimator))
        error = _error_of(candidate, kind)
        if error is None:
            return candidate
        errors.append(error)
    _refuse_unusable(model, predictor.estimator, errors)
    # The generated values may be wrong for the model: its structure decides.
    return replace(model, schema=schema_of_kind(kinds[0], model, predictor.estimator))


def candidates(estimator: Any, signature: Signature | None) -> Sequence[InputKind]:
    """Possible kinds of a model's inputs, the likeliest first."""
    first = list(outermost(estimator))
    known = list(dict.fromkeys(kind for kind in map(vectorizer_kind, first) if kind is not None))
    if known:
        return known
    if all(wants_table(one) for one in first):
        return (InputKind.TABLE,)
    if signature is not None and (signature.columns or signature.tensors):
        return _by_signature(signature)
    if has_text_vectorizer(estimator):
        return (InputKind.SERIES, InputKind.TEXTS, InputKind.TABLE)
    if any(is_sklearn(one, "FunctionTransformer") and not hasattr(one, "n_features_in_") for one in first):
        # After a fit on a table it would have n_features_in_.
        return (InputKind.SERIES, InputKind.TEXTS, InputKind.RECORDS, InputKind.LISTS, InputKind.TABLE)
    return (InputKind.TABLE, InputKind.SERIES, InputKind.TEXTS, InputKind.RECORDS, InputKind.LISTS)


def schema_of_kind(kind: InputKind, model: Model, estimator: Any) -> Schema:
    signature = model.signature
    match kind:
        case InputKind.TABLE:
            return _table(model)
        case InputKind.TEXTS:
            name = _only_name(signature)
            return SingleValues(Column(name, ColumnType.STRING))
        case InputKind.SERIES:
            columns = signature.columns if signature is not None else ()
            only = columns[0] if len(columns) == 1 and not columns[0].is_array else Column(None, None)
            if has_text_vectorizer(estimator):
                return SingleValues(replace(only, type=ColumnType.STRING), is_series=True)
            return SingleValues(only, is_series=True, takes_missing=True)
        case InputKind.RECORDS:
            return Records(dict_fields(estimator) or _optional(signature))
        case InputKind.LISTS:
            name = _only_name(signature)
            return Lists(() if name is None else (Column(name, ColumnType.NESTED, is_array=True),))


def _table(model: Model) -> Schema:
    """The model's schema. For rows that were lists, MLflow's signature only says that each is an array."""
    columns = model.signature.columns if model.signature is not None else ()
    count = model.predictor.features.count
    if len(columns) == 1 and columns[0].is_array and columns[0].name is None and count is not None:
        return PlainArray(None, (-1, count))
    return model.schema


def _by_signature(signature: Signature) -> Sequence[InputKind]:
    columns, tensors = signature.columns, signature.tensors
    if len(columns) == 1 and columns[0].is_array:
        return (InputKind.LISTS, InputKind.TABLE)
    if len(columns) == 1 and columns[0].name is None:
        return (InputKind.SERIES, InputKind.TEXTS, InputKind.TABLE)
    if len(columns) == 1:
        return (InputKind.TABLE, InputKind.SERIES, InputKind.TEXTS, InputKind.RECORDS)
    if columns:
        return (InputKind.TABLE, InputKind.RECORDS)
    if len(tensors) == 1 and len(tensors[0].shape) == 1:
        return (InputKind.TEXTS, InputKind.SERIES, InputKind.TABLE)
    return (InputKind.TABLE,)


def _only_name(signature: Signature | None) -> str | None:
    columns = signature.columns if signature is not None else ()
    return columns[0].name if len(columns) == 1 else None


def _optional(signature: Signature | None) -> tuple[Column, ...]:
    columns = signature.columns if signature is not None else ()
    return tuple(replace(column, required=False) for column in columns if column.name is not None)


def _error_of(candidate: Model, kind: InputKind) -> Exception | None:
    """Last error of the model on the rows tried; None if it predicted one."""
    error: Exception = ValueError("no row could be made of its schema")
    for row in (*rows_to_try(candidate), *_ROWS[kind]):
        try:
            batch = candidate.schema.batch(tabular(row, candidate))
        except PlatformError:
            continue  # a row of another kind
        try:
            candidate.predictor.predict(batch, {})
        except Exception as raised:  # noqa: BLE001 - the error tells which kind it does not take
            error = raised
            continue
        return None
    _log.info("%s version %s does not take %s: %r", candidate.name, candidate.version, kind, error)
    return error


def _refuse_unusable(model: Model, estimator: Any, errors: Sequence[Exception]) -> None:
    from sklearn.exceptions import NotFittedError

    if any(isinstance(error, NotFittedError) for error in errors):
        raise not_fitted(estimator)
    # Generated rows prove nothing; the logged example is one that the model was made for.
    if model.example is not None and all(isinstance(error, (AttributeError, TypeError)) for error in errors):
        raise takes_no_request(estimator, f"{type(errors[0]).__name__}: {errors[0]}")
