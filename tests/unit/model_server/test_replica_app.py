"""Routes, methods, bodies and errors of the replica, with a fake predictor."""

from __future__ import annotations

import asyncio
import gzip
import json
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from openapi_spec_validator import validate

from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.inputs.array import PlainArray
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.inputs.schema import Schema
from serve_apps.model_server.inputs.signature import Column, Parameter, Signature
from serve_apps.model_server.model import Model
from serve_apps.model_server.server import asgi
from serve_apps.model_server.server.asgi import ReplicaApp

_ROUTE = "/v2/models/m/versions/7"


class FakePredictor:
    flavor = "sklearn"
    predicts_labels = True
    features = Features()
    refusals: tuple[type[Exception], ...] = (ValueError,)

    def __init__(self, answer: Any = None, *, classes: Sequence[Any] | None = None) -> None:
        self.answer = answer
        self.classes = classes
        self.threads: list[str] = []

    def predict(self, batch: Any, params: Mapping[str, Any]) -> Any:
        self.threads.append(threading.current_thread().name)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer(batch) if callable(self.answer) else np.zeros(len(batch))

    def probabilities(self, batch: Any) -> Any:
        return np.full((len(batch), 2), 0.5)


def _model(predictor: FakePredictor | None = None, schema: Schema | None = None, signature: Signature | None = None) -> Model:
    return Model("m", "7", predictor or FakePredictor(), schema or PlainArray(None, (-1, 2)), signature, "3.17.2")


def _ask(app: ReplicaApp, method: str, path: str, **arguments: Any) -> httpx.Response:
    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, root_path=_ROUTE)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            return await client.request(method, _ROUTE + path, **arguments)

    return asyncio.run(ask())


def _predict(body: Any, **model: Any) -> httpx.Response:
    return _ask(ReplicaApp(_model(**model)), "POST", "/predict", json=body)


def test_answer_is_complete() -> None:
    answer = _predict({"model_name": "x", "model_version": 3, "alias": None, "inputs": [[1, 2]]})
    assert answer.status_code == 200
    body = answer.json()
    assert body.pop("inference_time_ms") >= 0
    assert body == {"model_name": "m", "model_version": "7", "predictions": [0.0]}


@pytest.mark.parametrize(("method", "path"), [("POST", "/predict"), ("POST", "/nothing"), ("GET", "/ready"), ("GET", "")])
def test_every_answer_names_its_version(method: str, path: str) -> None:
    answer = _ask(ReplicaApp(_model()), method, path, json={"inputs": [[1, 2]]})
    assert answer.headers["x-raylift-model-version"] == "7"


def test_answer_names_the_rows_of_its_request() -> None:
    assert _predict({"inputs": [[1.0, 2.0], [3.0, 4.0]]}).headers["x-raylift-rows"] == "2"
    assert "x-raylift-rows" not in _predict({"inputs": "none"}).headers


def test_probabilities_are_returned_on_request() -> None:
    answer = _predict({"inputs": [[1, 2]], "return_probabilities": True}, predictor=FakePredictor(classes=["no", "yes"])).json()
    assert (answer["probabilities"], answer["classes"]) == ([[0.5, 0.5]], ["no", "yes"])


def _predict_csv(body: bytes, query: str = "", **model: Any) -> httpx.Response:
    app = ReplicaApp(_model(**model))
    return _ask(app, "POST", f"/predict{query}", content=body, headers={"content-type": "text/csv"})


def test_csv_gets_the_same_answer_as_json() -> None:
    schema = NamedColumns((Column("age", ColumnType.LONG), Column("city", ColumnType.STRING)))
    predictor = FakePredictor(lambda batch: batch["city"].to_numpy(), classes=["no", "yes"])
    query = "?model_name=m&return_probabilities=true"
    answer = _predict_csv(b"city,age\n01,1\nNA,2\n", query, predictor=predictor, schema=schema)
    assert answer.status_code == 200, answer.text
    assert (answer.json()["predictions"], len(answer.json()["probabilities"])) == (["01", "NA"], 2)
    assert "probabilities" not in _predict_csv(b"city,age\n01,1\n", schema=schema).json()


@pytest.mark.parametrize("query", ["?x=1", "?return_probabilities=1", "?return_probabilities=true&return_probabilities=true"])
def test_unknown_query_of_a_csv_is_refused(query: str) -> None:
    assert _predict_csv(b"a,b\n1,2\n", query).status_code == 422


