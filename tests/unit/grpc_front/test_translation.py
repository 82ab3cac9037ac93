from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from google.protobuf.json_format import ParseDict
from tritonclient.grpc import service_pb2

from raylift.domain.errors import InvalidRequest
from serve_apps.grpc_front.messages import message
from serve_apps.grpc_front.translation import grpc_answer, http_body


def request(**fields: Any) -> Any:
    return ParseDict({"model_name": "m", **fields}, message("ModelInferRequest")())


def tensor(name: str, datatype: str, shape: list[int], **fields: Any) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": shape, **fields}


def sent(asked: Any) -> tuple[dict[str, Any], bytes]:
    body, length = http_body(asked)
    return json.loads(body[:length]), body[length:]


@pytest.mark.parametrize("name", sorted(service_pb2.DESCRIPTOR.message_types_by_name))
def test_messages_equal_triton_s(name: str) -> None:
    """Compares the common fields. The wire format has only numbers and types."""
    theirs = service_pb2.DESCRIPTOR.message_types_by_name[name]
    try:
        ours = message(name).DESCRIPTOR
    except KeyError:
        return
    assert [(f.name, f.number, f.type, f.is_repeated) for f in ours.fields] == [
        (f.name, f.number, f.type, f.is_repeated) for f in theirs.fields if f.name in ours.fields_by_name
    ]
    assert [nested.name for nested in ours.nested_types if not nested.name.endswith("Entry")] == [
        nested.name for nested in theirs.nested_types if not nested.name.endswith("Entry")
    ]


def test_raw_tensors_are_forwarded_unchanged() -> None:
    asked = request(id="7", inputs=[tensor("x", "FP32", [2]), tensor("y", "INT8", [1, 1])])
    asked.raw_input_contents.extend([b"\x00\x00\x80\x3f\x00\x00\x00\x40", b"\xff"])
    said, raw = sent(asked)
    assert raw == b"\x00\x00\x80\x3f\x00\x00\x00\x40\xff"
    assert said == {
        "id": "7",
        "inputs": [
            {"name": "x", "shape": [2], "datatype": "FP32", "parameters": {"binary_data_size": 8}},
            {"name": "y", "shape": [1, 1], "datatype": "INT8", "parameters": {"binary_data_size": 1}},
        ],
        "parameters": {"binary_data_output": True},
    }


@pytest.mark.parametrize(
    ("datatype", "field", "values", "raw"),
    [
        ("BOOL", "bool_contents", [True, False], b"\x01\x00"),
        ("INT8", "int_contents", [-1, 2], b"\xff\x02"),
        ("INT32", "int_contents", [-1, 2], struct.pack("<2i", -1, 2)),
        ("INT64", "int64_contents", [-1, 2], struct.pack("<2q", -1, 2)),
        ("UINT16", "uint_contents", [65535, 2], struct.pack("<2H", 65535, 2)),
        ("UINT64", "uint64_contents", [2**64 - 1, 2], struct.pack("<2Q", 2**64 - 1, 2)),
        ("FP32", "fp32_contents", [0.5, 2.0], struct.pack("<2f", 0.5, 2)),
        ("FP64", "fp64_contents", [0.1, 2.0], struct.pack("<2d", 0.1, 2)),
        ("BYTES", "bytes_contents", ["YWI=", ""], b"\x02\x00\x00\x00ab\x00\x00\x00\x00"),
    ],
)
def test_typed_contents_become_raw(datatype: str, field: str, values: list[Any], raw: bytes) -> None:
    assert sent(request(inputs=[tensor("x", datatype, [2], contents={field: values})]))[1] == raw


def test_parameters_and_outputs_are_forwarded() -> None:
    said, _ = sent(
        request(
            parameters={
                "content_type": {"string_param": "pd"},
                "n": {"int64_param": 3},
                "binary_data_output": {"bool_param": False},
            },
            inputs=[tensor("x", "BOOL", [1], contents={"bool_contents": [True]}, parameters={"f": {"double_param": 0.5}})],
            outputs=[{"name": "predict", "parameters": {"binary_data": {"bool_param": False}}}],
        )
    )
    assert said["parameters"] == {"content_type": "pd", "n": 3, "binary_data_output": True}
    assert said["inputs"][0]["parameters"] == {"f": 0.5, "binary_data_size": 1}
    assert said["outputs"] == [{"name": "predict", "parameters": {}}]


@pytest.mark.parametrize(
    ("datatype", "contents", "said"),
    [
        ("FP16", {}, "raw_input_contents"),
        ("FP65", {}, "known are"),
        ("FP64", {"fp32_contents": [1.0]}, "fp64_contents, not fp32_contents"),
        ("UINT8", {"uint_contents": [256]}, "not UINT8"),
    ],
)
def test_contents_of_a_wrong_length_are_refused(datatype: str, contents: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        http_body(request(inputs=[tensor("x", datatype, [1], contents=contents)]))


def test_raw_contents_of_a_wrong_length_are_refused() -> None:
    asked = request(inputs=[tensor("x", "INT8", [1]), tensor("y", "INT8", [1])])
    asked.raw_input_contents.append(b"\x01")
    with pytest.raises(InvalidRequest, match="2 inputs and 1 raw_input_contents"):
        http_body(asked)
    both = request(inputs=[tensor("x", "BOOL", [1], contents={"bool_contents": [True]})])
    both.raw_input_contents.append(b"\x01")
    with pytest.raises(InvalidRequest, match="use one of them"):
        http_body(both)


def test_answer_is_split_into_its_outputs() -> None:
    raw = np.array([1.5, 2.5]).tobytes()
    outputs = [
        {"name": "a", "shape": [2], "datatype": "FP64", "parameters": {"binary_data_size": 16}},
        {"name": "b", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 6}},
    ]
    text = json.dumps({"model_name": "m", "model_version": "3", "id": "7", "outputs": outputs}).encode()
    answer = grpc_answer(text + raw + b"\x02\x00\x00\x00ab", len(text))
    assert (answer.model_name, answer.model_version, answer.id) == ("m", "3", "7")
    assert [(output.name, output.datatype, list(output.shape)) for output in answer.outputs] == [
        ("a", "FP64", [2]),
        ("b", "BYTES", [1]),
    ]
    assert list(answer.raw_output_contents) == [raw, b"\x02\x00\x00\x00ab"]
