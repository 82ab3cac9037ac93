"""Answers and refusals of MLflow's functions by every protocol."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema

from tests.integration.model_server.replicas import Registry, Replica, log_function


class Forms(PythonModel):
    """Returns its column in a form that a parameter selects."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        x = model_input["x"].to_numpy()
        forms: dict[str, Any] = {
            "columns": lambda: {"label": x > 0, "scores": np.stack([x, -x], axis=1)},
            "twice": lambda: pd.DataFrame(np.stack([x, x * 10], axis=1), columns=["p", "p"]),
            "delta": lambda: np.array([90, 3600], dtype="timedelta64[s]"),
            "complex": lambda: x + 2j,
            "period": lambda: pd.Series(pd.period_range("2024-01", periods=2, freq="M")),
            "sparse": lambda: sp.csr_matrix([[0, 1.0], [2.0, 0]]),
            "generator": lambda: (value for value in x),
            "total": lambda: float(x.sum()),
        }
        return forms[params["form"]]()


class Price(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return [row[0] * 2 if row[1] == "Oslo" else row[0] for row in model_input]


class Column(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return model_input["x"] * 2


@pytest.fixture(scope="module")
def forms(registry: Registry) -> Replica:
    params = ParamSchema([ParamSpec("form", DataType.string, "columns")])
    signature = ModelSignature(Schema([ColSpec(DataType.double, "x")]), None, params)
    return registry.replica("forms", log_function, python_model=Forms(), signature=signature)


_X = {"x": [1.5, -2.0]}


@pytest.mark.parametrize(
    ("form", "predictions"),
    [
        ("columns", [{"label": True, "scores": [1.5, -1.5]}, {"label": False, "scores": [-2.0, 2.0]}]),
        ("delta", ["PT1M30S", "PT1H"]),
        ("period", ["2024-01", "2024-02"]),
        ("sparse", [[0, 1], [2, 0]]),
        ("generator", [1.5, -2.0]),
    ],
)
def test_answer_has_one_entry_for_each_row(forms: Replica, form: str, predictions: list[Any]) -> None:
    assert forms.predicted(_X, params={"form": form})["predictions"] == predictions


@pytest.mark.parametrize(
    ("form", "said"), [("twice", "same name, p"), ("complex", "complex128"), ("total", "one value (-0.5) for 2 rows")]
)
def test_answer_of_an_unknown_form_is_refused_with_its_type(forms: Replica, form: str, said: str) -> None:
    failed = forms.predict(_X, params={"form": form})
    assert (failed.status_code, failed.json()["code"]) == (500, "prediction_failed")
    assert said in failed.json()["detail"]


def test_scoring_and_tensors_have_forms_of_their_own(forms: Replica) -> None:
    def scored(form: str) -> Any:
        return forms.post(
            "/invocations", {"dataframe_split": {"columns": ["x"], "data": [[1.5], [-2]]}, "params": {"form": form}}
        )

    assert scored("columns").json() == {"predictions": {"label": [True, False], "scores": [[1.5, -1.5], [-2.0, 2.0]]}}
    assert scored("sparse").json() == {"predictions": [[0, 1], [2, 0]]}
    assert scored("total").json() == {"predictions": -0.5}
    assert (scored("twice").status_code, "same name, p" in scored("twice").text) == (400, True)
    tensor = {"name": "x", "shape": [2], "datatype": "FP64", "data": [1.5, -2]}
    outputs = forms.post("/infer", {"inputs": [tensor], "parameters": {"form": "columns"}}).json()["outputs"]
    assert [(output["name"], output["datatype"], output["shape"]) for output in outputs] == [
        ("label", "BOOL", [2]),
        ("scores", "FP64", [2, 2]),
    ]


def test_numbers_in_rows_with_text_stay_numbers(registry: Registry) -> None:
    replica = registry.replica("price", log_function, python_model=Price())
    assert replica.predicted([[34, "Oslo"], [51, "Rome"]])["predictions"] == [68, 51]
    assert replica.predicted([[0.5, "Oslo"]])["predictions"] == [1.0]


def test_wrong_columns_of_a_function_are_refused_with_a_hint(registry: Registry) -> None:
    replica = registry.replica("column", log_function, python_model=Column())
    rows, missing = replica.predict([[1.5]]), replica.predict({"y": [1.5]})
    assert (rows.status_code, missing.status_code) == (422, 422)
    assert "columns by name" in rows.json()["detail"]
    assert missing.json()["errors"][0]["field"] == "inputs.x"


_LIBRARY = """
import numpy as np

class Classifier:
    classes_ = np.array(["no", "yes"])
    def predict(self, data): return np.array(["yes"] * len(data))
    def predict_proba(self, data): return np.array([[0.25, 0.75]] * len(data))

def _load_pyfunc(path): return Classifier()
"""


def test_native_model_with_predict_proba_has_probabilities(registry: Registry, tmp_path: Path) -> None:
    module = tmp_path / "a_library_of_classifiers.py"
    module.write_text(_LIBRARY)
    try:
        options: Any = {"loader_module": module.stem, "code_paths": [str(module)]}
        replica = registry.replica("classifier", log_function, **options)
        answer = replica.predicted([[1.5], [2.5]], return_probabilities=True)
    finally:
        sys.modules.pop(module.stem, None)
    assert (answer["predictions"], answer["probabilities"]) == (["yes", "yes"], [[0.25, 0.75], [0.25, 0.75]])
    assert answer["classes"] == ["no", "yes"]


def test_function_without_probabilities_says_why(forms: Replica) -> None:
    refused = forms.predict(_X, return_probabilities=True)
    assert refused.json()["code"] == "no_probabilities"
    assert "Python function, which only has predict" in refused.json()["detail"]


@pytest.mark.parametrize("charset", ["utf-8", '"UTF-8"'])
def test_charset_may_be_quoted(forms: Replica, charset: str) -> None:
    body = b'{"dataframe_split": {"columns": ["x"], "data": [[1.5]]}, "params": {"form": "generator"}}'
    headers = {"content-type": f"application/json; charset={charset}"}
    assert forms.request("POST", "/invocations", content=body, headers=headers).json() == {"predictions": [1.5]}


def test_duplicate_column_is_refused_by_every_protocol(forms: Replica) -> None:
    split = b'{"dataframe_split": {"columns": ["x", "x"], "data": [[1, 2]]}}'
    records = b'{"dataframe_records": [{"x": 1, "x": 2}]}'
    parquet = pd.DataFrame([[1.0, 2.0]], columns=["x", "x"])
    for content in (split, records):
        refused = forms.request("POST", "/invocations", content=content, headers={"content-type": "application/json"})
        assert (refused.status_code, "x" in refused.json()["message"]) == (400, True)
        assert "more than once" in refused.json()["message"]
    with pytest.raises(ValueError, match="Duplicate column names"):
        parquet.to_parquet()
    columns = forms.request("POST", "/predict", content=b'{"inputs": {"x": [1], "x": [2]}}')
    assert (columns.status_code, columns.json()["errors"][0]["field"]) == (422, "x")
