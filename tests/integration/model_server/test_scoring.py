"""``/invocations`` beside MLflow's own scoring server, with the same models and the same bodies."""

from __future__ import annotations

import asyncio
import json
import warnings
from dataclasses import dataclass
from typing import Any

import httpx
import mlflow
import numpy as np
import pandas as pd
import pytest
import xgboost
from mlflow.models import convert_input_example_to_serving_input, infer_signature
from mlflow.pyfunc import load_model as load_function
from mlflow.pyfunc.model import PythonModel
from mlflow.pyfunc.scoring_server import init
from sklearn.datasets import load_iris
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from serve_apps.model_server.codecs.mlflow_scoring import PARQUET
from tests.integration.model_server.replicas import Registry, Replica, log_function, log_sklearn, log_xgboost

_IRIS: Any = load_iris(as_frame=True)
_DATA: Any = _IRIS.data
_ROWS = _DATA[::25]
_SPECIES = np.array(["setosa", "versicolor", "virginica"])[_IRIS.target]


_NUMBERED = pd.DataFrame(_DATA.to_numpy())
_TAGGED = {"scores": [1, 2, 3], "tags": ["a", "b"]}
_TEXTS = np.array(["good day", "bad night", "nice day", "awful night"])


class Sums(PythonModel):
    """Takes and returns a frame."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        factor = (params or {}).get("factor", 1)
        total = pd.DataFrame(model_input).sum(axis=1, numeric_only=True) * factor
        return pd.DataFrame({"sum": total, "text": [f"{value:.1f}" for value in total]})


class Describes(PythonModel):
    """Returns its input."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        if isinstance(model_input, dict):
            return {name: str(np.asarray(values).dtype) for name, values in model_input.items()}
        return [type(model_input).__name__, str(np.shape(model_input))]


class Details(PythonModel):
    """Returns the types of its input's values, of a frame for each column."""

    def predict(self, context: Any, model_input: Any, params: Any = None) -> Any:
        if not isinstance(model_input, pd.DataFrame):
            return np.array(f"{type(model_input).__name__} {model_input}")
        values = {str(name): model_input[name].iloc[0] for name in model_input}
        return {name: f"{type(value).__name__} {value}" for name, value in values.items()}


@dataclass
class Pair:
    """The same version behind the replica and behind MLflow's server."""

    replica: Replica
    mlflow_app: Any

    def ours(self, content: bytes, content_type: str = "application/json") -> httpx.Response:
        return self.replica.request("POST", "/invocations", content=content, headers={"content-type": content_type})

    def theirs(self, content: bytes, content_type: str = "application/json") -> httpx.Response:
        async def ask() -> httpx.Response:
            transport = httpx.ASGITransport(self.mlflow_app)
            async with httpx.AsyncClient(transport=transport, base_url="http://mlflow") as client:
                return await client.post("/invocations", content=content, headers={"content-type": content_type})

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return asyncio.run(ask())


@pytest.fixture(scope="module")
def pairs(registry: Registry) -> dict[str, Pair]:
    frame_model = LogisticRegression(max_iter=500).fit(_DATA, _SPECIES)
    array_model = RandomForestRegressor(5, random_state=0).fit(_DATA.to_numpy(), _IRIS.target)
    booster = xgboost.train({"objective": "multi:softprob", "num_class": 3}, xgboost.DMatrix(_DATA.to_numpy(), _IRIS.target), 3)
    pickled = {"serialization_format": "cloudpickle"}
    params = infer_signature(_DATA, pd.DataFrame({"sum": [1.0], "text": ["a"]}), params={"factor": 2})
    logged: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
        "frame": (log_sklearn, (frame_model,), pickled),
        "frame-signed": (log_sklearn, (frame_model,), {**pickled, "signature": infer_signature(_DATA, _SPECIES)}),
        "array": (log_sklearn, (array_model,), pickled),
        "array-signed": (log_sklearn, (array_model,), {**pickled, "signature": infer_signature(_DATA.to_numpy())}),
        "booster": (log_xgboost, (booster,), {}),
        "function": (log_function, (), {"python_model": Sums()}),
        "function-signed": (log_function, (), {"python_model": Sums(), "signature": params}),
        "describes": (log_function, (), {"python_model": Describes()}),
        "numbered": (log_sklearn, (array_model,), {**pickled, "input_example": _NUMBERED[:3]}),
        "numbered-function": (log_function, (), {"python_model": Details(), "input_example": _NUMBERED[:3]}),
        "texts": (log_sklearn, (_words(),), {**pickled, "input_example": _TEXTS[:2]}),
        "tagged": (log_function, (), {"python_model": Details(), "input_example": _TAGGED}),
        "named": (log_function, (), {"python_model": Details(), "signature": infer_signature(pd.DataFrame({"x": ["a"]}))}),
        "unsigned": (log_function, (), {"python_model": Details()}),
    }
    return {name: _pair(registry, f"scored-{name}", *how) for name, how in logged.items()}


