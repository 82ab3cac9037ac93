"""The columns of a version: from the training table, else from the library's own records, else from the signature."""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from serve_apps.model_server.errors import WrongInputs
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.features import Features, UnknownTable
from serve_apps.model_server.inputs.resolution import resolve_columns
from serve_apps.model_server.inputs.schema import schema_of
from serve_apps.model_server.inputs.signature import Column, Signature
from serve_apps.model_server.inputs.tabular import Columns
from serve_apps.model_server.inputs.training_table import TrainedColumn, TrainingTable
from serve_apps.model_server.predictors.lightgbm import BoosterPredictor, LightGBMPredictor
from serve_apps.model_server.predictors.records.sklearn import trained_columns
from serve_apps.model_server.predictors.xgboost import XGBoostPredictor

T = ColumnType
TABLE = TrainingTable("training", (TrainedColumn("b", "float32", "nan"), TrainedColumn("a", "int8")))
ROWS = 60


def test_table_gives_order_types_and_optional_columns() -> None:
    signed = (Column("a", T.LONG), Column("b", T.DOUBLE))
    resolved = resolve_columns(signed, Features(("b", "a"), 2), TABLE)
    assert [(column.name, column.type, column.required) for column in resolved.columns] == [
        ("b", T.FLOAT, False),
        ("a", T.INTEGER, True),
    ]
    assert resolved.source == "training"
    assert resolved.disagreements == ("the signature has the columns in another order than the model was trained on",)


def test_column_only_in_the_signature_is_accepted_and_ignored() -> None:
    signature = Signature(columns=(Column("id", T.LONG), Column("b", T.STRING), Column("a", T.LONG)))
    schema, origin = schema_of(signature, Features(("b", "a"), 2), is_native=True, table=TABLE)
    assert list(schema.batch(Columns({"a": [1], "b": [0.5], "id": [7]})).columns) == ["b", "a"]
    assert origin.disagreements == (
        "the signature has columns that the model was not trained on: id",
        "the signature says string for the column b, the training float32",
    )
    with pytest.raises(WrongInputs, match="Unexpected column: other"):
        schema.batch(Columns({"a": [1], "b": [0.5], "other": [7]}))


def test_order_of_the_model_wins_over_the_signature_s() -> None:
    signed = (Column("a", T.LONG), Column("b", T.STRING))
    resolved = resolve_columns(signed, Features(("b", "a"), 2), None)
    assert [(column.name, column.type) for column in resolved.columns] == [("b", T.STRING), ("a", T.LONG)]
    assert resolved.source == "model"


def test_table_with_more_columns_gives_those_of_the_model() -> None:
    table = TrainingTable("signature", (TrainedColumn("a", "int8"), TrainedColumn("b", "str"), TrainedColumn("c", "bool")))
    resolved = resolve_columns((), Features(("c", "a"), 2), table)
    assert [(column.name, column.trained) for column in resolved.columns] == [("c", table.columns[2]), ("a", table.columns[0])]


def test_columns_are_read_from_the_parts_of_a_pipeline() -> None:
    frame = pd.DataFrame(
        {
            "text": pd.Series(["a", None, "b"] * 2, dtype=object),
            "code": [1, 2, 1] * 2,
            "gap": [1.0, None, 2.0] * 2,
            "plain": [1, 2, 3] * 2,
        }
    )
    nothing: Any = None
    gone = SimpleImputer(missing_values=nothing, strategy="constant", fill_value="gone")
    parts = (make_pipeline(gone, OneHotEncoder()), ["text"]), (OrdinalEncoder(), ["code"])
    numbers = (make_pipeline(SimpleImputer(), StandardScaler()), ["gap"]), ("passthrough", ["plain"])
    model = make_pipeline(make_column_transformer(*parts, *numbers), LinearRegression()).fit(frame, range(6))
    learned = trained_columns(model)
    assert {name: (column.dtype, column.missing) for name, column in learned.items()} == {
        "text": ("object", "None"),
        "code": ("int64", None),
        "gap": ("float64", "nan"),
    }


