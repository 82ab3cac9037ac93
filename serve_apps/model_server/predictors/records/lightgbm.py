"""LightGBM's own records of its training table: names, and lists of categories without their columns.

The codes that the trees saw in each column and the types of a signature determine the columns. If several assignments are
possible, none is used.
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

_MAX_ASSIGNMENTS = 2
"""Limit of assignments that are searched: two are ambiguous already."""


def features_of(booster: lightgbm.Booster) -> Features:
    """Names and categories of a booster's training table. LightGBM writes underscores for spaces."""
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
    assignments = _assignments(possible, must, 0, 0)
    if len(assignments) > 1 and all(isinstance(value, str) for known in lists for value in known):
        # The likely assignment is tried: LightGBM splits unordered categories by code. A wrong one is refused, since it wants
        # text for a column of numbers.
        by_code = [bool((infos.get(name) or {}).get("values")) for name in names]
        possible = [[fits and coded for fits in row] for row, coded in zip(possible, by_code, strict=True)]
        assignments = _assignments(possible, must, 0, 0)
    if len(assignments) != 1:
        several = "several columns may be they" if assignments else "no column fits them"
        raise UnknownTable(
            f"LightGBM's file has {len(lists)} lists of categories and does not say of which columns; {several}. "
            "Train the model in a job of the platform, or log it with a signature."
        )
    for known, index in zip(lists, assignments[0], strict=True):
        columns[names[index]] = TrainedColumn(names[index], "category", "nan", categories=pd.Index(known))
    return columns


def _may_hold(info: Mapping[str, Any] | None, signed: ColumnType | None, known: Sequence[Any]) -> bool:
    """Tell whether a column may have a list of categories: its codes and its type fit."""
    if signed is not None and signed is not TrainedColumn("", "category", categories=pd.Index(known)).type:
        return False
    if not info:
        return True  # constant in training: it has no record
    if info.get("values"):
        return max(info["values"]) < len(known)
    # An ordered category is split as a number, by its codes.
    low, high = info.get("min_value", 0), info.get("max_value", 0)
    return float(low).is_integer() and float(high).is_integer() and low >= 0 and high < len(known)


def _assignments(possible: Sequence[Sequence[bool]], must: Sequence[bool], column: int, given: int) -> list[tuple[int, ...]]:
    """Assign the lists to columns in order. Returns the first ``_MAX_ASSIGNMENTS`` assignments."""
    lists = len(possible[0])
    if column == len(possible):
        return [()] if given == lists else []
    if len(possible) - column < lists - given:
        return []
    assignments: list[tuple[int, ...]] = []
    if given < lists and possible[column][given]:
        assignments = [(column, *rest) for rest in _assignments(possible, must, column + 1, given + 1)]
    if len(assignments) < _MAX_ASSIGNMENTS and not must[column]:
        assignments += _assignments(possible, must, column + 1, given)
    return assignments[:_MAX_ASSIGNMENTS]
