"""Python functions with every kind of signature, called by the platform's own protocol."""

from __future__ import annotations

import datetime
import os
from pathlib import Path
from typing import Any

import mlflow.pyfunc
import numpy as np
import pandas as pd
import pytest
import yaml
from mlflow.models import infer_signature
from mlflow.models.signature import ModelSignature
from mlflow.pyfunc.model import PythonModel
from mlflow.types import ColSpec, DataType, Schema, TensorSpec
from pydantic import BaseModel

from serve_apps.model_server.loading.loader import load_directory, load_model
from serve_apps.model_server.model import PredictionRequest
from tests.integration.model_server.replicas import Registry, Replica, log_function


class Echo(PythonModel):
    """Returns its input as types and values."""

    def predict(self, context, model_input, params=None):
        if isinstance(model_input, pd.DataFrame):
            return [{"types": [str(dtype) for dtype in model_input.dtypes], "rows": len(model_input), "params": params}]
        if isinstance(model_input, dict):
            return [{name: [str(array.dtype), *array.shape] for name, array in model_input.items()}]
        return [{"kind": type(model_input).__name__, "dtype": str(np.asarray(model_input).dtype)}]


class Mixed(PythonModel):
    """Returns every kind of value that is not JSON."""

    def predict(self, context, model_input, params=None):
        return pd.DataFrame(
            {
                "integer": np.array([1, 2**53 + 1]),
                "real": [np.nan, np.inf],
                "single": np.array([0.1, 0.2], dtype=np.float32),
                "time": pd.to_datetime(["2026-01-31T12:00:00", None]),
                "text": ["a", None],
                "list": [np.array([1, 2]), {"b": b"hi"}],
                "huge": np.array([2**70, 1], dtype=object),
                "date": [datetime.date(2026, 1, 31), None],
                "flag": [True, False],
            }
        )


class Fails(PythonModel):
    def predict(self, context, model_input, params=None):
        raise RuntimeError("the disk is full")


class Hinted(PythonModel):
    def predict(self, model_input: list[str]) -> list[str]:
        return [text.upper() for text in model_input]


class HintedRows(PythonModel):
    def predict(self, model_input: list[list[float]]) -> list[float]:
        return [sum(row) for row in model_input]


class HintedMaps(PythonModel):
    def predict(self, model_input: list[dict[str, float]]) -> list[float]:
        return [row["a"] - row["b"] for row in model_input]


class Sale(BaseModel):
    amount: int
    city: str


class HintedRecords(PythonModel):
    def predict(self, model_input: list[Sale]) -> list[str]:
        return [f"{sale.amount} {sale.city}" for sale in model_input]


class Iterators(PythonModel):
    """Returns the form that its text names."""

    def predict(self, context, model_input, params=None):
        kind = np.asarray(model_input["kind"])[0]
        if kind == "generator":
            return (number * 2 for number in range(2))
        if kind == "map":
            return map(np.float32, [0.5, 1.5])
        if kind == "list of iterators":
            return [map(str, range(2)), iter("ab")]
        return {"x": iter([1, 2]), "y": iter("ab")}


class Doubles(PythonModel):
    def predict(self, context, model_input, params=None):
        return [value * 2 for value in np.asarray(model_input).ravel().tolist()]


class Multiplies(PythonModel):
    def predict(self, context, model_input, params=None):
        return np.linalg.solve(model_input, model_input)


def _tensor(name: str, shape: list[int], datatype: str, data: list[Any]) -> dict[str, Any]:
    return {"name": name, "shape": shape, "datatype": datatype, "data": data}


@pytest.mark.parametrize(
    ("model", "tensors", "answer"),
    [
        (Hinted, [_tensor("any", [2], "BYTES", ["a", "b"])], ["A", "B"]),
        (Hinted, [_tensor("any", [2, 1], "BYTES", ["a", "b"])], ["A", "B"]),
        (HintedRows, [_tensor("any", [2, 2], "FP64", [1, 2, 3, 4])], [3.0, 7.0]),
        (HintedMaps, [_tensor("a", [2], "FP64", [3, 4]), _tensor("b", [2], "FP64", [1, 1])], [2.0, 3.0]),
        (
            HintedRecords,
            [_tensor("amount", [2], "INT64", [1, 2]), _tensor("city", [2], "BYTES", ["Bonn", "Ulm"])],
            ["1 Bonn", "2 Ulm"],
        ),
    ],
)
def test_type_hinted_function_takes_tensors(
    registry: Registry, model: type[PythonModel], tensors: list[Any], answer: list[Any]
) -> None:
    replica = registry.replica(f"v2-{model.__name__}-{len(tensors[0]['shape'])}", log_function, python_model=model())
    answered = replica.post("/infer", {"inputs": tensors})
    assert answered.status_code == 200, answered.text
    assert answered.json()["outputs"][0]["data"] == answer
    described = replica.get("").json()["inputs"]
    assert len(described) == (len(tensors) if model is not HintedMaps else 0)


