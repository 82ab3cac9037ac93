"""Values of V2 input tensors: bounds, nulls, and content types."""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

from raylift.domain.errors import InvalidRequest
from serve_apps.model_server.codecs.open_inference.codec import OpenInferenceCodec
from serve_apps.model_server.inputs.column_type import ColumnType
from serve_apps.model_server.inputs.dataframe import NamedColumns
from serve_apps.model_server.inputs.schema import Anything, Schema
from serve_apps.model_server.inputs.signature import Column
from serve_apps.model_server.model import Model
from tests.unit.model_server.test_replica_app import FakePredictor

_WHEN = NamedColumns(
    (
        Column("text", ColumnType.STRING, required=False),
        Column("blob", ColumnType.BINARY, required=False),
        Column("when", ColumnType.DATETIME, required=False),
        Column("size", ColumnType.DOUBLE, required=False),
    )
)


def _read(tensors: list[dict[str, Any]], schema: Schema | None = None, **parameters: Any) -> Any:
    model = Model("m", "1", FakePredictor(), schema or Anything(), None, "3.17.2")
    body = json.dumps({"inputs": tensors, "parameters": parameters}).encode()
    return OpenInferenceCodec().decode(body, {}, model).batch


def _tensor(datatype: str, data: list[Any], content_type: str | None = None, name: str = "x") -> dict[str, Any]:
    parameters = {} if content_type is None else {"content_type": content_type}
    return {"name": name, "shape": [len(data)], "datatype": datatype, "data": data, "parameters": parameters}


@pytest.mark.parametrize(
    ("datatype", "data", "said"),
    [
        ("FP16", [0.5, 70000], "inputs[0] (x) holds 70000 in row 1, which is not FP16 (-65504.0 to 65504.0)"),
        ("FP16", [0.5, 70000.0], "holds 70000.0 in row 1"),
        ("FP32", [1e39], "holds 1e+39 in row 0, which is not FP32"),
        ("BF16", [1e39], "which is not BF16"),
        ("INT8", [1, 128], "holds 128 in row 1, which is not INT8 (-128 to 127)"),
        ("INT8", [300.0], "holds 300.0 in row 0, which is not INT8"),
        ("UINT8", [-1], "holds -1 in row 0, which is not UINT8 (0 to 255)"),
        ("UINT8", [-1.0], "holds -1.0 in row 0, which is not UINT8"),
        ("UINT64", [-1], "which is not UINT64"),
        ("INT64", [2**63], "which is not INT64"),
        ("UINT64", [2**64], "which is not UINT64"),
        ("INT32", ["1"], 'holds "1" in row 0, which is not INT32'),
        ("FP64", ["a"], 'holds "a" in row 0, which is not FP64'),
        ("BOOL", ["true"], 'holds "true" in row 0, which is not BOOL'),
    ],
)
def test_number_that_does_not_fit_is_refused(datatype: str, data: list[Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        _read([_tensor(datatype, data)])
    assert said in refused.value.detail


@pytest.mark.parametrize(
    ("datatype", "data"),
    [
        ("FP16", [65504.0, float("inf"), None]),
        ("FP32", [3, 3.4e38, float("nan")]),
        ("FP64", [1, 2]),
        ("INT8", [-128, 127.0, True]),
        ("UINT64", [2**64 - 1]),
        ("BOOL", [1, 0.0, False]),
    ],
)
def test_number_that_fits_is_accepted(datatype: str, data: list[Any]) -> None:
    given = [np.nan if value is None else float(value) for value in data]
    np.testing.assert_allclose(_read([_tensor(datatype, data)]).astype(np.float64), given, rtol=1e-6)


def test_nulls_of_integers_and_booleans_are_missing_values() -> None:
    frame = _read([_tensor("INT32", [1, None]), _tensor("BOOL", [True, None], name="y")])
    expected = pd.DataFrame({"x": [1, None], "y": [True, None]})
    pd.testing.assert_frame_equal(frame, expected)
    assert _read([_tensor("INT32", [1, None])], content_type="np").tolist() == [1, None]


@pytest.mark.parametrize("level", ["tensor", "request"])
def test_base64_is_decoded_to_text_and_to_bytes(level: str) -> None:
    texts = [base64.b64encode("ß".encode()).decode(), None]
    by_tensor = "base64" if level == "tensor" else None
    by_request: Any = {} if level == "tensor" else {"content_type": "base64"}
    frame = _read([_tensor("BYTES", texts, by_tensor, name) for name in ("text", "blob")], _WHEN, **by_request)
    assert frame["text"].tolist()[0] == "ß"
    assert frame["blob"].tolist() == ["ß".encode(), None]
    assert _read([_tensor("BYTES", texts, by_tensor)], **by_request).tolist() == ["ß".encode(), None]


def test_times_are_read_without_a_column_type() -> None:
    frame = _read([_tensor("BYTES", ["2026-01-31T12:00:00", None], "datetime"), _tensor("FP64", [1, 2], name="y")])
    assert frame["x"].tolist() == [pd.Timestamp("2026-01-31T12:00:00"), pd.NaT]
    typed = _read([_tensor("BYTES", ["2026-01-31T12:00:00", None], "datetime", "when")], _WHEN)
    assert typed["when"].tolist() == [pd.Timestamp("2026-01-31T12:00:00"), pd.NaT]
    assert _read([_tensor("BYTES", [None, "2026-01-31"], name="when")], _WHEN)["when"].isna().tolist() == [True, False]


@pytest.mark.parametrize(
    ("tensor", "parameters", "said"),
    [
        (_tensor("BYTES", ["ß"], "base64"), {}, 'inputs[0] (x) holds "ß" in row 0, which is not base64'),
        (_tensor("BYTES", ["w58=", "w5"], "base64"), {}, "in row 1, which is not base64"),
        (_tensor("BYTES", ["/w=="], "base64", "text"), {}, "in row 0, which is not UTF-8 text"),
        (_tensor("BYTES", ["soon"], "datetime"), {}, 'holds "soon" in row 0, which is not a date and time'),
        (_tensor("FP64", [1.5], "str"), {}, "has the content_type str, which wants BYTES, and is FP64"),
        (_tensor("BYTES", ["a"], "image/png"), {}, 'content_type "image/png"; known are np, pd, base64, datetime, str'),
        (_tensor("BYTES", ["a"]), {"content_type": "hf"}, 'The request has the content_type "hf"; known are'),
        (_tensor("BYTES", ["a"]), {"content_type": 1}, "The request has the content_type 1; known are"),
    ],
)
def test_content_that_contradicts_its_type_is_refused(tensor: dict[str, Any], parameters: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        _read([tensor], _WHEN if tensor["name"] == "text" else None, **parameters)
    assert said in refused.value.detail


def test_content_type_makes_one_tensor_an_array_or_a_column() -> None:
    assert isinstance(_read([_tensor("FP64", [1.5], "pd")]), pd.DataFrame)
    assert isinstance(_read([_tensor("FP64", [1.5], "np")]), np.ndarray)
    assert isinstance(_read([_tensor("FP64", [1.5], "np")], content_type="pd"), pd.DataFrame)
