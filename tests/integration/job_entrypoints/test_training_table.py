"""The training table file beside each logged model, in a real MLflow server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from job_entrypoints.contract import TRAINING_TABLE_FILE

TABLE = """
import mlflow, numpy as np, pandas as pd
from mlflow.models import infer_signature
frame = pd.DataFrame({
    "kind": pd.Series(["a", None] * 20, dtype=object),
    "grade": pd.Categorical.from_codes([0, 1] * 20, [10, 20], ordered=True),
    "when": pd.date_range("2026-01-01", periods=40, tz="Europe/Oslo", unit="us"),
    "n": pd.array([1, None] * 20, dtype="Int64"),
    "x": np.arange(40.0),
})
y = np.arange(40) % 2
"""
PIPELINE = """
from sklearn.compose import make_column_transformer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
pipeline = make_pipeline(make_column_transformer(("passthrough", ["x"])), LogisticRegression())
"""
SCRIPTS = {
    "autologged": TABLE + PIPELINE + "pipeline.fit(frame, y)",
    "logged by hand, autolog off": (
        TABLE + "mlflow.autolog(disable=True)\n" + PIPELINE + "mlflow.sklearn.log_model(pipeline.fit(frame, y), name='m')"
    ),
    "the best of a search": (
        TABLE
        + PIPELINE
        + "search = GridSearchCV(pipeline, {'logisticregression__C': [1, 2]}, cv=2).fit(frame, y)\n"
        + "mlflow.sklearn.log_model(search.best_estimator_, name='m')"
    ),
}
COLUMNS = [
    {"name": "kind", "dtype": "object", "missing": "None", "values": "string"},
    {
        "name": "grade",
        "dtype": "category",
        "missing": None,
        "ordered": True,
        "categories_dtype": "int64",
        "categories": [10, 20],
    },
    {"name": "when", "dtype": "datetime64[us, Europe/Oslo]", "missing": None},
    {"name": "n", "dtype": "Int64", "missing": "NA"},
    {"name": "x", "dtype": "float64", "missing": None},
]


@pytest.fixture
def tables_of(run: Callable[..., Any], mlflow_url: str, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Run a script as a job, and read the file of each model that it logged, by the model's name."""

    def read(source: str, *, autolog: bool = True) -> dict[str, Any]:
        result = run(source, mlflow_url=mlflow_url, autolog=autolog, experiment_name=f"table-{tmp_path.name}")
        assert result.exit_code == 0, result.output
        client = MlflowClient(mlflow_url)
        mlflow.set_tracking_uri(mlflow_url)
        job_id = result.directory.name.removesuffix("-a1")
        experiments = [experiment.experiment_id for experiment in client.search_experiments()]
        models = client.search_logged_models(experiments, filter_string=f"tags.`raylift.job_id` = '{job_id}'")
        tables: dict[str, Any] = {}
        for model in models:
            directory = Path(mlflow.artifacts.download_artifacts(model.model_uri, dst_path=str(tmp_path / model.model_id)))
            file = directory / TRAINING_TABLE_FILE
            tables[model.name] = json.loads(file.read_text()) if file.is_file() else None
        return tables

    return read


@pytest.mark.parametrize("script", SCRIPTS.values(), ids=SCRIPTS.keys())
def test_frame_of_the_fit_is_recorded(script: str, tables_of: Callable[..., dict[str, Any]]) -> None:
    tables = tables_of(script)
    assert tables
    for table in tables.values():
        assert (table["source"], table["columns"]) == ("training", COLUMNS)


def test_table_of_a_booster_s_data_set_is_recorded(tables_of: Callable[..., dict[str, Any]]) -> None:
    tables = tables_of(
        TABLE
        + """
import lightgbm as lgb, xgboost as xgb
small = frame[["x", "grade"]]
booster = lgb.train({"objective": "binary", "verbose": -1}, lgb.Dataset(small, y), num_boost_round=2)
mlflow.lightgbm.log_model(booster, name="lightgbm, train")
mlflow.lightgbm.log_model(lgb.LGBMClassifier(n_estimators=2, verbose=-1).fit(small, y).booster_, name="lightgbm, booster_")
matrix = xgb.DMatrix(small, y, enable_categorical=True)
mlflow.xgboost.log_model(xgb.train({"max_depth": 2}, matrix, 2), name="xgboost, train")
fitted = xgb.XGBClassifier(n_estimators=2, enable_categorical=True).fit(small, y)
mlflow.xgboost.log_model(fitted.get_booster(), name="xgboost, booster")
""",
        autolog=False,
    )
    assert len(tables) == 4
    for name, table in tables.items():
        assert [column["name"] for column in table["columns"]] == ["x", "grade"], name


def test_table_of_a_function_is_that_of_its_signature(tables_of: Callable[..., dict[str, Any]]) -> None:
    tables = tables_of(
        TABLE
        + """
class Sum(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        return model_input["x"]

signature = infer_signature(frame[["x", "kind"]], y)
mlflow.pyfunc.log_model(name="signed", python_model=Sum(), signature=signature)
mlflow.pyfunc.log_model(name="nothing", python_model=Sum())
""",
        autolog=False,
    )
    assert tables["signed"]["source"] == "signature"
    assert [column["name"] for column in tables["signed"]["columns"]] == ["x", "kind"]
    assert tables["nothing"]["source"] == "none"


def test_dtype_of_an_array_is_recorded(tables_of: Callable[..., dict[str, Any]]) -> None:
    tables = tables_of(
        TABLE
        + """
from sklearn.tree import DecisionTreeClassifier
mlflow.sklearn.log_model(DecisionTreeClassifier().fit(frame[["x"]].to_numpy(dtype="float32"), y), name="m")
""",
        autolog=False,
    )
    assert tables["m"]["array"] == {"dtype": "float32", "width": 1}
