"""The Open Inference Protocol with real models."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
from mlflow.models import infer_signature
from mlflow.pyfunc.model import PythonModel
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestClassifier
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from tests.integration.model_server.replicas import Registry, Replica, log_function, log_sklearn

_IRIS: Any = load_iris()
_FOREST = RandomForestClassifier(5, random_state=0).fit(_IRIS.data, _IRIS.target)
_PEOPLE = pd.DataFrame({"age": [23, 45, 31, 60], "city": ["Rome", "Oslo", "Rome", "Bonn"]})
_PIPELINE: Any = make_pipeline(
    ColumnTransformer([("city", OneHotEncoder(), ["city"])], remainder="passthrough"), LogisticRegression()
)
_PICKLED = {"serialization_format": "cloudpickle"}


@pytest.fixture(scope="module")
def forest(registry: Registry) -> Replica:
    return registry.replica("v2-forest", log_sklearn, _FOREST, **_PICKLED)


@pytest.fixture(scope="module")
def people(registry: Registry) -> Replica:
    model = _PIPELINE.fit(_PEOPLE, ["no", "yes", "no", "yes"])
    return registry.replica("v2-people", log_sklearn, model, signature=infer_signature(_PEOPLE, np.array(["no"])), **_PICKLED)


def _tensor(name: str, array: Any, datatype: str = "FP64", **more: Any) -> dict[str, Any]:
    values = np.asarray(array)
    return {"name": name, "shape": list(values.shape), "datatype": datatype, "data": values.tolist(), **more}


def test_one_tensor_is_the_table(forest: Replica) -> None:
    rows = _IRIS.data[::20]
    flat = {"name": "x", "shape": list(rows.shape), "datatype": "FP64", "data": rows.ravel().tolist()}
    for tensor in (flat, _tensor("x", rows)):
        answer = forest.post("/infer", {"id": "42", "inputs": [tensor]})
        assert answer.status_code == 200
        assert answer.headers["content-type"] == "application/json"
        assert answer.json() == {
            "model_name": "v2-forest",
            "model_version": "1",
            "id": "42",
            "outputs": [{"name": "predict", "shape": [len(rows)], "datatype": "INT64", "data": _FOREST.predict(rows).tolist()}],
        }


def test_requested_outputs_are_returned(forest: Replica) -> None:
    rows = _IRIS.data[:3]
    body = {"inputs": [_tensor("x", rows)], "outputs": [{"name": "predict_proba"}, {"name": "predict"}]}
    first, second = forest.post("/infer", body).json()["outputs"]
    assert first == {
        "name": "predict_proba",
        "shape": [3, 3],
        "datatype": "FP64",
        "data": _FOREST.predict_proba(rows).ravel().tolist(),
    }
    assert second["name"] == "predict"
    refused = forest.post("/infer", {**body, "outputs": [{"name": "logits"}]})
    assert refused.status_code == 400
    assert "logits" in refused.json()["error"]


def test_tensors_are_columns_by_name(people: Replica) -> None:
    columns = [
        {"name": "city", "shape": [2, 1], "datatype": "BYTES", "data": ["Oslo", "Rome"]},
        {"name": "age", "shape": [2], "datatype": "INT64", "data": [45, 23]},
    ]
    expected = _PIPELINE.predict(pd.DataFrame({"age": [45, 23], "city": ["Oslo", "Rome"]})).tolist()
    for parameters in ({}, {"content_type": "pd"}):
        answer = people.post("/infer", {"inputs": columns, "parameters": parameters})
        assert answer.json()["outputs"] == [{"name": "predict", "shape": [2], "datatype": "BYTES", "data": expected}]
    lacking = people.post("/infer", {"inputs": columns[1:]})
    assert lacking.status_code == 400
    assert "Missing column: city" in lacking.json()["error"]


def test_tensor_with_one_column_is_taken(registry: Registry) -> None:
    frame = pd.DataFrame({"x": [1.0, 2.0, 3.0]})
    model = LinearRegression().fit(frame, [2.0, 4.0, 6.0])
    replica = registry.replica("v2-line", log_sklearn, model, signature=infer_signature(frame), **_PICKLED)
    expected = model.predict(pd.DataFrame({"x": [4.0, 5.0]})).tolist()
    for tensor in (_tensor("x", [4, 5], "INT32"), _tensor("x", [[4], [5]]), _tensor("other", [[4], [5]])):
        assert replica.post("/infer", {"inputs": [tensor]}).json()["outputs"][0]["data"] == expected


def test_numbered_columns_are_addressed_as_text(registry: Registry) -> None:
    """A frame made of an array has columns 0, 1, …. JSON and tensors only allow text as names."""
    frame = pd.DataFrame(_IRIS.data)
    model = RandomForestClassifier(3, random_state=0).fit(frame, _IRIS.target)
    replica = registry.replica("v2-numbered", log_sklearn, model, input_example=frame[:2], **_PICKLED)
    rows = _IRIS.data[::50]
    expected = model.predict(rows).tolist()
    assert [column["name"] for column in replica.get("").json()["inputs"]] == ["0", "1", "2", "3"]
    columns = [_tensor(str(index), rows[:, index]) for index in range(4)]
    for tensors in ([_tensor("x", rows)], columns, columns[::-1]):
        assert replica.post("/infer", {"inputs": tensors}).json()["outputs"][0]["data"] == expected
    by_name = {str(index): rows[:, index].tolist() for index in range(4)}
    for inputs in (rows.tolist(), by_name, [{"0": 1, "1": None, "2": 3, "3": 4}]):
        assert replica.predict(inputs).status_code == 200, replica.predict(inputs).text
    assert replica.predicted(by_name)["predictions"] == expected


class Scale(PythonModel):
    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        return (model_input["x"] * params["factor"]).to_numpy()


def test_declared_parameters_are_passed(registry: Registry) -> None:
    signature = infer_signature(pd.DataFrame({"x": [1.0]}), np.array([1.0]), params={"factor": 2.0})
    replica = registry.replica("v2-scale", log_function, python_model=Scale(), signature=signature)
    body = {"inputs": [_tensor("x", [1.0, 2.0])]}
    for parameters, expected in (
        ({}, [2.0, 4.0]),
        ({"factor": 3, "content_type": "pd"}, [3.0, 6.0]),
        ({"sequence_id": 7, "priority": 1}, [2.0, 4.0]),
    ):
        answer = replica.post("/infer", {**body, "parameters": parameters})
        assert answer.json()["outputs"][0]["data"] == expected, answer.text
    refused = replica.post("/infer", {**body, "parameters": {"factor": "much"}})
    assert refused.status_code == 400
    assert "params.factor wants numbers" in refused.json()["error"]


def test_text_tensor_has_one_text_a_row(registry: Registry) -> None:
    texts = np.array(["good day", "bad night", "nice day", "awful night"])
    model: Any = make_pipeline(CountVectorizer(), LogisticRegression()).fit(texts, [1, 0, 1, 0])
    replica = registry.replica("v2-texts", log_sklearn, model, input_example=texts, **_PICKLED)
    expected = model.predict(texts).tolist()
    for shape in ([4], [4, 1]):
        answer = replica.post("/infer", {"inputs": [_tensor("x", texts.reshape(shape), "BYTES")]})
        assert answer.json()["outputs"][0]["data"] == expected, answer.text
    for inputs in (texts.tolist(), [[text] for text in texts.tolist()], {"text": texts.tolist()}):
        assert replica.predicted(inputs)["predictions"] == expected
    assert replica.post("/v1:predict", {"instances": texts.tolist()}).json() == {"predictions": expected}


@pytest.mark.parametrize(
    ("inputs", "said"),
    [
        ([], "no input tensors"),
        (["x"], "inputs[0] is not an object"),
        ([{"shape": [1], "datatype": "FP64", "data": [1]}], "no name"),
        ([{"name": "x", "shape": [1, 4], "datatype": "FP64"}], "no data"),
        ([{"name": "x", "shape": [1, -4], "datatype": "FP64", "data": [1]}], "lengths are whole numbers"),
        ([{"name": "x", "shape": [1, 4], "datatype": "FP65", "data": [1, 2, 3, 4]}], "FP65; known are"),
        ([{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": [1, 2, 3]}], "has 3 values; the shape [1, 4] wants 4"),
        ([{"name": "x", "shape": [1, 4], "datatype": "FP64", "data": ["a", 2, 3, 4]}], "not FP64"),
        ([{"name": "x", "shape": [1, 4], "datatype": "UINT8", "data": [1, 2, 3, 256]}], "not UINT8"),
        ([{"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2]}], "The model wants 4 features, got 2"),
        ([{"name": "x", "shape": [0, 4], "datatype": "FP64", "data": []}], "no rows"),
        ([_tensor("x", [[1, 2], [3, 4]]), _tensor("y", [[1, 2], [3, 4]])], "as a column it is [n] or [n, 1]"),
        ([_tensor("x", [1, 2]), _tensor("x", [3, 4])], "The tensor x is given twice"),
    ],
)
def test_wrong_tensors_are_refused_with_a_reason(forest: Replica, inputs: list[Any], said: str) -> None:
    refused = forest.post("/infer", {"inputs": inputs})
    assert refused.status_code == 400
    assert refused.headers["content-type"] == "application/json"
    assert list(refused.json()) == ["error"]
    assert said in refused.json()["error"]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"inputs": 1}', b"\xff"])
def test_malformed_request_is_refused(forest: Replica, body: bytes) -> None:
    refused = forest.request("POST", "/infer", content=body)
    assert refused.status_code == 400
    assert list(refused.json()) == ["error"]


def test_metadata_describes_the_input_of_infer(forest: Replica, people: Replica) -> None:
    assert forest.get("").json() == {
        "name": "v2-forest",
        "versions": ["1"],
        "platform": "mlflow_sklearn",
        "inputs": [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}],
        "outputs": [
            {"name": "predict", "datatype": "INT64", "shape": [-1]},
            {"name": "predict_proba", "datatype": "FP64", "shape": [-1, 3]},
        ],
        "parameters": {"schema": {"source": "model", "disagreements": []}, "other_numerics": None},
    }
    described = people.get("/").json()
    assert described["inputs"] == [
        {"name": "age", "datatype": "INT64", "shape": [-1]},
        {"name": "city", "datatype": "BYTES", "shape": [-1]},
    ]
    assert described["outputs"][0]["datatype"] == "BYTES"


def test_version_is_ready(forest: Replica) -> None:
    assert forest.get("/ready").json() == {"name": "v2-forest", "ready": True}