@pytest.mark.parametrize(("body", "status"), [(b"a,b\n1\n", 400), (b"a\n1\n", 422), (b"a,b\n1,2\n", 200)])
def test_csv_that_does_not_fit_is_refused(body: bytes, status: int) -> None:
    assert _predict_csv(body).status_code == status


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"input": [[1, 2]]}, ["input", "inputs"]),
        ({"inputs": [[1, 2]], "return_probabilities": 1}, ["return_probabilities"]),
        ({"inputs": 1}, ["inputs"]),
        ({"inputs": None}, ["inputs"]),
        ({"inputs": []}, ["inputs"]),
        ({"inputs": {}}, ["inputs"]),
        ({"inputs": [1, 2]}, ["inputs"]),
        ({"inputs": [[1, 2], {"a": 1}]}, ["inputs[1]"]),
        ({"inputs": [{"a": 1, "b": 2}, {"a": 1}]}, ["inputs[1].b"]),
        ({"inputs": [{"a": 1, "b": 2}, [1, 2]]}, ["inputs[1]"]),
        ({"inputs": [[1, 2]], "params": {"x": 1}}, ["params.x"]),
        ({"inputs": [[1, 2]], "params": None}, ["params"]),
        ({"inputs": [[1, 2]], "return_probabilities": True}, ["return_probabilities"]),
    ],
)
def test_wrong_requests_name_their_fields(body: dict[str, Any], fields: list[str]) -> None:
    answer = _predict(body)
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert [entry["field"] for entry in problem["errors"]] == fields
    assert problem["status"] == 422
    assert problem["title"] == "Unprocessable Entity"
    assert problem["type"] == f"urn:raylift:error:{problem['code']}"
    assert problem["instance"] == f"{_ROUTE}/predict"


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"1", b"\xff\xfe", b'{"inputs": NaN', b"[" * 100_000])
def test_body_that_is_no_object_is_400(body: bytes) -> None:
    answer = _ask(ReplicaApp(_model()), "POST", "/predict", content=body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == "malformed_body"


def test_python_style_nan_is_read() -> None:
    answer = _ask(
        ReplicaApp(_model(FakePredictor(lambda batch: batch[:, 0]))),
        "POST",
        "/predict",
        content=b'{"inputs": [[NaN, -Infinity]]}',
    )
    assert answer.json()["predictions"] == [None]


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"instances": [[1.0, 2.0]]}, 200, '{"predictions":[0.0]}'),
        ({"instances": [[1.0, 2.0]], "signature_name": "serving_default"}, 200, '{"predictions":[0.0]}'),
        ({"instances": [[1.0]]}, 400, "The model wants 2 features, got 1"),
        ({"instances": 1}, 400, "The body is no V1 request"),
        ({"inputs": [[1.0, 2.0]]}, 400, "The body is no V1 request"),
        ({"instances": [[1.0, 2.0]], "rows": 1}, 400, "Unknown fields: rows"),
    ],
)
def test_kserve_v1_requests_are_answered(body: Any, status: int, said: str) -> None:
    answer = _ask(ReplicaApp(_model()), "POST", "/v1:predict", json=body)
    assert answer.status_code == status
    assert said in answer.text
    assert status == 200 or list(answer.json()) == ["error"]


@pytest.mark.parametrize(
    ("datatype", "data", "said"),
    [
        ("INT32", [1, 1.5], "inputs[0] (x) holds 1.5 in row 0, which is not INT32 (-2147483648 to 2147483647)."),
        ("UINT8", [float("nan"), 1], "inputs[0] (x) holds nan in row 0, which is not UINT8 (0 to 255)."),
        (
            "INT64",
            [[1, float("inf")]],
            "inputs[0] (x) holds inf in row 0, which is not INT64 (-9223372036854775808 to 9223372036854775807).",
        ),
        ("BOOL", [0, 2], "inputs[0] (x) holds 2 in row 0, which is not BOOL."),
    ],
)
def test_tensor_values_that_would_be_truncated_are_refused(datatype: str, data: list[Any], said: str) -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": datatype, "data": data}
    body = json.dumps({"inputs": [tensor]}).encode()
    answer = _ask(ReplicaApp(_model()), "POST", "/infer", content=body)
    assert (answer.status_code, answer.json()) == (400, {"error": said})