def _boosted(kind: Any, frame: pd.DataFrame, **options: Any) -> Any:
    target = np.arange(ROWS) % 5 + np.linspace(0, 1, ROWS)
    return kind(n_estimators=20, **options).fit(frame, target)


def test_lightgbm_model_without_a_table_has_its_categories() -> None:
    frame = pd.DataFrame({"x y": np.linspace(0, 9, ROWS), "city": pd.Categorical(np.resize(["oslo", "rome", "bern"], ROWS))})
    model = _boosted(lightgbm.LGBMRegressor, frame, verbose=-1, min_child_samples=2, min_data_per_group=1)
    predictor = LightGBMPredictor(model)
    schema, origin = schema_of(None, predictor.features, is_native=True)
    rows = [3, 1]
    batch = schema.batch(Columns({"city": frame["city"].iloc[rows].tolist(), "x y": frame["x y"].iloc[rows].tolist()}))
    assert origin.source == "model"
    np.testing.assert_array_equal(predictor.predict(batch, {}), model.predict(frame.iloc[rows]))


def test_lightgbm_model_with_ambiguous_categories_is_refused() -> None:
    codes = np.resize([0, 1, 2], ROWS)
    frame = pd.DataFrame(
        {"grade": pd.Categorical.from_codes(codes, [10, 20, 30], ordered=True), "n": np.resize([2, 0, 1, 1], ROWS)}
    )
    model = _boosted(lightgbm.LGBMRegressor, frame, verbose=-1, min_child_samples=2)
    predictor = LightGBMPredictor(model)
    with pytest.raises(UnknownTable, match="does not say of which columns; several columns may be they"):
        schema_of(None, predictor.features, is_native=True)


def test_xgboost_model_without_a_table_has_its_file_s_categories() -> None:
    frame = pd.DataFrame({"city": pd.Categorical(np.resize(["oslo", "rome", "bern"], ROWS)), "x": np.linspace(0, 9, ROWS)})
    model = _boosted(xgboost.XGBRegressor, frame, max_depth=3, enable_categorical=True)
    predictor = XGBoostPredictor(model)
    schema, _ = schema_of(None, predictor.features, is_native=True)
    batch = schema.batch(Columns({"city": ["rome", None], "x": [1.0, 2.0]}))
    wanted = frame.iloc[:2].assign(city=pd.Categorical(["rome", None], frame["city"].cat.categories), x=[1.0, 2.0])
    np.testing.assert_array_equal(predictor.predict(batch, {}), model.predict(wanted))
    with pytest.raises(WrongInputs, match='city wants one of the categories "bern", "oslo", "rome"; row 0 has "zz"'):
        schema.batch(Columns({"city": ["zz"], "x": [1.0]}))


def test_feature_names_of_a_data_set_are_found_in_the_table() -> None:
    frame = pd.DataFrame(np.linspace(0, 9, 2 * ROWS).reshape(ROWS, 2))
    data = lightgbm.Dataset(frame, np.linspace(0, 1, ROWS), feature_name=["width", "height"])
    booster = lightgbm.train({"verbose": -1, "min_data_in_leaf": 2}, data, num_boost_round=5)
    table = TrainingTable("training", (TrainedColumn(0, "float64"), TrainedColumn(1, "float64")))
    predictor = BoosterPredictor(booster)
    schema, origin = schema_of(None, predictor.features, is_native=True, table=table)
    assert origin.source == "training"
    wanted = booster.predict(frame.iloc[:2])
    for names in (("0", "1"), ("width", "height")):
        batch = schema.batch(Columns({name: frame[index].iloc[:2].tolist() for index, name in enumerate(names)}))
        np.testing.assert_array_equal(predictor.predict(batch, {}), wanted)
