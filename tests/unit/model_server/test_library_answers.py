"""Differential test: by any protocol, an endpoint answers any rows as the library answers that slice of its training table."""

from __future__ import annotations

import asyncio
import json
import math
import os
import warnings
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from job_entrypoints.tracking import training_table as hooks
from raylift.client.inputs import to_inputs
from serve_apps.model_server.inputs.schema import schema_of
from serve_apps.model_server.inputs.training_table import parse_training_table
from serve_apps.model_server.loading.fast_path_check import accelerated
from serve_apps.model_server.model import Model
from serve_apps.model_server.server.asgi import ReplicaApp
from tests.unit.model_server.drawn_models import FAMILIES, Family
from tests.unit.model_server.drawn_tables import tables

EXAMPLES = int(os.environ.get("RAYLIFT_EXAMPLES", "8"))
"""Random tables for each family of models."""
REQUESTS = 4
"""Random rows, column orders and protocols for each table. 20,000 requests in total take 400 tables a family."""

Request = tuple[str, bytes, str]
"""A path below the version's route, a body and its content type."""


def _json(path: str, body: Any) -> Request:
    return path, json.dumps(body).encode(), "application/json"


def _columns(frame: pd.DataFrame) -> dict[str, list[Any]]:
    """The frame as the SDK sends it."""
    inputs = to_inputs(frame)
    assert isinstance(inputs, dict)
    return inputs


def _records(frame: pd.DataFrame) -> list[dict[str, Any]]:
    columns = _columns(frame)
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _tensors(frame: pd.DataFrame) -> dict[str, Any]:
    inputs = [
        {"name": name, "shape": [len(values)], "datatype": _datatype(values), "data": values}
        for name, values in _columns(frame).items()
    ]
    return {"inputs": inputs, "outputs": [{"name": "predict"}]}


def _datatype(values: list[Any]) -> str:
    kinds = {type(value) for value in values if value is not None}
    if kinds == {bool} and None not in values:
        return "BOOL"
    if kinds == {int} and None not in values:
        return "INT64"
    return "FP64" if kinds <= {int, float} else "BYTES"


def _parquet(frame: pd.DataFrame) -> Request:
    file = BytesIO()
    frame.to_parquet(file, index=False)
    return "/invocations", file.getvalue(), "application/vnd.apache.parquet"


PROTOCOLS: dict[str, Callable[[pd.DataFrame], Request]] = {
    "columns": lambda frame: _json("/predict", {"inputs": _columns(frame)}),
    "records": lambda frame: _json("/predict", {"inputs": _records(frame)}),
    "v1": lambda frame: _json("/v1:predict", {"instances": _records(frame)}),
    "v2": lambda frame: _json("/infer", _tensors(frame)),
    "scoring records": lambda frame: _json("/invocations", {"dataframe_records": _records(frame)}),
    "scoring split": lambda frame: _json(
        "/invocations",
        {"dataframe_split": {"columns": list(frame.columns), "data": [list(row.values()) for row in _records(frame)]}},
    ),
    "scoring inputs": lambda frame: _json("/invocations", {"inputs": _columns(frame)}),
    "parquet": _parquet,
}


def _answer(app: ReplicaApp, request: Request) -> tuple[int, Any]:
    path, body, media_type = request
    sent: list[Any] = []

    async def exchange() -> None:
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", media_type.encode())]
        await app({"type": "http", "method": "POST", "path": app.route + path, "headers": headers}, receive, send)

    asyncio.run(exchange())
    answer = json.loads(b"".join(message.get("body", b"") for message in sent[1:]))
    if sent[0]["status"] != 200:
        return sent[0]["status"], answer
    return 200, answer["outputs"][0]["data"] if path == "/infer" else answer["predictions"]


def _served(family: Family, fitted: Any, frame: pd.DataFrame) -> Model:
    """The model as a replica has it, with the training table that the job's hooks recorded."""
    record = hooks.schema_of(frame)
    assert record is not None
    predictor = family.predictor(fitted)
    table = parse_training_table(json.loads(json.dumps(record)))
    schema, origin = schema_of(None, predictor.features, is_native=True, table=table)
    assert origin.source == "training"
    return accelerated(Model("m", "1", predictor, schema, None, "3", origin))


@pytest.mark.timeout(120 + 10 * EXAMPLES)
@pytest.mark.parametrize("name", FAMILIES)
@settings(deadline=None, max_examples=EXAMPLES, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(data=st.data())
def test_endpoint_answers_as_its_library(name: str, data: st.DataObject) -> None:
    family = FAMILIES[name]
    frame = data.draw(tables(family.kinds))
    target = np.resize([0, 1, 2], len(frame)) if family.is_classifier else np.arange(len(frame)) % 7 - 2.5
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        fitted = family.make(frame).fit(frame, target)
        app = ReplicaApp(_served(family, fitted, frame))
        for _ in range(REQUESTS):
            rows = data.draw(st.lists(st.integers(0, len(frame) - 1), min_size=1, max_size=5))
            order = data.draw(st.permutations(list(frame.columns)))
            protocol = data.draw(st.sampled_from(sorted(PROTOCOLS)))
            asked = frame.iloc[rows].reset_index(drop=True)
            status, got = _answer(app, PROTOCOLS[protocol](asked[order]))
            assert status == 200, got
            assert [_bits(value) for value in got] == [_bits(value) for value in fitted.predict(asked).tolist()]
    app.close()


def _bits(value: Any) -> Any:
    return None if value is None or (isinstance(value, float) and math.isnan(value)) else float(value).hex()