def _words() -> Any:
    model: Any = make_pipeline(CountVectorizer(), LogisticRegression())
    return model.fit(_TEXTS, [1, 0, 1, 0])


def _pair(registry: Registry, name: str, log: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> Pair:
    replica = registry.replica(name, log, *arguments, **options)
    return Pair(replica, init(load_function(f"models:/{name}/1")))


_SPLIT = {"dataframe_split": _ROWS.to_dict("split")}
_RECORDS = {"dataframe_records": _ROWS.to_dict("records")}
_COLUMNS = {"inputs": _ROWS.to_dict("list")}
_INSTANCES = {"instances": _ROWS.to_dict("records")}
_ARRAY = {"inputs": _ROWS.to_numpy().tolist()}
_ARRAY_INSTANCES = {"instances": _ROWS.to_numpy().tolist()}
_INTEGERS = {"dataframe_split": {"columns": list(_DATA.columns), "data": [[5, 3, 1, 0], [6, 3, 5, 2]]}}
_NUMERALS = {"dataframe_split": {"columns": list(_DATA.columns), "data": [["5.1", "3.5", "1.4", "0.2"]]}}
_EXTRA = {"dataframe_records": [{**record, "unasked": 1} for record in _RECORDS["dataframe_records"]]}


@pytest.mark.parametrize(
    ("name", "body"),
    [
        *[(name, body) for name in ("frame", "frame-signed") for body in (_SPLIT, _RECORDS, _INTEGERS)],
        *[("frame-signed", body) for body in (_COLUMNS, _INSTANCES, _EXTRA, _NUMERALS)],
        *[(name, body) for name in ("array", "array-signed") for body in (_ARRAY, _ARRAY_INSTANCES, _SPLIT)],
        *[("booster", body) for body in (_ARRAY, _ARRAY_INSTANCES)],
        *[("function", body) for body in (_SPLIT, _RECORDS, _COLUMNS, _ARRAY, {"dataframe_split": {"data": [[1, 2]]}})],
        *[
            ("function-signed", body)
            for body in (_SPLIT, {**_RECORDS, "params": {"factor": 3}}, {**_SPLIT, "params": {"x": 1}}, _INSTANCES)
        ],
        *[
            ("describes", body)
            for body in (_ARRAY, _COLUMNS, _SPLIT, {"inputs": "hello"}, {"instances": ["a", "b"]}, _INSTANCES)
        ],
        ("describes", {"messages": [{"role": "user", "content": "hi"}]}),
        ("describes", {"prompt": "hi", "n": 2}),
        *[
            (name, body)
            for name in ("numbered", "numbered-function")
            for body in (
                json.loads(convert_input_example_to_serving_input(_NUMBERED[:3])),
                {"dataframe_split": {"columns": [3, 2, 1, 0], "data": [[0.2, 1.4, 3.5, 5.1]]}},
                {"inputs": [[5.1, 3.5, 1.4, 0.2]]},
            )
        ],
        *[("texts", {form: ["nice day", "bad"]}) for form in ("inputs", "instances")],
        ("texts", {"dataframe_split": {"data": [["nice day"], ["bad"]]}}),
        ("tagged", json.loads(convert_input_example_to_serving_input(_TAGGED))),
        ("named", {"dataframe_records": [{"x": 1.5}]}),
        ("named", {"dataframe_records": [{"x": "a"}, {"x": None}]}),
        ("unsigned", {"inputs": 5.0}),
        ("unsigned", {"inputs": {"a": 1.5, "b": "text"}}),
    ],
)
def test_answers_equal_mlflow_s(pairs: dict[str, Pair], name: str, body: dict[str, Any]) -> None:
    content = json.dumps(body).encode()
    ours, theirs = pairs[name].ours(content), pairs[name].theirs(content)
    assert theirs.status_code == 200, theirs.text
    assert ours.status_code == 200, ours.text
    assert ours.json() == theirs.json()
    assert ours.headers["content-type"] == theirs.headers["content-type"]


@pytest.mark.parametrize("name", ["frame", "frame-signed", "array", "function", "function-signed"])
def test_answers_to_csv_equal_mlflow_s(pairs: dict[str, Pair], name: str) -> None:
    content = _ROWS.to_csv(index=False).encode()
    for content_type in ("text/csv", "text/csv; charset=utf-8"):
        ours, theirs = pairs[name].ours(content, content_type), pairs[name].theirs(content, content_type)
        assert theirs.status_code == 200, theirs.text
        assert ours.json() == theirs.json()


@pytest.mark.parametrize("name", ["frame", "frame-signed", "array", "function", "function-signed"])
def test_answers_to_parquet_equal_mlflow_s(pairs: dict[str, Pair], name: str) -> None:
    for content in (_ROWS.to_parquet(index=False), _ROWS.to_parquet()):
        ours, theirs = pairs[name].ours(content, PARQUET), pairs[name].theirs(content, PARQUET)
        assert theirs.status_code == 200, theirs.text
        assert ours.json() == theirs.json()


def test_malformed_parquet_is_refused(pairs: dict[str, Pair]) -> None:
    for content in (b"", b"PAR1", _ROWS.to_parquet()[:-20]):
        refused = pairs["frame"].ours(content, PARQUET)
        assert (refused.status_code, refused.json()["error_code"]) == (400, "BAD_REQUEST")
        assert "valid Parquet-formatted" in refused.json()["message"]


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("frame", b"{"),
        ("frame", b"[1]"),
        ("frame", b'"text"'),
        ("frame", b"{}"),
        ("frame", b'{"rows": [[1]]}'),
        ("frame", json.dumps({**_SPLIT, **_COLUMNS}).encode()),
        ("frame", b'{"dataframe_split": [1]}'),
        ("frame", b'{"dataframe_split": {"columns": ["a"]}}'),
        ("frame", b'{"dataframe_split": {"columns": ["a"], "data": [[1, 2]]}}'),
        ("frame", b'{"dataframe_records": {"a": 1}}'),
        ("frame", b'{"dataframe_records": [{"a": 1}]}'),
        ("frame-signed", b'{"dataframe_records": [{"a": 1}]}'),
        ("frame-signed", json.dumps({"dataframe_split": {"columns": list(_DATA.columns), "data": [["a", 1, 2, 3]]}}).encode()),
        ("frame-signed", b'{"inputs": {"a": [1]}}'),
        ("frame-signed", b'{"instances": [{"a": [1]}, {"b": 2}]}'),
        ("array", b'{"inputs": [[1, 2]]}'),
        ("array", b'{"inputs": [1, 2]}'),
        ("frame", b'{"inputs": {"sepal length (cm)": "text"}}'),
        ("frame", json.dumps({"inputs": dict.fromkeys(_DATA, "text")}).encode()),
        ("frame", json.dumps({"instances": [{name: [1, 2, 3] for name in _DATA}]}).encode()),
        ("array-signed", b'{"inputs": [[1, 2]]}'),
        ("array-signed", b'{"inputs": {"a": [1]}}'),
        ("function-signed", b'{"inputs": {"a": [1]}}'),
        ("function-signed", json.dumps({**_SPLIT, "params": {"factor": "much"}}).encode()),
    ],
)
def test_refusals_equal_mlflow_s(pairs: dict[str, Pair], name: str, body: bytes) -> None:
    ours, theirs = pairs[name].ours(body), pairs[name].theirs(body)
    assert ours.status_code == theirs.status_code == 400, (ours.text, theirs.text)
    assert ours.json()["error_code"] == theirs.json()["error_code"], (ours.text, theirs.text)
    assert "stack_trace" not in ours.json()
    assert "Traceback" not in ours.text


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/json; charset=latin-1", "application/json; version=2", "application/xml"]
)
def test_other_content_types_are_refused(pairs: dict[str, Pair], content_type: str) -> None:
    ours, theirs = pairs["frame"].ours(b"{}", content_type), pairs["frame"].theirs(b"{}", content_type)
    assert ours.status_code == theirs.status_code == 415
    assert ours.headers["content-type"].startswith("text/plain")


