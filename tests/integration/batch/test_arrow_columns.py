"""Columns of every Arrow type give the answers that a JSON request of the same rows gets, or its refusal."""

from __future__ import annotations

import datetime
import decimal
import json
import re
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

from raylift.domain.batches.batch import BatchSpec, Format
from raylift.domain.errors import PlatformError
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.inputs import inputs_of
from serve_apps.batch.readers import Chunk
from serve_apps.batch.scoring import Scorer
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.loading.loader import load_directory
from serve_apps.model_server.model import Model

NAMES = ["city", "size", "n", "a", "flag"]
TEXT = pa.array(["Rome", "Oslo", "Rome", "Atlantis", "Bern", "Rome"])
NUMBERS = pa.array([0.5, -1.25, 3.0, 1e300, -0.0, 2.0])
MOMENT = datetime.datetime.fromisoformat("2026-01-31T23:59:00")
PLAIN: dict[str, Any] = {
    "city": TEXT,
    "size": pa.array([1, 2, 3, 2, 1, 7]),
    "n": pa.array([4, 5, 6, 7, 8, 9]),
    "a": NUMBERS,
    "flag": pa.array([True, False, True, True, False, False]),
}
OTHERS: dict[str, tuple[str, Any]] = {
    "text": ("city", TEXT),
    "text with nulls": ("city", pa.array(["Rome", None, None, "Oslo", "Bern", "Rome"])),
    "large text": ("city", TEXT.cast(pa.large_string())),
    "dictionary": ("city", TEXT.dictionary_encode()),
    "dictionary with nulls": ("city", pa.array(["Rome", None, "Oslo", None, None, "Rome"]).dictionary_encode()),
    "dictionary of large text": ("city", TEXT.cast(pa.large_string()).dictionary_encode()),
    "dictionary with values that no row has": (
        "city",
        pa.DictionaryArray.from_arrays(pa.array([2, 0, 2, 2, 0, 2], pa.int8()), pa.array(["Oslo", "Paris", "Rome"])),
    ),
    "dictionary with a null in it": (
        "city",
        pa.DictionaryArray.from_arrays(pa.array([1, 0, 1, 1, 0, 1]), pa.array(["Oslo", None])),
    ),
    "text where numbers belong": ("a", TEXT),
    "numbers where text belongs": ("city", NUMBERS),
    "float32": ("a", pa.array([0.1, 2.5, 3.0, 1.0, 0.0, 2.0], pa.float32())),
    "NaN and null": ("a", pa.array([0.5, None, float("nan"), 1.0, None, 2.0])),
    "infinity": ("a", pa.array([0.5, float("inf"), 1.0, 1.0, 1.0, 2.0])),
    "integers with nulls": ("a", pa.array([1, None, 3, 4, None, 6])),
    "integers with nulls where none may miss": ("n", pa.array([1, None, 3, 4, None, 6])),
    "integers for floats": ("a", pa.array([1, 2, 3, 4, 5, 6])),
    "integers beyond float64": ("a", pa.array([2**53 + 1, 1, 2, 3, 4, 5])),
    "unsigned": ("n", pa.array([2**64 - 1, 1, 2, 3, 4, 5], pa.uint64())),
    "int8": ("n", pa.array([1, 2, 3, 4, 5, 6], pa.int8())),
    "whole floats for integers": ("n", pa.array([1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
    "broken floats for integers": ("n", pa.array([1.5, 2.0, 3.0, 4.0, 5.0, 6.0])),
    "booleans with nulls": ("flag", pa.array([True, None, False, True, None, False])),
    "booleans where numbers belong": ("a", PLAIN["flag"]),
    "dictionary of integers": ("size", pa.array([1, 2, 1, 2, 3, 3]).dictionary_encode()),
    "categories of an encoder that are null": ("size", pa.array([1, None, 3, 2, 1, 7])),
    "decimals": ("a", pa.array([decimal.Decimal("0.10"), None, *[decimal.Decimal("3.25")] * 4])),
    "times": ("a", pa.array([MOMENT] * 6)),
    "times as text": ("city", pa.array([MOMENT, *[None] * 5])),
    "dates as text": ("city", pa.array([datetime.date(2026, 1, 31)] * 6)),
}


@pytest.fixture(scope="module", params=["all may miss", "none may miss"])
def model(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A pipeline with a fast path: text and integers in encoders, and scaled numbers."""
    random, count = np.random.default_rng(0), 300
    frame = pd.DataFrame(
        {
            "city": random.choice(["Rome", "Oslo", "Bern"], count),
            "size": random.choice([1, 2, 3], count),
            "n": random.integers(0, 9, count),
            "a": random.normal(size=count),
            "flag": random.random(count) < 0.5,
        }
    )
    may_miss = request.param == "all may miss"
    if may_miss:
        frame.loc[::9, ["city", "a"]] = None
    numbers = make_pipeline(SimpleImputer(), StandardScaler()) if may_miss else StandardScaler()
    encoded = ColumnTransformer(
        [
            ("text", OneHotEncoder(handle_unknown="ignore", sparse_output=False), ["city"]),
            ("sizes", OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1), ["size"]),
            ("numbers", numbers, ["n", "a", "flag"]),
        ]
    )
    fitted = make_pipeline(encoded, LogisticRegression()).fit(frame, random.integers(0, 2, count))
    path = tmp_path_factory.mktemp("model") / "model"
    mlflow.sklearn.save_model(fitted, str(path), input_example=frame.head(20), serialization_format="cloudpickle")
    return load_directory("m", "1", path)


def chunk_of(columns: dict[str, Any]) -> Chunk:
    return Chunk(0, 6, pa.table(columns))


def test_plain_columns_take_the_fast_path(model: Model) -> None:
    assert model.fast is not None
    assert model.read(inputs_of(chunk_of(PLAIN), NAMES, model), None) is not None


@pytest.mark.parametrize("kind", OTHERS)
def test_arrow_columns_answer_as_json(model: Model, kind: str) -> None:
    name, column = OTHERS[kind]
    table = chunk_of({**PLAIN, name: column})
    scorer = Scorer(model, BatchSpec("m", "1", Format.PARQUET, probabilities=True))
    codec, records = RayliftCodec(), [_json(record) for record in table.rows.to_pylist()]
    body = json.dumps({"model_name": "m", "inputs": records, "return_probabilities": True})
    try:
        request = codec.decode(body.encode(), {}, model)
        answer = json.loads(codec.encode(model.predict(request), request, model).body)
    except PlatformError as refusal:
        with pytest.raises(BatchFailed) as caught:
            scorer.score(table, NAMES)
        said = re.search(r"wants [^;]+|contains .+|holds .+", str(refusal.detail))
        assert said is not None
        assert said[0] in str(caught.value)
        return
    (found,) = scorer.score(table, NAMES).answers
    assert found.columns["prediction"].to_pylist() == answer["predictions"]
    rows = zip(*(found.columns[f"probability_{each}"].to_pylist() for each in (0, 1)), strict=True)
    assert [list(row) for row in rows] == answer["probabilities"]


def _json(record: dict[str, Any]) -> dict[str, Any]:
    return {name: _value(value) for name, value in record.items()}


def _value(value: Any) -> Any:
    match value:
        case float() if value != value:
            return None
        case decimal.Decimal():
            return float(value)
        case datetime.datetime():
            return f"{value.isoformat()}.000000"
        case datetime.date():
            return value.isoformat()
        case _:
            return value
