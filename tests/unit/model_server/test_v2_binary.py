"""Tensors as raw bytes in requests and answers, and their errors."""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.model_server.codecs.open_inference import binary_tensors
from serve_apps.model_server.codecs.open_inference.datatypes import DTYPES
from serve_apps.model_server.inputs.features import Features
from serve_apps.model_server.inputs.schema import Anything
from serve_apps.model_server.model import Model
from serve_apps.model_server.server.asgi import ReplicaApp

_ROUTE = "/v2/models/m/versions/7"
_HEADER = "Inference-Header-Content-Length"


class Echo:
    """Returns its input, so that tests see what arrived."""

    flavor = "sklearn"
    predicts_labels = False
    features = Features()
    refusals: tuple[type[Exception], ...] = ()
    classes: Sequence[Any] | None = None

    def predict(self, batch: Any, params: Mapping[str, Any]) -> Any:
        return batch

    def probabilities(self, batch: Any) -> Any:
        raise NotImplementedError


def _infer(request: dict[str, Any], raw: bytes, **headers: str) -> httpx.Response:
    text = json.dumps(request).encode()
    app = ReplicaApp(Model("m", "7", Echo(), Anything(), None, "3.17.2"))

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(app, root_path=_ROUTE)  # pyright: ignore[reportArgumentType]
        async with httpx.AsyncClient(transport=transport, base_url="http://replica") as client:
            return await client.post(f"{_ROUTE}/infer", content=text + raw, headers={_HEADER: str(len(text)), **headers})

    return asyncio.run(ask())


def _tensor(datatype: str, shape: list[int], size: int, **more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}, **more}


@pytest.mark.parametrize("datatype", sorted(DTYPES.keys() - {"BYTES", "BF16"}))
def test_numbers_are_returned_unchanged(datatype: str) -> None:
    array = np.array([[0, 1, 1], [1, 0, 1]], dtype=DTYPES[datatype])
    raw = array.astype(array.dtype.newbyteorder("<")).tobytes()
    request = {"inputs": [_tensor(datatype, [2, 3], len(raw))], "parameters": {"binary_data_output": True}}
    answer = _infer(request, raw)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/octet-stream"
    length = int(answer.headers[_HEADER])
    (output,) = json.loads(answer.content[:length])["outputs"]
    assert output == {
        "name": "predict",
        "shape": [2, 3],
        "datatype": datatype,
        "parameters": {"binary_data_size": len(raw)},
    }
    assert answer.content[length:] == raw


def test_text_is_returned_unchanged() -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text for text in ("köln".encode(), b"", b"\x00"))
    request = {"inputs": [_tensor("BYTES", [3, 1], len(raw))], "parameters": {"binary_data_output": True}}
    answer = _infer(request, raw)
    length = int(answer.headers[_HEADER])
    assert json.loads(answer.content[:length])["outputs"][0]["datatype"] == "BYTES"
    assert answer.content[length:] == raw


def test_bytes_that_are_not_text_are_refused_with_their_row() -> None:
    raw = b"".join(struct.pack("<I", len(text)) + text for text in (b"text", b"\xff\x00"))
    refused = _infer({"inputs": [_tensor("BYTES", [2, 1], len(raw))]}, raw)
    assert refused.status_code == 400
    assert "inputs[0] (x) holds b'\\xff\\x00' in row 1, which is not UTF-8 text" in refused.json()["error"]
    assert "binary" in refused.json()["error"]


def test_bfloat16_is_read() -> None:
    raw = np.array([1.5, -2.0], dtype=np.float32).view(np.uint32).astype(np.uint64)
    halves = (raw >> 16).astype("<u2").tobytes()
    answer = _infer({"inputs": [_tensor("BF16", [1, 2], 4)]}, halves)
    assert answer.json()["outputs"][0] == {"name": "predict", "shape": [1, 2], "datatype": "FP32", "data": [1.5, -2.0]}


def test_each_output_chooses_its_own_form() -> None:
    raw = np.array([[1.0, 2.0]]).tobytes()
    request = {
        "inputs": [_tensor("FP64", [1, 2], len(raw))],
        "outputs": [{"name": "predict", "parameters": {"binary_data": False}}],
        "parameters": {"binary_data_output": True},
    }
    answer = _infer(request, raw)
    assert answer.headers["content-type"] == "application/json"
    assert _HEADER not in answer.headers
    assert answer.json()["outputs"][0]["data"] == [1.0, 2.0]


def test_raw_and_json_tensors_can_be_mixed() -> None:
    raw = np.array([1, 2], dtype=np.int64).tobytes()
    written = {"name": "b", "shape": [2], "datatype": "FP64", "data": [0.5, 1.5]}
    answer = _infer({"inputs": [written, {**_tensor("INT64", [2], len(raw)), "name": "a"}]}, raw)
    assert {output["name"]: output["data"] for output in answer.json()["outputs"]} == {"b": [0.5, 1.5], "a": [1, 2]}


@pytest.mark.parametrize(
    ("tensor", "raw", "said"),
    [
        (_tensor("FP64", [1, 2], 16), bytes(15), "wants 16 raw bytes; the body has 15 left"),
        (_tensor("FP64", [1, 2], 8), bytes(8), "has 8 raw bytes; FP64 of the shape [1, 2] takes 16"),
        (_tensor("FP64", [1, 2], 16), bytes(20), "4 raw bytes more"),
        (_tensor("FP64", [1, 2], -1), b"", "write the number of its bytes"),
        (_tensor("FP64", [1, 2], 16, data=[1, 2]), bytes(16), "has both data and"),
        (_tensor("BYTES", [1], 5), b"\x02\x00\x00\x00a", "0 BYTES elements in 5 raw bytes; its shape wants 1"),
        (_tensor("BYTES", [1], 10), b"\x01\x00\x00\x00a\x01\x00\x00\x00b", "2 BYTES elements in 10 raw bytes"),
        (_tensor("BYTES", [2**40], 0), b"", "0 BYTES elements in 0 raw bytes"),
        (_tensor("BYTES", [1], 4), b"\xff\xff\xff\xff", "0 BYTES elements in 4 raw bytes"),
        (_tensor("FP64", [10**18, 10], 8), bytes(8), "has 8 raw bytes"),
        # 2**64: zero if counted in 64 bits.
        (_tensor("FP64", [2**32, 2**32], 0), b"", "has 0 raw bytes"),
    ],
)
def test_malformed_tensors_are_refused_with_a_reason(tensor: dict[str, Any], raw: bytes, said: str) -> None:
    refused = _infer({"inputs": [tensor]}, raw)
    assert (refused.status_code, list(refused.json())) == (400, ["error"])
    assert said in refused.json()["error"]


@pytest.mark.parametrize("length", ["x", "-1", "99999", "1.5", "+2", "1" * 5000])
def test_malformed_header_length_is_refused(length: str) -> None:
    refused = _infer({"inputs": []}, b"", **{_HEADER: length})
    assert (refused.status_code, list(refused.json())) == (400, ["error"])


@given(st.lists(st.binary(max_size=20), max_size=8))
def test_random_bytes_are_returned_unchanged(elements: list[bytes]) -> None:
    array = np.empty(len(elements), dtype=object)
    array[:] = elements
    raw = binary_tensors.to_raw(array)
    assert binary_tensors.from_raw(memoryview(raw), "BYTES", (len(elements),), "x").tolist() == elements
