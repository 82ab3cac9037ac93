"""Scores of boosted trees with few leaves each: evaluates all conditions of all trees at once.

Each tree has a word of 64 bits, one for each leaf from left to right. A condition that sends a row to the right excludes the
leaves on its left. The lowest remaining bit is the row's leaf (the QuickScorer algorithm).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MOST_LEAVES: Final = 64
_ALL: Final = np.uint64(2**64 - 1)
_ONE: Final = np.uint64(1)
_CATEGORIES: Final = 256
_CONDITION: Final = np.dtype(
    [("feature", np.intp), ("threshold", np.float64), ("missing_right", np.bool_), ("mask", np.uint64)]
)
# A tree of one leaf has a condition, too: it sends no row to the right.
_NEVER: Final = (0, np.inf, False, _ALL)

Categories = NDArray[np.bool_]
"""Result of a condition for each of 256 categories: True sends it to the right."""


class LeafMasks:
    """The value of every tree for every row.

    ``nodes`` of a tree are scikit-learn's records of histogram gradient boosting.
    """

    def __init__(self, trees: Sequence[NDArray[Any]], categories: Sequence[Sequence[Categories]]) -> None:
        """``categories`` of each tree's categorical conditions, by their number in its nodes."""
        flattened = [_Tree(nodes, rights) for nodes, rights in zip(trees, categories, strict=True)]
        conditions = np.array([row for tree in flattened for row in tree.conditions], dtype=_CONDITION)
        self.starts = _starts([len(tree.conditions) for tree in flattened])
        self.first_leaf = _starts([len(tree.values) for tree in flattened])
        self.values = np.array([value for tree in flattened for value in tree.values])
        self.features, self.thresholds, self.missing_right, self.masks = (
            np.ascontiguousarray(conditions[name]) for name in _CONDITION.names or ()
        )
        places = [start + at for start, tree in zip(self.starts, flattened, strict=True) for at, _ in tree.categorical]
        self.categorical: NDArray[np.intp] = np.array(places, dtype=np.intp)
        rights = [right for tree in flattened for _, right in tree.categorical]
        self.categories_right: NDArray[np.bool_] = np.array(rights, dtype=np.bool_).reshape(-1, _CATEGORIES)

    def __call__(self, rows: NDArray[np.float64]) -> NDArray[np.float64]:
        """Values in an array of (rows, trees)."""
        values = rows.take(self.features, axis=1)
        goes_right = values > self.thresholds
        if len(self.categorical):
            goes_right[:, self.categorical] = self._by_category(values[:, self.categorical])
        if np.isnan(rows).any():
            goes_right = np.where(np.isnan(values), self.missing_right, goes_right)
        remaining = np.bitwise_and.reduceat(np.where(goes_right, self.masks, _ALL), self.starts, axis=1)
        lowest = remaining & (~remaining + _ONE)
        leaves = np.frexp(lowest.astype(np.float64))[1] - 1
        return self.values.take(leaves + self.first_leaf)

    def _by_category(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        # Missing values are handled afterwards. Encoders give no negative codes.
        codes = np.nan_to_num(values, nan=0.0).astype(np.intp)
        return self.categories_right[np.arange(len(self.categorical)), codes]


class _Tree:
    def __init__(self, nodes: NDArray[Any], categories: Sequence[Categories]) -> None:
        self.nodes = nodes
        self.categories = categories
        self.conditions: list[tuple[Any, ...]] = [_NEVER]
        self.categorical: list[tuple[int, Categories]] = []
        self.values: list[float] = []
        self._leaves_below(0)

    def _leaves_below(self, index: int) -> int:
        """Add a node and its subtree; return the bits of its leaves."""
        node = self.nodes[index]
        if node["is_leaf"]:
            self.values.append(float(node["value"]))
            return 1 << (len(self.values) - 1)
        left = self._leaves_below(node["left"])
        right = self._leaves_below(node["right"])
        if node["is_categorical"]:
            self.categorical.append((len(self.conditions), self.categories[node["bitset_idx"]]))
        mask = np.uint64(~left & int(_ALL))
        self.conditions.append((node["feature_idx"], node["num_threshold"], not node["missing_go_to_left"], mask))
        return left | right


def _starts(counts: Sequence[int]) -> NDArray[np.intp]:
    return np.cumsum([0, *counts[:-1]]).astype(np.intp)