@pytest.mark.parametrize(
    ("shape", "data", "said"),
    [
        ([], [1.0], "has 0 dimensions; it wants 1 to 32"),
        ([0, 2**62], [], "which no array has"),
        ([1] * 99 + [2], [1.0, 2.0], "has 100 dimensions"),
    ],
)
def test_impossible_shapes_are_refused(shape: list[int], data: list[float], said: str) -> None:
    tensor = {"name": "x", "shape": shape, "datatype": "FP64", "data": data}
    answer = _ask(ReplicaApp(_model()), "POST", "/infer", json={"inputs": [tensor]})
    assert answer.status_code == 400
    assert said in answer.json()["error"]


def test_null_means_not_set() -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": "FP64", "data": [1, 2], "parameters": None}
    body = {"id": None, "parameters": None, "inputs": [tensor]}
    for outputs in (None, [{"name": "predict", "parameters": None}]):
        answer = _ask(ReplicaApp(_model()), "POST", "/infer", json={**body, "outputs": outputs})
        assert answer.json()["outputs"][0]["data"] == [0.0], answer.text
        assert "id" not in answer.json()


@pytest.mark.parametrize("path", ["/predict", "/infer", "/invocations", "/v1:predict"])
def test_compressed_bodies_are_refused(path: str) -> None:
    headers = {"content-encoding": "gzip", "content-type": "application/json"}
    answer = _ask(ReplicaApp(_model()), "POST", path, content=gzip.compress(b"{}"), headers=headers)
    assert answer.status_code == 415
    assert "not gzip-encoded" in answer.text


@pytest.mark.parametrize(("datatype", "data"), [("INT32", [1, 2.0]), ("INT8", [True, 1]), ("BOOL", [1, False])])
def test_tensor_values_that_fit_are_accepted(datatype: str, data: list[Any]) -> None:
    tensor = {"name": "x", "shape": [1, 2], "datatype": datatype, "data": data}
    assert _ask(ReplicaApp(_model()), "POST", "/infer", json={"inputs": [tensor]}).status_code == 200


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(ValueError("too hot"), 422, "inputs_refused"), (OSError("no disk"), 500, "prediction_failed")],
)
def test_errors_of_the_model_have_their_statuses(error: Exception, status: int, code: str) -> None:
    answer = _predict({"inputs": [[1, 2]]}, predictor=FakePredictor(error))
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert str(error) in answer.json()["detail"]


def test_answer_that_is_no_json_is_500_in_the_protocol_s_form() -> None:
    model = _model(FakePredictor(lambda batch: [object()]))
    app = ReplicaApp(model)
    failed = _ask(app, "POST", "/predict", json={"inputs": [[1, 2]]})
    assert (failed.status_code, failed.json()["code"]) == (500, "prediction_failed")
    assert "values of the type object" in failed.json()["detail"]
    assert list(_ask(app, "POST", "/invocations", json={"inputs": [[1, 2]]}).json()) == ["error_code", "message"]


class _FailingCodec(RayliftCodec):
    def encode(self, result: Any, request: Any, model: Any) -> Any:
        raise KeyError("/secret/place")


def test_defect_of_the_replica_is_500_without_its_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asgi, "RayliftCodec", _FailingCodec)
    failed = _ask(ReplicaApp(_model()), "POST", "/predict", json={"inputs": [[1, 2]]})
    assert (failed.status_code, failed.json()["code"]) == (500, "internal_error")
    assert failed.json()["detail"] == "The replica failed on this request. Its log has the reason."


@pytest.mark.parametrize(
    ("method", "path", "status", "allow"),
    [
        ("GET", "/predict", 405, "POST"),
        ("GET", "/infer", 405, "POST"),
        ("PUT", "/invocations", 405, "POST"),
        ("POST", "/ready", 405, "GET, HEAD"),
        ("DELETE", "", 405, "GET, HEAD"),
        ("GET", "/nothing", 404, None),
        ("POST", "/predict/more", 404, None),
    ],
)
def test_wrong_methods_and_paths_are_refused(method: str, path: str, status: int, allow: str | None) -> None:
    answer = _ask(ReplicaApp(_model()), method, path)
    assert answer.status_code == status
    assert answer.headers.get("allow") == allow