def test_type_hinted_function_of_one_value_refuses_two_tensors(registry: Registry) -> None:
    replica = registry.replica("v2-two", log_function, python_model=Hinted())
    both = [_tensor("a", [1], "BYTES", ["x"]), _tensor("b", [1], "BYTES", ["y"])]
    refused = replica.post("/infer", {"inputs": both})
    assert (refused.status_code, "wants one tensor, got 2" in refused.text) == (400, True)


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        ("generator", [0, 2]),
        ("map", [0.5, 1.5]),
        ("list of iterators", [["0", "1"], ["a", "b"]]),
        ("dict of iterators", {"x": [1, 2], "y": ["a", "b"]}),
    ],
)
def test_iterator_is_answered_whole(registry: Registry, kind: str, answer: Any) -> None:
    replica = registry.replica(f"iterators-{kind.replace(' ', '-')}", log_function, python_model=Iterators())
    asked = {"kind": [kind, kind]}
    scored = replica.post("/invocations", {"inputs": asked})
    assert (scored.status_code, scored.json()["predictions"]) == (200, answer)
    by_row = [{"x": 1, "y": "a"}, {"x": 2, "y": "b"}] if isinstance(answer, dict) else answer
    assert replica.predicted(asked)["predictions"] == by_row


@pytest.mark.parametrize(
    ("kind", "flat", "doubled"), [(DataType.string, ["a", "bc"], ["aa", "bcbc"]), (DataType.double, [1, 2.5], [2.0, 5.0])]
)
def test_flat_list_goes_into_the_only_column(registry: Registry, kind: DataType, flat: list[Any], doubled: list[Any]) -> None:
    said = ModelSignature(Schema([ColSpec(kind)]))
    replica = registry.replica(f"only-{kind}", log_function, python_model=Doubles(), signature=said)
    assert replica.predicted(flat)["predictions"] == doubled
    assert replica.predicted([[value] for value in flat])["predictions"] == doubled


def test_flat_list_of_texts_is_one_text_a_row_without_a_signature(registry: Registry) -> None:
    replica = registry.replica("silent-texts", log_function, python_model=Doubles())
    assert replica.predicted(["a", "bc"])["predictions"] == ["aa", "bcbc"]
    refused = replica.predict([1.5, 2.5])
    assert (refused.status_code, "flat list" in refused.text) == (422, True)


def test_shape_that_a_library_refuses_is_reported(registry: Registry) -> None:
    replica = registry.replica("multiplies", log_function, python_model=Multiplies())
    assert replica.predicted([[2.0]])["predictions"] == [[1.0]]
    refused = replica.predict([[1.0, 2.0, 3.0]])
    assert (refused.status_code, refused.json()["code"]) == (422, "inputs_refused")
    assert "infer_signature" in refused.json()["detail"]
    assert replica.post("/invocations", {"inputs": [[1.0, 2.0, 3.0]]}).status_code == 400


class ShowsBackend(PythonModel):
    def predict(self, context, model_input, params=None):
        return [os.environ.get("KERAS_BACKEND")]


@pytest.mark.parametrize(("variable", "backend"), [(None, "torch"), ("jax", "jax")])
def test_keras_backend_is_the_recorded_one_unless_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str | None, backend: str
) -> None:
    monkeypatch.setenv("KERAS_BACKEND", variable or "")
    if variable is None:
        monkeypatch.delenv("KERAS_BACKEND")
    mlflow.pyfunc.save_model(tmp_path / "model", python_model=ShowsBackend(), pip_requirements=[])
    described = yaml.safe_load((tmp_path / "model" / "MLmodel").read_text())
    described["flavors"]["keras"] = {"keras_backend": "torch"}
    (tmp_path / "model" / "MLmodel").write_text(yaml.safe_dump(described))
    model = load_directory("m", "1", tmp_path / "model")
    assert model.predict(PredictionRequest([[1.0]])).predictions == [backend]


def _echo(registry: Registry, name: str, signature: Any = None) -> Replica:
    return registry.replica(name, log_function, python_model=Echo(), signature=signature)


def test_function_without_a_signature_takes_any_table(registry: Registry) -> None:
    replica = _echo(registry, "echo")
    assert replica.predicted({"a": [1], "b": ["x"]})["predictions"] == [{"types": ["int64", "str"], "rows": 1, "params": None}]
    assert replica.predicted([{"a": 1.5}])["predictions"] == [{"types": ["float64"], "rows": 1, "params": None}]
    assert replica.predicted([[1, 2.5]])["predictions"] == [{"kind": "ndarray", "dtype": "float64"}]
    refused = replica.predict([[1]], return_probabilities=True)
    assert (refused.status_code, refused.json()["code"]) == (422, "no_probabilities")


def test_every_column_type_is_converted(registry: Registry) -> None:
    types = ("boolean", "integer", "long", "float", "double", "string", "binary", "datetime")
    replica = _echo(registry, "echo-types", ModelSignature(Schema([ColSpec(DataType[name], name) for name in types])))
    row = {
        "boolean": True,
        "integer": 1,
        "long": 2.0,
        "float": 3,
        "double": 4,
        "string": "x",
        "binary": "aGk=",
        "datetime": "2026-01-31T12:00:00Z",
    }
    (answer,) = replica.predicted(row)["predictions"]
    assert answer["types"] == ["bool", "int32", "int64", "float32", "float64", "str", "object", "datetime64[ns]"]
    refused = replica.predict({**row, "datetime": "tomorrow", "long": 2**64})
    assert [entry["field"] for entry in refused.json()["errors"]] == ["inputs.long", "inputs.datetime"]


