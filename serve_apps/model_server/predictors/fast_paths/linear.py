"""scikit-learn's linear models: one matrix product."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, SGDRegressor
from sklearn.linear_model._base import LinearClassifierMixin, LinearModel

from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, Labels, all_finite, unchanged

_AT_ONCE: Final = 1_000_000
"""Limit of products that are in memory at once."""

_Model: Any = LinearModel
_Classifier: Any = LinearClassifierMixin


def linear_path(model: Any) -> FastPath | None:
    """Path of a linear model; None for a classifier with methods of its own, and for other models."""
    kind = type(model)
    if not isinstance(model.coef_, np.ndarray):  # made sparse
        return None
    if isinstance(model, _Classifier):
        return _classifier(model, kind)
    if kind is SGDRegressor:
        return FastPath(all_finite, _Flat(model), unchanged, multiplies=True)
    return FastPath(all_finite, _Product(model), unchanged, multiplies=True) if isinstance(model, _Model) else None


def _classifier(model: Any, kind: Any) -> FastPath | None:
    if kind.predict is not _Classifier.predict or kind.decision_function is not _Classifier.decision_function:
        return None
    classes = model.classes_
    labels = Labels(classes, _label_indices)
    if getattr(kind, "predict_proba", None) is LogisticRegression.predict_proba:
        probabilities = _sigmoid if len(classes) <= 2 else _softmax
        return FastPath(all_finite, _Decision(model), labels, probabilities, multiplies=True)
    return None if hasattr(model, "predict_proba") else FastPath(all_finite, _Decision(model), labels, multiplies=True)


def sequential(path: FastPath) -> FastPath | None:
    """Path for rows that the library has as a sparse matrix: its product adds one column after the other."""
    scores = path.scores
    if not isinstance(scores, _Product):
        return None
    return replace(path, scores=_Sequential(scores), multiplies=False)


class _Product:
    """``LinearModel._decision_function``."""

    def __init__(self, model: Any) -> None:
        coefficients: NDArray[Any] = model.coef_
        # The transposed view, as in scikit-learn: another layout of the same numbers may give other bits.
        self.coefficients = coefficients if coefficients.ndim == 1 else coefficients.T
        self.intercept = model.intercept_

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        return self.finished(rows @ self.coefficients)

    def finished(self, product: NDArray[Any]) -> NDArray[Any]:
        return product + self.intercept


class _Decision(_Product):
    """``LinearClassifierMixin.decision_function``."""

    def finished(self, product: NDArray[Any]) -> NDArray[Any]:
        scores = product + self.intercept
        return scores.reshape(-1) if scores.ndim > 1 and scores.shape[1] == 1 else scores


class _Sequential:
    """Product of a sparse matrix with coefficients. Zeros add nothing."""

    def __init__(self, product: _Product) -> None:
        self.product = product
        coefficients = product.coefficients
        self.coefficients = coefficients if coefficients.ndim == 2 else coefficients.reshape(-1, 1)

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        sums = np.zeros((len(rows), self.coefficients.shape[1]))
        if len(rows) * self.coefficients.size <= _AT_ONCE:
            parts = rows[:, :, np.newaxis] * self.coefficients
            sums += np.add.accumulate(parts, axis=1)[:, -1]
        else:
            for column, coefficients in zip(rows.T, self.coefficients, strict=True):
                sums += column[:, np.newaxis] * coefficients
        return self.product.finished(sums.reshape(-1) if self.product.coefficients.ndim == 1 else sums)


class _Flat(_Product):
    """``SGDRegressor._decision_function``: its coefficients are multiplied as a column."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.coefficients = model.coef_.T

    def finished(self, product: NDArray[Any]) -> NDArray[Any]:
        return (product + self.intercept).ravel()


def _label_indices(scores: NDArray[Any]) -> NDArray[Any]:
    return (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)


def _sigmoid(scores: NDArray[Any]) -> NDArray[Any]:
    positive = expit(scores)
    return np.stack([1 - positive, positive], axis=1)


def _softmax(scores: NDArray[Any]) -> NDArray[Any]:
    powers = scores - scores.max(axis=1).reshape(-1, 1)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=1).reshape(-1, 1)
    return powers