@pytest.mark.parametrize("path", ["/predict", "/infer", "/invocations"])
def test_body_over_the_limit_is_413(path: str) -> None:
    answer = _ask(
        ReplicaApp(_model(), max_body_bytes=100), "POST", path, content=b" " * 101, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 413


def test_body_in_pieces_is_joined_and_measured() -> None:
    async def pieces() -> Any:
        for piece in (b'{"inputs"', b": [[1,", b" 2]]}"):
            yield piece

    assert _ask(ReplicaApp(_model()), "POST", "/predict", content=pieces()).status_code == 200
    assert _ask(ReplicaApp(_model(), max_body_bytes=12), "POST", "/predict", content=pieces()).status_code == 413


def test_slow_model_delays_no_other_request() -> None:
    """During a prediction, the replica still reports that it is ready."""
    may_end = threading.Event()

    def slow(batch: Any) -> Any:
        assert may_end.wait(30)
        return np.zeros(len(batch))

    predictor = FakePredictor()
    app = ReplicaApp(_model(predictor, schema=PlainArray(None, (-1, -1))))  # It cannot be timed, so it counts as slow.
    predictor.answer = slow

    async def ask() -> tuple[int, int]:
        transport = httpx.ASGITransport(app, root_path=_ROUTE)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            predicting = asyncio.create_task(client.post(f"{_ROUTE}/predict", json={"inputs": [[1, 2]]}))
            ready = await client.get(f"{_ROUTE}/ready")
            assert not predicting.done()
            may_end.set()
            return ready.status_code, (await predicting).status_code

    assert asyncio.run(ask()) == (200, 200)


def test_quick_model_answers_on_the_loop_unless_the_body_is_large() -> None:
    predictor = FakePredictor()
    app = ReplicaApp(_model(predictor))
    predictor.threads.clear()
    _ask(app, "POST", "/predict", json={"inputs": [[1, 2]]})
    _ask(app, "POST", "/predict", json={"inputs": [[1, 2]] * 20_000})
    assert predictor.threads[0] == "MainThread"
    assert predictor.threads[1].startswith("predict")


@pytest.mark.parametrize(
    "model",
    [
        _model(),
        _model(FakePredictor(classes=["a", "b"])),
        _model(
            schema=NamedColumns(tuple(Column(kind.value, kind, required=kind is not ColumnType.DOUBLE) for kind in ColumnType)),
            signature=Signature(
                params=(Parameter("factor", ColumnType.DOUBLE, 1.0), Parameter("names", ColumnType.STRING, [], is_list=True))
            ),
        ),
    ],
)
def test_document_is_valid_openapi(model: Model) -> None:
    document = _ask(ReplicaApp(model), "GET", "/openapi.json").json()
    validate(document)
    assert document["servers"] == [{"url": _ROUTE}]
    assert set(document["paths"]) == {"/", "/predict", "/infer", "/invocations", "/ready"}


def test_document_has_the_types_of_the_signature() -> None:
    schema = NamedColumns((Column("age", ColumnType.LONG), Column("note", ColumnType.STRING, required=False)))
    document = json.loads(_ask(ReplicaApp(_model(schema=schema)), "GET", "/openapi.json").content)
    body = document["paths"]["/predict"]["post"]["requestBody"]["content"]["application/json"]["schema"]
    columns, records, rows = body["properties"]["inputs"]["anyOf"]
    assert columns["required"] == ["age"]
    assert records["items"]["properties"]["age"] == {"type": "integer", "format": "int64"}
    assert (rows["items"]["minItems"], rows["items"]["maxItems"]) == (2, 2)


async def test_request_of_a_disconnected_client_is_not_computed() -> None:
    go, started = threading.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def slow(batch: Any) -> Any:
        loop.call_soon_threadsafe(started.set)
        assert go.wait(30)
        return np.zeros(len(batch))

    predictor = FakePredictor(slow)
    predictor.flavor = "python_function"  # never quick
    app = ReplicaApp(_model(predictor))
    running = [asyncio.create_task(_post(app, None)) for _ in range(4)]  # as many as there are threads
    await started.wait()
    gone, stays = asyncio.Event(), asyncio.create_task(_post(app, None))
    waiting = asyncio.create_task(_post(app, gone))
    await asyncio.sleep(0)
    gone.set()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    go.set()
    assert await asyncio.gather(*running, stays) == [200] * 5
    assert len(predictor.threads) == 5


async def _post(app: ReplicaApp, gone: asyncio.Event | None) -> int:
    sent: list[Any] = []
    messages = [{"type": "http.request", "body": b'{"inputs": [[1, 2]]}'}]

    async def receive() -> dict[str, Any]:
        if messages:
            return messages.pop()
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": f"{_ROUTE}/predict", "root_path": _ROUTE, "headers": []}
    await app(scope, receive, send)
    return sent[0]["status"]