def test_parameters_are_checked_and_have_defaults(registry: Registry) -> None:
    frame = pd.DataFrame({"a": [1.0]})
    signature = infer_signature(frame, params={"factor": 2.5, "names": ["x"], "count": 1, "flag": True})
    replica = _echo(registry, "echo-params", signature)
    defaults = {"factor": 2.5, "names": ["x"], "count": 1, "flag": True}
    assert replica.predicted({"a": 1})["predictions"][0]["params"] == defaults
    given = {"factor": 3, "names": ["y", "z"]}
    assert replica.predicted({"a": 1}, params=given)["predictions"][0]["params"] == {**defaults, **given}
    refused = replica.predict({"a": 1}, params={"factr": 1, "count": "many", "names": "y"})
    assert refused.status_code == 422
    assert {entry["field"]: entry["detail"] for entry in refused.json()["errors"]} == {
        "params.factr": "unexpected, the model takes factor, names, count, flag",
        "params.names": "wants a list",
        "params.count": "wants integers",
    }
    assert replica.predict({"a": 1}, params=[1]).status_code == 422


def test_named_tensors_are_passed_as_arrays(registry: Registry) -> None:
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("float32"), (-1, 2), "image"), TensorSpec(np.dtype("int64"), (-1,), "id")])
    )
    replica = _echo(registry, "echo-tensors", signature)
    assert replica.predicted({"image": [[1, 2]], "id": [7]})["predictions"] == [
        {"image": ["float32", 1, 2], "id": ["int64", 1]}
    ]
    assert replica.predict({"image": [[1, 2, 3]], "id": [7]}).status_code == 422
    inputs = [
        {"name": "id", "shape": [1], "datatype": "INT64", "data": [7]},
        {"name": "image", "shape": [1, 2], "datatype": "FP32", "data": [1, 2]},
    ]
    assert replica.post("/infer", {"inputs": inputs}).status_code == 200


def test_nested_columns_are_passed_as_objects(registry: Registry) -> None:
    frame = pd.DataFrame({"words": [["a", "b"]], "user": [{"id": 1}]})
    replica = _echo(registry, "echo-nested", infer_signature(frame))
    assert replica.predicted([{"words": ["a"], "user": {"id": 2}}])["predictions"][0]["rows"] == 1


def test_type_hints_define_the_input(registry: Registry) -> None:
    replica = registry.replica("hinted", log_function, python_model=Hinted())
    assert replica.predicted(["a", "b"])["predictions"] == ["A", "B"]
    refused = replica.predict([1])
    assert refused.status_code == 422


def test_values_that_are_not_json_become_json(registry: Registry) -> None:
    replica = registry.replica("mixed", log_function, python_model=Mixed())
    first, second = replica.predicted([[1]])["predictions"]
    assert first == {
        "integer": 1,
        "real": None,
        "single": float(np.float32(0.1)),
        "time": "2026-01-31T12:00:00",
        "text": "a",
        "list": [1, 2],
        "huge": 2**70,
        "date": "2026-01-31",
        "flag": True,
    }
    assert second["integer"] == 2**53 + 1
    assert (second["real"], second["time"], second["text"], second["list"]) == (None, None, None, {"b": "aGk="})


def test_failing_model_is_500_without_its_traceback(registry: Registry) -> None:
    replica = registry.replica("fails", log_function, python_model=Fails())
    failed = replica.predict([[1]])
    assert failed.status_code == 500
    assert failed.json()["code"] == "prediction_failed"
    assert "RuntimeError: the disk is full" in failed.json()["detail"]
    assert "Traceback" not in failed.text
    assert replica.post("/infer", {"inputs": [{"name": "a", "shape": [1], "datatype": "FP64", "data": [1]}]}).status_code == 500
    assert replica.post("/invocations", {"inputs": [[1]]}).status_code == 400


@pytest.mark.parametrize(
    ("uri", "said"),
    [("models:/no-such-model/1", "no-such-model"), ("runs:/0123456789abcdef/model", "0123456789abcdef")],
)
def test_missing_model_does_not_load(registry: Registry, uri: str, said: str) -> None:
    with pytest.raises(RuntimeError, match="x version 1 does not load") as raised:
        load_model("x", "1", uri, registry.url)
    assert said in str(raised.value)


def test_missing_package_is_named(registry: Registry) -> None:
    uri = registry.register("packageless", log_function, loader_module="a_module_nobody_has")
    with pytest.raises(RuntimeError) as raised:
        load_model("packageless", "1", uri, registry.url)
    assert str(raised.value).startswith(
        "packageless version 1 does not load. ModuleNotFoundError: No module named 'a_module_nobody_has'"
    )
    assert "add the package that holds it to the job's requirements." in str(raised.value)
    assert str(raised.value).endswith("log the model with it: log_model(…, code_paths=['a_module_nobody_has']).")
