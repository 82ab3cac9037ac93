"""Unmodified clients of Triton, KServe and MLflow against a real platform."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import grpc
import httpx
import numpy as np
import pandas as pd
import psutil
import pytest
from mlflow.deployments import get_deploy_client
from mlflow.exceptions import MlflowException
from mlflow.models import convert_input_example_to_serving_input
from mlflow.pyfunc.scoring_server.client import ScoringServerClient
from tritonclient import grpc as grpc_triton
from tritonclient.http import InferenceServerClient, InferInput, InferRequestedOutput
from tritonclient.utils import InferenceServerException

from raylift.launcher.local_platform import LocalPlatform
from raylift.launcher.processes.platform_processes import pids_by_component
from tests.e2e.protocol_models import PEOPLE, ROWS, Served


@pytest.fixture
def triton(served: Served) -> Iterator[Any]:
    client = InferenceServerClient(served.url.removeprefix("http://"), network_timeout=120)
    yield client
    client.close()


def tensor(name: str, values: Any, datatype: str, *, binary: bool = True) -> InferInput:
    array = np.asarray(values)
    given = InferInput(name, list(array.shape), datatype)
    given.set_data_from_numpy(array, binary_data=binary)
    return given


def test_triton_client_reads_server_and_model_metadata(triton: Any, served: Served) -> None:
    iris = served.name("iris")
    assert triton.is_server_live()
    assert triton.is_server_ready()
    assert triton.is_model_ready(iris)
    assert triton.is_model_ready(iris, "1")
    assert not triton.is_model_ready("no-such-model")
    assert "binary_tensor_data" in triton.get_server_metadata()["extensions"]
    found = [entry for entry in triton.get_model_repository_index() if entry["name"] == iris]
    assert [(entry["version"], entry["state"]) for entry in found] == [("1", "READY")]
    described = triton.get_model_metadata(iris, "1")
    assert (described["name"], described["versions"]) == (iris, ["1"])
    assert described["inputs"] == [{"name": "input", "datatype": "FP64", "shape": [-1, 4]}]
    people = triton.get_model_metadata(served.name("people"))
    assert [(column["name"], column["datatype"]) for column in people["inputs"]] == [("age", "INT64"), ("city", "BYTES")]


@pytest.mark.parametrize("version", ["", "1"])
def test_triton_client_infers_with_its_defaults(triton: Any, served: Served, version: str) -> None:
    answer = triton.infer(served.name("iris"), [tensor("x", ROWS, "FP64")], model_version=version, request_id="7")
    assert (answer.get_response()["id"], answer.get_response()["model_version"]) == ("7", "1")
    assert answer.as_numpy("predict").tolist() == served.expected("iris", ROWS).tolist()


@pytest.mark.parametrize("binary_in", [True, False])
@pytest.mark.parametrize("binary_out", [True, False])
def test_triton_client_selects_outputs(triton: Any, served: Served, *, binary_in: bool, binary_out: bool) -> None:
    wanted = [InferRequestedOutput(name, binary_data=binary_out) for name in ("predict_proba", "predict")]
    answer = triton.infer(served.name("iris"), [tensor("x", ROWS, "FP64", binary=binary_in)], outputs=wanted)
    assert [output["name"] for output in answer.get_response()["outputs"]] == ["predict_proba", "predict"]
    assert np.array_equal(answer.as_numpy("predict_proba"), served.models["iris"].model.predict_proba(ROWS))
    assert answer.as_numpy("predict").tolist() == served.expected("iris", ROWS).tolist()


@pytest.mark.parametrize("binary", [True, False])
def test_triton_client_sends_and_receives_text(triton: Any, served: Served, *, binary: bool) -> None:
    cities = np.array(["Oslo", "Rome"], dtype=object)
    inputs = [tensor("city", cities, "BYTES", binary=binary), tensor("age", [[45], [23]], "INT64", binary=binary)]
    expected = served.expected("people", pd.DataFrame({"age": [45, 23], "city": ["Oslo", "Rome"]})).tolist()
    got = triton.infer(served.name("people"), inputs).as_numpy("predict")
    assert [value.decode() if isinstance(value, bytes) else value for value in got] == expected


def test_triton_client_passes_parameters(triton: Any, served: Served) -> None:
    column = [tensor("x", [1.0, 2.0], "FP64")]
    assert triton.infer(served.name("scale"), column, parameters={"factor": 3}).as_numpy("predict").tolist() == [3.0, 6.0]


def test_every_datatype_is_returned_unchanged(triton: Any, served: Served) -> None:
    columns: dict[str, Any] = {
        "BOOL": np.array([True, False]),
        "FP16": np.array([1.5, -2.0], np.float16),
        "FP32": np.array([0.1, 3e38], np.float32),
        "FP64": np.array([0.1, 1e308]),
        "BYTES": np.array([b"text", "gr\u00fcn".encode()], dtype=object),
    }
    for bits in (8, 16, 32, 64):
        for sign in ("", "U"):
            limits = np.iinfo(f"{sign.lower()}int{bits}")
            columns[f"{sign}INT{bits}"] = np.array([limits.min, limits.max], limits.dtype)
    answer = triton.infer(served.name("echo"), [tensor(name, array, name) for name, array in columns.items()])
    for name, array in columns.items():
        back = answer.as_numpy(name)
        assert answer.get_output(name)["datatype"] == name
        assert back.tolist() == array.tolist(), name


def test_triton_client_gets_clear_errors(triton: Any, served: Served) -> None:
    with pytest.raises(InferenceServerException, match="4 features, got 2") as refused:
        triton.infer(served.name("iris"), [tensor("x", [[1.0, 2.0]], "FP64")])
    assert refused.value.status() == "400"
    with pytest.raises(InferenceServerException, match="no-such-model") as absent:
        triton.infer("no-such-model", [tensor("x", [[1.0]], "FP64")])
    assert absent.value.status() == "404"


def test_triton_grpc_client_infers(platform: LocalPlatform, served: Served) -> None:
    iris, people = served.name("iris"), served.name("people")
    client: Any
    with grpc_triton.InferenceServerClient(platform.urls["grpc"]) as client:
        assert client.is_server_live()
        assert client.is_server_ready()
        assert client.is_model_ready(iris, "1")
        assert not client.is_model_ready("no-such-model")
        assert client.get_server_metadata().name == "raylift"
        assert iris in {entry.name for entry in client.get_model_repository_index().models}
        assert [(column.name, column.datatype) for column in client.get_model_metadata(people).inputs] == [
            ("age", "INT64"),
            ("city", "BYTES"),
        ]
        rows = grpc_triton.InferInput("x", list(ROWS.shape), "FP64")
        rows.set_data_from_numpy(ROWS)
        outputs = [grpc_triton.InferRequestedOutput(name) for name in ("predict_proba", "predict")]
        for version in ("", "1"):
            answer = client.infer(iris, [rows], model_version=version, outputs=outputs, request_id="7")
            assert (answer.get_response().id, answer.get_response().model_version) == ("7", "1")
            assert np.array_equal(answer.as_numpy("predict_proba"), served.models["iris"].model.predict_proba(ROWS))
        age, city = grpc_triton.InferInput("age", [2], "INT64"), grpc_triton.InferInput("city", [2], "BYTES")
        age.set_data_from_numpy(np.array([45, 23]))
        city.set_data_from_numpy(np.array(["Oslo", "Rome"], dtype=object))
        frame = pd.DataFrame({"age": [45, 23], "city": ["Oslo", "Rome"]})
        answered = client.infer(people, [age, city]).as_numpy("predict")
        assert [value.decode() for value in answered] == served.expected("people", frame).tolist()
        with pytest.raises(InferenceServerException, match="Missing column: age") as refused:
            client.infer(people, [city])
        assert refused.value.status() == "StatusCode.INVALID_ARGUMENT"
        with pytest.raises(InferenceServerException, match="no-such-model") as absent:
            client.infer("no-such-model", [rows])
        assert absent.value.status() == "StatusCode.NOT_FOUND"


def test_killed_grpc_front_restarts(platform: LocalPlatform) -> None:
    front = psutil.Process(pids_by_component(platform.record.instance)["grpc"])
    front.kill()
    front.wait(30)
    with grpc.insecure_channel(platform.urls["grpc"]) as channel:
        grpc.channel_ready_future(channel).result(timeout=60)


@pytest.mark.parametrize("model", ["iris", "people", "boosted", "light"])
def test_mlflow_scoring_client_gets_predictions(served: Served, model: str) -> None:
    address = urlsplit(served.url)
    route = f"{address.port}/v2/models/{served.name(model)}/versions/1"
    client = ScoringServerClient(address.hostname, route)
    client.wait_server_ready(timeout=60)
    assert client.get_version()
    example = served.models[model].example
    answer = client.invoke(example).get_predictions()
    assert answer[0].tolist() == served.expected(model, example).tolist()


def test_mlflow_scoring_client_passes_params(served: Served) -> None:
    address = urlsplit(served.url)
    client = ScoringServerClient(address.hostname, f"{address.port}/v2/models/{served.name('scale')}")
    frame = served.models["scale"].example
    assert client.invoke(frame).get_predictions()[0].tolist() == [2.0, 4.0]
    assert client.invoke(frame, {"factor": 3.0}).get_predictions()[0].tolist() == [3.0, 6.0]


@pytest.mark.parametrize("model", ["iris", "people", "boosted", "light", "scale"])
def test_mlflow_serving_input_of_each_flavour_is_answered(served: Served, model: str) -> None:
    logged = served.models[model]
    body = convert_input_example_to_serving_input(logged.example)
    kind = {"Content-Type": "application/json"}
    answer = httpx.post(f"{served.url}/v2/models/{served.name(model)}/invocations", content=body, headers=kind, timeout=120)
    assert answer.status_code == 200, answer.text
    expected = [2.0, 4.0] if model == "scale" else logged.expected(logged.example).tolist()
    assert answer.json()["predictions"] == expected


@pytest.mark.parametrize(
    ("content", "kind"),
    [(PEOPLE.to_csv(index=False).encode(), "text/csv"), (PEOPLE.to_parquet(), "application/vnd.apache.parquet")],
    ids=["csv", "parquet"],
)
def test_tables_of_mlflow_are_answered(served: Served, content: bytes, kind: str) -> None:
    for route in (served.name("people"), f"{served.name('people')}/versions/1"):
        url = f"{served.url}/v2/models/{route}/invocations"
        answer = httpx.post(url, content=content, headers={"Content-Type": kind}, timeout=120)
        assert answer.json() == {"predictions": served.expected("people", PEOPLE).tolist()}


def test_mlflow_deployments_command_and_client_work(platform: LocalPlatform, served: Served, tmp_path: Path) -> None:
    """The command for its output, its client for the rest: each command takes MLflow seconds to start."""
    name, target = f"{served.name('people')}/1", platform.url.replace("http://", "raylift://")

    def mlflow(command: str, *words: str) -> str:
        program = [str(Path(sys.executable).with_name("mlflow")), "deployments", command, "-t", target, *words]
        done = subprocess.run(program, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    said = mlflow("create", "--name", name, "-m", f"models:/{name}", "-C", "max_replicas=3")
    assert f"python_function deployment {name} is created" in said
    rows = tmp_path / "rows.json"
    PEOPLE.to_json(rows, orient="records")
    expected = served.expected("people", PEOPLE).tolist()
    assert json.loads(mlflow("predict", "--name", name, "-I", str(rows))) == {"predictions": expected}

    client: Any = get_deploy_client(target)
    assert name in {entry["name"] for entry in client.list_deployments()}
    assert client.get_deployment(name)["max_replicas"] == 3
    client.update_deployment(name, config={"max_replicas": 2})
    assert client.get_deployment(name)["max_replicas"] == 2
    assert client.predict(served.name("people"), PEOPLE).get_predictions("ndarray").tolist() == expected
    with pytest.raises(MlflowException, match=f"here --name {name}"):
        client.create_deployment("another", f"models:/{name}")
    client.delete_deployment(name)
    client.delete_deployment(name)
    assert name not in {entry["name"] for entry in client.list_deployments()}
    assert client.create_deployment(name, f"models:/{name}")["name"] == name
