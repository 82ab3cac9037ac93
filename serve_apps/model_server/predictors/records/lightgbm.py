"""LightGBM's own records of its training table: names, and lists of categories without the columns that they are of.

Which columns those are follows from the codes that the trees saw in each column, and from the types of a signature. Where
several answers are possible, none is taken.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import lightgbm
import pandas as pd

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.features import Features, UnknownTable
from serve_apps.model_server.inputs.training_table import TrainedColumn

_MOST_WAYS = 2
"""Ways to tell which columns the categories are of that are looked for: a second one is as good as a hundredth."""


def features_of(booster: lightgbm.Booster) -> Features:
    """Names and categories of a booster's training table. LightGBM writes names with underscores for spaces."""
    names = booster.feature_name()
    is_unnamed = all(re.fullmatch(rf"Column_{index}", name) for index, name in enumerate(names))
    return Features(
        None if is_unnamed else tuple(names),
        len(names),
        spelling=lambda name: name.replace(" ", "_"),
        records=lambda signed: _columns(booster, signed),
    )


def _columns(booster: lightgbm.Booster, signed: Mapping[str, ColumnType | None]) -> Mapping[str, TrainedColumn]:
    names: list[str] = booster.feature_name()
    columns = {name: TrainedColumn(name, "float64", "nan") for name in names}
    lists: list[list[Any]] = booster.pandas_categorical or []  # pyright: ignore[reportAttributeAccessIssue]
    if not lists:
        return columns
    infos: Mapping[str, Any] = booster.dump_model(num_iteration=1)["feature_infos"]
    possible = [[_may_hold(infos.get(name), signed.get(name), known) for known in lists] for name in names]
    must = [signed.get(name) is ColumnType.STRING for name in names]
    ways = _ways(possible, must, 0, 0)
    if len(ways) > 1 and all(isinstance(value, str) for known in lists for value in known):
        # A wrong guess would be refused: it would want text of a column of numbers. So the likely one is tried: LightGBM
        # splits by codes where the category is not ordered.
        by_code = [bool((infos.get(name) or {}).get("values")) for name in names]
        ways = _ways([[fits and coded for fits in row] for row, coded in zip(possible, by_code, strict=True)], must, 0, 0)
    if len(ways) != 1:
        several = "several columns may be they" if ways else "no column fits them"
        raise UnknownTable(
            f"LightGBM's file has {len(lists)} lists of categories and does not say of which columns; {several}. "
            "Train the model in a job of the platform, or log it with a signature."
        )
    for known, index in zip(lists, ways[0], strict=True):
        columns[names[index]] = TrainedColumn(names[index], "category", "nan", categories=pd.Index(known))
    return columns


def _may_hold(info: Mapping[str, Any] | None, signed: ColumnType | None, known: Sequence[Any]) -> bool:
    """Tell whether a column may be the one of a list of categories: its codes fit, and its type is theirs."""
    if signed is not None and signed is not TrainedColumn("", "category", categories=pd.Index(known)).type:
        return False
    if not info:
        return True  # Constant in training: nothing is known of it.
    if info.get("values"):
        return max(info["values"]) < len(known)
    # An ordered category is split as a number: its codes.
    low, high = info.get("min_value", 0), info.get("max_value", 0)
    return float(low).is_integer() and float(high).is_integer() and low >= 0 and high < len(known)


def _ways(possible: Sequence[Sequence[bool]], must: Sequence[bool], column: int, given: int) -> list[tuple[int, ...]]:
    """Give the lists to columns in their order. The first ways that are found, ``_MOST_WAYS`` at most."""
    lists = len(possible[0])
    if column == len(possible):
        return [()] if given == lists else []
    if len(possible) - column < lists - given:
        return []
    ways: list[tuple[int, ...]] = []
    if given < lists and possible[column][given]:
        ways = [(column, *rest) for rest in _ways(possible, must, column + 1, given + 1)]
    if len(ways) < _MOST_WAYS and not must[column]:
        ways += _ways(possible, must, column + 1, given)
    return ways[:_MOST_WAYS]
