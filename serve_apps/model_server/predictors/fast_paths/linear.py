"""scikit-learn's linear models: one product of matrices."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.linear_model import LogisticRegression, SGDRegressor
from sklearn.linear_model._base import LinearClassifierMixin, LinearModel

from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, all_finite

_AT_ONCE: Final = 1_000_000
"""Products of single numbers that are held in memory at once."""

_Model: Any = LinearModel
_Classifier: Any = LinearClassifierMixin


def linear_path(model: Any) -> FastPath | None:
    """The path of a linear model; None for a classifier that has methods of its own, and for what only looks like one."""
    kind = type(model)
    if not isinstance(model.coef_, np.ndarray):  # made sparse
        return None
    if isinstance(model, _Classifier):
        return _classifier(model, kind)
    if kind is SGDRegressor:
        return FastPath(all_finite, _Flat(model), _itself, multiplies=True)
    return FastPath(all_finite, _Product(model), _itself, multiplies=True) if isinstance(model, _Model) else None


def _classifier(model: Any, kind: Any) -> FastPath | None:
    if kind.predict is not _Classifier.predict or kind.decision_function is not _Classifier.decision_function:
        return None
    classes = model.classes_
    labels = _Labels(classes)
    if getattr(kind, "predict_proba", None) is LogisticRegression.predict_proba:
        probabilities = _sigmoid if len(classes) <= 2 else _softmax
        return FastPath(all_finite, _Decision(model), labels, probabilities, multiplies=True)
    return None if hasattr(model, "predict_proba") else FastPath(all_finite, _Decision(model), labels, multiplies=True)


def sequential(path: FastPath) -> FastPath | None:
    """The path for rows that the library has in a sparse matrix: a product of that adds up one column after the other."""
    scores = path.scores
    if not isinstance(scores, _Product):
        return None
    return replace(path, scores=_Sequential(scores), multiplies=False)


class _Product:
    """``LinearModel._decision_function``."""

    def __init__(self, model: Any) -> None:
        coefficients: NDArray[Any] = model.coef_
        # The transposed view, as scikit-learn multiplies by it: another layout of the same numbers may give other bits.
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
    """The product of a sparse matrix with one of coefficients. What is zero adds nothing."""

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
    """``SGDRegressor._decision_function``, whose one vector of coefficients is multiplied as a column."""

    def __init__(self, model: Any) -> None:
        super().__init__(model)
        self.coefficients = model.coef_.T

    def finished(self, product: NDArray[Any]) -> NDArray[Any]:
        return (product + self.intercept).ravel()


class _Labels:
    def __init__(self, classes: NDArray[Any]) -> None:
        self.classes = classes

    def __call__(self, scores: NDArray[Any]) -> NDArray[Any]:
        indices = (scores > 0).astype(np.intp) if scores.ndim == 1 else scores.argmax(axis=1)
        return self.classes.take(indices, axis=0)


def _itself(scores: NDArray[Any]) -> NDArray[Any]:
    return scores


def _sigmoid(scores: NDArray[Any]) -> NDArray[Any]:
    positive = expit(scores)
    return np.stack([1 - positive, positive], axis=1)


def _softmax(scores: NDArray[Any]) -> NDArray[Any]:
    powers = scores - scores.max(axis=1).reshape(-1, 1)
    np.exp(powers, out=powers)
    powers /= powers.sum(axis=1).reshape(-1, 1)
    return powers