def test_python_style_nan_is_taken_and_returned_as_null(pairs: dict[str, Pair]) -> None:
    body = json.dumps({"dataframe_records": [{"a": float("nan"), "b": 1.0}]}).encode()
    ours = pairs["function"].ours(body)
    assert ours.json() == {"predictions": [{"sum": 1.0, "text": "1.0"}]}
    boosted = pairs["booster"].ours(b'{"inputs": [[NaN, 1, 2, 3]]}')
    assert boosted.json() == pairs["booster"].theirs(b'{"inputs": [[NaN, 1, 2, 3]]}').json()


def test_ping_health_and_version_answer(pairs: dict[str, Pair]) -> None:
    replica = pairs["frame"].replica
    for path in ("/ping", "/health"):
        assert (replica.get(path).status_code, replica.get(path).text) == (200, "\n")
    assert replica.get("/version").text == mlflow.__version__


def test_rows_deeper_than_arrays_are_refused(pairs: dict[str, Pair]) -> None:
    refused = pairs["frame-signed"].ours(b'{"inputs": ' + b"[" * 100 + b"1" + b"]" * 100 + b"}")
    assert refused.status_code == 400, refused.text


def test_rows_by_position_are_taken_unlike_in_mlflow(pairs: dict[str, Pair]) -> None:
    content = json.dumps(_ARRAY).encode()
    assert pairs["frame-signed"].theirs(content).status_code == 400
    assert pairs["frame-signed"].ours(content).json() == pairs["frame-signed"].ours(json.dumps(_SPLIT).encode()).json()
