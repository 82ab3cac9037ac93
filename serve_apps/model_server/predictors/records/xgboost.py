"""XGBoost's own records of its training table: names, and from 3.1 on categories."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd
import xgboost

from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.features import Features, UnknownTable
from serve_apps.model_server.inputs.training_table import TrainedColumn

_CATEGORY = "c"


def features_of(booster: xgboost.Booster) -> Features:
    """Names and categories of a booster's training table."""
    names = booster.feature_names
    return Features(
        None if names is None else tuple(names),
        booster.num_features(),
        records=lambda signed: _columns(booster, signed),
        refuses_unseen=True,
    )


def _columns(booster: xgboost.Booster, signed: Mapping[str, ColumnType | None]) -> Mapping[str, TrainedColumn]:
    types = dict(zip(booster.feature_names or (), booster.feature_types or (), strict=False))
    known = _categories(booster) if _CATEGORY in types.values() else {}
    columns: dict[str, TrainedColumn] = {}
    for name in booster.feature_names or ():
        categories = known.get(name)
        if categories is not None:
            columns[name] = TrainedColumn(name, "category", "nan", categories=categories)
        elif types.get(name) == _CATEGORY and signed.get(name) is ColumnType.STRING:
            raise UnknownTable(
                f"XGBoost's file does not have the categories of the column {name}: it was saved by a release before 3.1. "
                "Save the model with a newer XGBoost, or train it in a job of the platform."
            )
        else:
            # Codes of categories are numbers, too.
            columns[name] = TrainedColumn(name, "float64", "nan")
    return columns


def _categories(booster: xgboost.Booster) -> Mapping[str, pd.Index]:
    if not hasattr(booster, "get_categories"):
        return {}
    known: Any = booster.get_categories(export_to_arrow=True).to_arrow()
    return {name: pd.Index(values.to_pylist()) for name, values in known if values is not None}
