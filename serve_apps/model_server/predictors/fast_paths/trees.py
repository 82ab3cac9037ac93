"""scikit-learn's decision trees and forests.

A forest calls its trees one after the other: 2 µs for a call, far less for its walk. For a few rows it is faster to walk down
all trees at once, level by level, in one table of all nodes; for many rows scikit-learn's own walk is faster.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import ExtraTreesClassifier, ExtraTreesRegressor, RandomForestClassifier, RandomForestRegressor
from sklearn.tree import DecisionTreeClassifier, DecisionTreeRegressor, ExtraTreeClassifier, ExtraTreeRegressor

from serve_apps.model_server.predictors.fast_paths.fast_path import FastPath, Labels, all_in_float32, unchanged

_FORESTS: Final = (RandomForestClassifier, ExtraTreesClassifier, RandomForestRegressor, ExtraTreesRegressor)
_TREES: Final = (DecisionTreeClassifier, ExtraTreeClassifier, DecisionTreeRegressor, ExtraTreeRegressor)
_LEAF: Final = -1
_TABLE_NODES: Final = 2_000_000
"""Limit of a table, which takes about 50 bytes for a node."""
_LANDMARKS: Final = 200


def tree_path(model: Any) -> FastPath | None:
    """Path of a tree or a forest with one output; None for any other."""
    kind = type(model)
    if kind in _FORESTS:
        trees = [estimator.tree_ for estimator in model.estimators_]
    elif kind in _TREES:
        trees = [model.tree_]
    else:
        return None
    if model.n_outputs_ != 1:
        return None
    scores = _Mean(trees) if kind in _FORESTS else trees[0].predict
    classes = getattr(model, "classes_", None)
    if classes is None:
        return FastPath(all_in_float32, scores, _first, landmarks=_landmarks(trees))
    return FastPath(all_in_float32, scores, Labels(classes, _label_indices), unchanged, _landmarks(trees))


class _Mean:
    """Mean of the trees, added in scikit-learn's order."""

    def __init__(self, trees: Sequence[Any]) -> None:
        self.trees = trees
        depth = max(tree.max_depth for tree in trees)
        # A level of the table costs about as much as a call of a tree.
        is_small = sum(tree.node_count for tree in trees) <= _TABLE_NODES
        self.table = _Table(trees, depth) if is_small and len(trees) > depth else None

    def __call__(self, rows: NDArray[Any]) -> NDArray[Any]:
        if self.table is not None and 2 * len(rows) <= len(self.trees):
            total = self.table.total(rows)
        else:
            total = np.zeros((len(rows), self.trees[0].value.shape[2]))
            for tree in self.trees:
                total += tree.predict(rows)
        total /= len(self.trees)
        return total


class _Table:
    """All nodes of all trees. A leaf leads to itself, so that every walk may have as many steps as the longest."""

    def __init__(self, trees: Sequence[Any], depth: int) -> None:
        counts = np.cumsum([0, *(tree.node_count for tree in trees)])
        self.roots: NDArray[np.intp] = counts[:-1].astype(np.intp)
        self.depth = depth
        self.features = np.zeros(counts[-1], dtype=np.intp)
        self.thresholds = np.empty(counts[-1], dtype=np.float64)
        # The left child of node i is at 2 i, the right one at 2 i + 1.
        self.children = np.empty(2 * counts[-1], dtype=np.intp)
        self.values = np.concatenate([tree.value[:, 0, :] for tree in trees])
        for tree, (start, end) in zip(trees, pairwise(counts), strict=True):
            is_leaf = tree.children_left == _LEAF
            itself = np.arange(start, end)
            self.features[start:end] = np.where(is_leaf, 0, tree.feature)
            self.thresholds[start:end] = tree.threshold
            self.children[2 * start : 2 * end : 2] = np.where(is_leaf, itself, tree.children_left + start)
            self.children[2 * start + 1 : 2 * end : 2] = np.where(is_leaf, itself, tree.children_right + start)

    def total(self, rows: NDArray[Any]) -> NDArray[Any]:
        count, width = rows.shape
        values = rows.astype(np.float64).ravel()  # trees compare float32 values with float64 thresholds
        nodes, offsets = self.roots, 0
        if count > 1:
            nodes = self.roots.repeat(count)
            offsets = np.tile(np.arange(0, count * width, width), len(self.roots))
        for _ in range(self.depth):
            goes_right = values.take(self.features.take(nodes) + offsets) > self.thresholds.take(nodes)
            nodes = self.children.take(2 * nodes + goes_right)
        leaves = self.values.take(nodes, axis=0).reshape(len(self.roots), -1)
        # One tree after the other; a plain sum adds in another order. Adding 0.0 turns -0.0 into 0.0, as a sum from 0.0 does.
        return (np.add.accumulate(leaves, axis=0)[-1] + 0.0).reshape(count, -1)


def _first(scores: NDArray[Any]) -> NDArray[Any]:
    return scores[:, 0]


def _label_indices(scores: NDArray[Any]) -> NDArray[Any]:
    return scores.argmax(axis=1)


def _landmarks(trees: Sequence[Any]) -> list[tuple[int, float]]:
    """Some splits of each tree, from the root down."""
    each = max(1, _LANDMARKS // len(trees))
    return [
        (int(tree.feature[node]), float(tree.threshold[node]))
        for tree in trees
        for node in np.flatnonzero(tree.children_left != _LEAF)[:each]
    ][:_LANDMARKS]
