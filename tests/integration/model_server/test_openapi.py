"""The OpenAPI document of each version is valid, and its example requests work as printed."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from jsonschema import Draft202012Validator
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from openapi_spec_validator import validate
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.integration.model_server.replicas import Registry, Replica, log_function, log_sklearn

_IRIS: Any = load_iris(as_frame=True)
_LINEAR = LogisticRegression(max_iter=500).fit(_IRIS.data.to_numpy(), _IRIS.target)
_FRAMED = LogisticRegression(max_iter=500).fit(_IRIS.data, _IRIS.target)
_PEOPLE = pd.DataFrame({"age": [23, 45, 31, 60], "city": ["Rome", "Oslo", "Rome", "Bonn"]})
_PIPELINE: Any = make_pipeline(
    ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough"), LogisticRegression()
).fit(_PEOPLE, ["no", "yes", "no", "yes"])
_TYPED = pd.DataFrame(
    {
        "flag": [True],
        "count": np.array([1], np.int32),
        "big": [1],
        "half": np.array([0.5], np.float32),
        "real": [0.5],
        "text": ["a"],
        "raw": [b"a"],
        "when": pd.to_datetime(["2026-01-31"]),
    }
)
_TENSORS = {"a": np.zeros((1, 2)), "b": np.array([[1], [2]], np.int64)}
_PARAMS = {"factor": 2.0, "name": "x", "list": [1, 2]}
_PICKLED = {"serialization_format": "cloudpickle"}
_ALL = {"/predict", "/infer", "/invocations"}


class Counts(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return [len(model_input)]


class Refuses(PythonModel):
    """Fails when it is called: a document must not call the function."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        raise AssertionError("it was called")


def _function(**options: Any) -> tuple[Any, tuple[Any, ...], dict[str, Any]]:
    return log_function, (), {"python_model": Counts(), **options}


MODELS: dict[str, tuple[tuple[Any, tuple[Any, ...], dict[str, Any]], set[str]]] = {
    "no-signature": ((log_sklearn, (_LINEAR,), _PICKLED), _ALL),
    "no-signature-frame": ((log_sklearn, (_FRAMED,), _PICKLED), _ALL),
    "tensor": ((log_sklearn, (_LINEAR,), {**_PICKLED, "signature": infer_signature(_IRIS.data.to_numpy())}), _ALL),
    "columns": ((log_sklearn, (_FRAMED,), {**_PICKLED, "signature": infer_signature(_IRIS.data)}), _ALL),
    # The encoder does not know "text" as a city: only the logged example has a known one.
    "example": ((log_sklearn, (_PIPELINE,), {**_PICKLED, "input_example": _PEOPLE}), _ALL),
    "array-example": ((log_sklearn, (_LINEAR,), {**_PICKLED, "input_example": _IRIS.data.to_numpy()[:3]}), _ALL),
    "no-city": ((log_sklearn, (_PIPELINE,), {**_PICKLED, "signature": infer_signature(_PEOPLE)}), set()),
    "typed": (_function(signature=infer_signature(_TYPED)), _ALL),
    "tensors": (_function(signature=infer_signature(_TENSORS)), _ALL),
    "params": (_function(signature=infer_signature(_TYPED[["real"]], params=_PARAMS)), _ALL),
    "chat": (_function(input_example={"messages": [{"role": "user", "content": "hi"}]}), {"/invocations"}),
    "nothing": (_function(), set()),
}


@pytest.fixture(scope="module")
def replicas(registry: Registry) -> dict[str, Replica]:
    return {name: registry.replica(f"openapi-{name}", how[0], *how[1], **how[2]) for name, (how, _) in MODELS.items()}


@pytest.mark.parametrize("name", MODELS)
def test_printed_examples_work(replicas: dict[str, Replica], name: str) -> None:
    replica = replicas[name]
    document = replica.get("/openapi.json").json()
    validate(document)
    printed: dict[str, Any] = {}
    for path, item in document["paths"].items():
        content = item.get("post", {}).get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content:
            printed[path] = content["example"]
            Draft202012Validator(content["schema"]).validate(content["example"])
    assert printed.keys() == MODELS[name][1]
    for path, body in printed.items():
        answer = replica.post(path, body)
        assert answer.status_code == 200, (path, json.dumps(body), answer.text)
        schema = document["paths"][path]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
        Draft202012Validator(schema).validate(answer.json())


def test_logged_example_is_cut_to_one_row(replicas: dict[str, Replica]) -> None:
    document = replicas["example"].get("/openapi.json").json()
    examples = {
        path: item["post"]["requestBody"]["content"]["application/json"]["example"]
        for path, item in document["paths"].items()
        if "post" in item
    }
    assert examples == {
        "/predict": {"inputs": {"age": [23], "city": ["Rome"]}},
        "/invocations": {"dataframe_split": {"columns": ["age", "city"], "data": [[23, "Rome"]]}},
        "/infer": {
            "inputs": [
                {"name": "age", "shape": [1], "datatype": "INT64", "data": [23]},
                {"name": "city", "shape": [1], "datatype": "BYTES", "data": ["Rome"]},
            ]
        },
    }


def test_params_are_shown_with_their_defaults(replicas: dict[str, Replica]) -> None:
    document = replicas["params"].get("/openapi.json").json()
    for path in ("/predict", "/invocations"):
        example = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["example"]
        assert example["params"] == _PARAMS


def test_document_is_made_without_calling_the_function(registry: Registry) -> None:
    signature = infer_signature(_TYPED[["real"]])
    replica = registry.replica("openapi-refuses", log_function, python_model=Refuses(), signature=signature)
    document = replica.get("/openapi.json").json()
    assert document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["example"] == {
        "inputs": {"real": [0.5]}
    }
