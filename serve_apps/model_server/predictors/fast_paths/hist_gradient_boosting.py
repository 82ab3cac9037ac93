"""scikit-learn's histogram gradient boosting: an initial prediction, and many small trees that correct it.

The library evaluates one tree after the other, each in a parallel loop: 600 µs for a row of 100 trees on one thread, and many
milliseconds if other processes hold the cores that its threads wait for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, Labels
from serve_apps.model_server.predictors.fast_paths.leaf_masks import MOST_LEAVES, Categories, LeafMasks

_FEW_ROWS: Final = 16
"""Limit of rows up to which all conditions at once are faster than one tree after the other."""
_LANDMARKS: Final = 400


def hist_gradient_boosting_path(model: Any) -> FastPath | None:
    """Path from an array of numbers; None for another class, or with categories that are no numbers."""
    path = encoded_path(model)
    if path is None or model._preprocessor is None:
        return path
    categories = model._preprocessor.named_transformers_["encoder"].categories_
    if any(known.dtype.kind not in "fiu" for known in categories):
        return None
    encode = _Encode(model.is_categorical_, categories)
    places = np.concatenate([encode.categorical, encode.numerical])
    landmarks = [(int(places[feature]), value) for feature, value in path.landmarks]
    known = zip(encode.categorical.tolist(), encode.categories, strict=True)
    landmarks += [(feature, value) for feature, values in known for value in values.tolist()]
    return replace(path, prepare=encode, landmarks=landmarks)


def encoded_path(model: Any) -> FastPath | None:
    """Path from the model's preprocessed rows: float64, categories first, as codes."""
    kind = type(model)
    if kind not in (HistGradientBoostingClassifier, HistGradientBoostingRegressor):
        return None
    scores, landmarks = _Scores(model), _landmarks(model)
    if kind is HistGradientBoostingRegressor:
        return FastPath(_as_float64, scores, _Values(model), landmarks=landmarks)
    return FastPath(_as_float64, scores, Labels(model.classes_, _label_indices), model._loss.predict_proba, landmarks)


class _Encode:
    """The model's own preprocessing of an array: categories first, as codes."""

    def __init__(self, is_categorical: NDArray[np.bool_], categories: Sequence[NDArray[Any]]) -> None:
        self.categorical, self.numerical = np.flatnonzero(is_categorical), np.flatnonzero(~is_categorical)
        self.categories = [known[~np.isnan(known)] for known in categories]

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any] | None:
        given = rows.take(self.categorical, axis=1)
        # The library refuses an infinite category.
        if rows.dtype == np.float32 or np.isinf(given).any():
            return None
        encoded = np.empty(rows.shape)
        encoded[:, len(self.categorical) :] = rows.take(self.numerical, axis=1)
        for index, known in enumerate(self.categories):
            places = known.searchsorted(given[:, index]).clip(max=max(len(known) - 1, 0))
            is_known = known.take(places) == given[:, index] if len(known) else np.zeros(len(rows), dtype=np.bool_)
            encoded[:, index] = np.where(is_known, places, np.nan)
        return encoded


class _Scores:
    """``_raw_predict``, in a column-major array as the library's."""

    def __init__(self, model: Any) -> None:
        self.trees = [tree for iteration in model._predictors for tree in iteration]
        self.outputs: int = model.n_trees_per_iteration_
        self.first: NDArray[np.float64] = model._baseline_prediction.reshape(1, -1)
        self.known_categories, self.category_index = model._bin_mapper.make_known_categories_bitsets()
        is_small = all(tree.get_n_leaf_nodes() <= MOST_LEAVES for tree in self.trees)
        self.masks = LeafMasks(*self._flattened()) if is_small and self.trees else None

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        few = self.masks is not None and len(rows) <= _FEW_ROWS
        return self._at_once(rows, self.masks) if few and self.masks else self._in_turn(rows)

    def _at_once(self, rows: NDArray[Any], masks: LeafMasks) -> NDArray[Any]:
        values = masks(rows).reshape(len(rows), -1, self.outputs)
        values[:, 0] += self.first
        # One tree after the other; a plain sum adds in another order.
        return np.asfortranarray(np.add.accumulate(values, axis=1)[:, -1])

    def _in_turn(self, rows: NDArray[Any]) -> NDArray[Any]:
        scores = np.zeros((len(rows), self.outputs), order="F")
        scores += self.first
        for index, tree in enumerate(self.trees):
            scores[:, index % self.outputs] += tree.predict(rows, self.known_categories, self.category_index, 1)
        return scores

    def _flattened(self) -> tuple[Sequence[NDArray[Any]], Sequence[Sequence[Categories]]]:
        return [tree.nodes for tree in self.trees], [self._categories(tree) for tree in self.trees]

    def _categories(self, tree: Any) -> list[Categories]:
        """Categories that each categorical condition of a tree sends to the right."""
        nodes = tree.nodes[tree.nodes["is_categorical"] == 1]
        found: dict[int, Categories] = {}
        for node in nodes:
            left = _bits(tree.raw_left_cat_bitsets[node["bitset_idx"]])
            known = _bits(self.known_categories[self.category_index[node["feature_idx"]]])
            # An unknown category goes where missing values go.
            found[int(node["bitset_idx"])] = ~left & (known | (not node["missing_go_to_left"]))
        return [found[index] for index in sorted(found)]


def _bits(words: NDArray[np.uint32]) -> NDArray[np.bool_]:
    return np.unpackbits(words.astype("<u4").view(np.uint8), bitorder="little").astype(np.bool_)


class _Values:
    def __init__(self, model: Any) -> None:
        self.inverse: Callable[[Any], Any] = model._loss.link.inverse

    def __call__(self, scores: NDArray[Any]) -> NDArray[Any]:
        return self.inverse(scores.ravel().copy())


def _label_indices(scores: NDArray[Any]) -> NDArray[Any]:
    return (scores.ravel() > 0).astype(int) if scores.shape[1] == 1 else scores.argmax(axis=1)


def _as_float64(rows: NDArray[Any]) -> NDArray[Any]:
    # NaN is a missing value; infinity is an ordinary number.
    return np.ascontiguousarray(rows, dtype=np.float64)


def _landmarks(model: Any) -> list[tuple[int, float]]:
    trees = [tree.nodes for iteration in model._predictors for tree in iteration]
    each = max(1, _LANDMARKS // max(1, len(trees)))
    return [
        (int(node["feature_idx"]), float(node["num_threshold"]))
        for nodes in trees
        for node in nodes[(nodes["is_leaf"] == 0) & (nodes["is_categorical"] == 0)][:each]
    ][:_LANDMARKS]
