"""A batch gives the answers of the endpoint to the bit: values, types and probabilities, of models of several libraries."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import lightgbm
import mlflow
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import GradientBoostingClassifier, RandomForestRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder

from raylift.domain.batches.batch import BatchSpec, Format
from serve_apps.batch.inputs import model_columns
from serve_apps.batch.places import place_of
from serve_apps.batch.plan import Item
from serve_apps.batch.readers import Chunk, columns_of, read
from serve_apps.batch.scoring import Scorer
from serve_apps.model_server.codecs.raylift import RayliftCodec
from serve_apps.model_server.loading.loader import load_directory
from serve_apps.model_server.model import Model

COUNT = 150


def floats() -> pd.DataFrame:
    random = np.random.default_rng(0)
    return pd.DataFrame({name: random.normal(size=COUNT) for name in ("a", "b", "c")})


def mixed() -> pd.DataFrame:
    random = np.random.default_rng(1)
    frame = floats().assign(
        n=random.integers(0, 9, COUNT), flag=random.random(COUNT) < 0.5, city=random.choice(["Rome", "Oslo", "Bern"], COUNT)
    )
    frame.loc[::7, "a"] = np.nan
    return frame


def categories() -> pd.DataFrame:
    return mixed().assign(city=lambda frame: frame["city"].astype("category")).drop(columns="flag")


def target(frame: pd.DataFrame) -> Any:
    return (frame["b"] + frame["c"] > 0).astype(int)


def pipeline(last: Any) -> Any:
    encoded = ColumnTransformer(
        [("text", OneHotEncoder(handle_unknown="ignore"), ["city"]), ("numbers", SimpleImputer(), ["a", "b", "c", "n", "flag"])]
    )
    return make_pipeline(encoded, last)


def hours(model_input: pd.DataFrame) -> pd.Series:
    """A function of times and numbers."""
    return model_input["at"].dt.hour + model_input["a"].fillna(-1.0)


def times() -> pd.DataFrame:
    return mixed()[["a"]].assign(at=pd.date_range("2026-01-31 23:59:59.123456", periods=COUNT, freq="37min"))


def save(kind: str, model: Any, frame: pd.DataFrame, path: Path) -> None:
    match kind:
        case "sklearn":
            mlflow.sklearn.save_model(model, str(path), input_example=frame.head(3), serialization_format="cloudpickle")
        case "xgboost":
            mlflow.xgboost.save_model(model, str(path))
        case "lightgbm":
            mlflow.lightgbm.save_model(model, str(path))
        case _:
            signature = mlflow.models.infer_signature(frame.head(3), np.zeros(3))
            mlflow.pyfunc.save_model(str(path), python_model=model, signature=signature, pip_requirements=[])


MODELS: dict[str, tuple[str, Callable[[], pd.DataFrame], Callable[[], Any]]] = {
    "logistic": ("sklearn", floats, lambda: LogisticRegression()),
    "ridge": ("sklearn", floats, lambda: Ridge()),
    "forest": ("sklearn", floats, lambda: RandomForestRegressor(20, random_state=0)),
    "boosting": ("sklearn", floats, lambda: GradientBoostingClassifier(n_estimators=20)),
    "pipeline": ("sklearn", mixed, lambda: pipeline(LogisticRegression())),
    "xgboost": ("xgboost", categories, lambda: xgboost.XGBClassifier(n_estimators=10, enable_categorical=True)),
    "lightgbm": ("lightgbm", categories, lambda: lightgbm.LGBMClassifier(n_estimators=10, verbose=-1)),
    "function": ("function", times, lambda: hours),
}


@pytest.fixture(scope="module", params=MODELS)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Model, pd.DataFrame]:
    kind, table, make = MODELS[request.param]
    frame, path = table(), tmp_path_factory.mktemp("model") / "model"
    model = make()
    save(kind, model if kind == "function" else model.fit(frame, target(frame)), frame, path)
    return load_directory("m", "1", path), frame


def online(model: Model, frame: pd.DataFrame, *, probabilities: bool) -> tuple[Any, Any]:
    """Answer of the endpoint to a request in JSON."""
    records = json.loads(frame.to_json(orient="records", double_precision=15, date_format="iso", date_unit="ns") or "")
    for name in frame.columns[frame.dtypes == np.float64]:
        for record, value in zip(records, frame[name].tolist(), strict=True):
            record[name] = None if value != value else value  # pandas writes fewer digits
    body = {"model_name": "m", "inputs": records, "return_probabilities": probabilities}
    codec = RayliftCodec()
    request = codec.decode(json.dumps(body).encode(), {}, model)
    answer = json.loads(codec.encode(model.predict(request), request, model).body)
    return answer["predictions"], answer.get("probabilities")


def chunks_of(model: Model, path: Path, form: Format) -> list[Chunk]:
    item = Item(0, 0, 0, None)
    if form is Format.PARQUET:
        item = Item(0, 0, 0, COUNT, 0, pq.ParquetFile(path).num_row_groups)
    return list(read(form, place_of(str(path)), item, lambda found: list(found)))


@pytest.mark.parametrize("form", list(Format))
def test_batch_answers_as_the_endpoint(case: tuple[Model, pd.DataFrame], form: Format, tmp_path: Path) -> None:
    model, frame = case
    path = tmp_path / f"rows.{form}"
    match form:
        case Format.PARQUET:
            frame.assign(extra="x").to_parquet(path)
        case Format.CSV:
            frame.assign(extra="x").to_csv(path, index=False)
        case Format.JSONL:
            records = frame.assign(extra="x").astype(object).where(frame.assign(extra="x").notna(), None).to_dict("records")
            lines = [json.dumps(record, default=lambda value: value.isoformat()) for record in records]
            path.write_text("\n".join(lines))
    has_probabilities = model.classes is not None
    scorer = Scorer(model, BatchSpec("m", "1", Format.PARQUET, probabilities=has_probabilities))
    (chunk,) = chunks_of(model, path, form)
    scored = scorer.score(chunk, model_columns(model, columns_of(chunk.rows.schema), None))
    (answer,) = scored.answers
    predictions, probabilities = online(model, frame, probabilities=has_probabilities)
    assert answer.columns["prediction"].to_pylist() == predictions
    if has_probabilities:
        found = [answer.columns[f"probability_{name}"].to_pylist() for name in model.classes or ()]
        assert [list(row) for row in zip(*found, strict=True)] == probabilities
    # The library's own type, which JSON does not say.
    raw = model.predict(_request(model, frame)).predictions
    if isinstance(raw, np.ndarray):
        assert answer.columns["prediction"].type == _arrow_type(raw)


def _request(model: Model, frame: pd.DataFrame) -> Any:
    records = json.loads(frame.head(5).to_json(orient="records", date_format="iso", date_unit="ns") or "")
    body = {"model_name": "m", "inputs": records}
    return RayliftCodec().decode(json.dumps(body).encode(), {}, model)


def _arrow_type(array: np.ndarray) -> Any:
    return pa.from_numpy_dtype(array.dtype)
