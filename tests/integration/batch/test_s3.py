"""Batches that read and write S3: an output appears whole, is never replaced, and leaves nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import fs
from sklearn.linear_model import LinearRegression

from raylift.domain.batches.batch import Format, OnError
from raylift.domain.batches.order import WORK_FOLDER
from serve_apps.batch.errors import BatchFailed
from serve_apps.batch.parts import Parts
from serve_apps.batch.places import place_of
from serve_apps.batch.plan import make_plan
from serve_apps.batch.publish import prepare, publish, target_of
from serve_apps.batch.worker import Worker
from serve_apps.model_server.loading.loader import load_directory
from serve_apps.model_server.model import Model
from tests.integration.batch.orders import Messages, order_of, run_here
from tests.object_store import ObjectStore, running_object_store


@pytest.fixture(scope="module")
def object_store() -> Generator[ObjectStore]:
    with running_object_store() as store:
        yield store


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    rows = pd.DataFrame({"a": [0.0, 1.0, 2.0]})
    path = tmp_path_factory.mktemp("model") / "model"
    mlflow.sklearn.save_model(LinearRegression().fit(rows, rows["a"] * 2), str(path), serialization_format="cloudpickle")
    return load_directory("m", "3", path)


@pytest.fixture
def lake(object_store: ObjectStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A folder in the bucket, with two files of rows. The job's variables say where and with which key."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", object_store.endpoint)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(object_store.credentials_file))
    folder = f"s3://{object_store.bucket}/{tmp_path.name}"
    for index in range(2):
        place = place_of(f"{folder}/in/{index}.parquet")
        with place.files.open_output_stream(place.path) as file:
            pq.write_table(pa.table({"a": np.arange(3.0) + index * 3, "id": np.arange(3) + index * 3}), file)
    return folder


def names_in(location: str) -> list[str]:
    place = place_of(location)
    found = place.files.get_file_info(fs.FileSelector(place.path, recursive=True, allow_not_found=True))
    return sorted(info.path.removeprefix(f"{place.path}/") for info in found if info.type is fs.FileType.File)


def bytes_of(location: str) -> bytes:
    place = place_of(location)
    with place.files.open_input_stream(place.path) as file:
        return file.read()


def test_file_in_s3_is_scored_to_one_file(model: Model, lake: str, tmp_path: Path) -> None:
    order = order_of(tmp_path / "b", tmp_path, input=f"{lake}/in/*.parquet", output=f"{lake}/out/all.parquet", keep=("id",))
    result = run_here(order, model)
    assert (result["rows"], result["output"]) == (6, f"{lake}/out/all.parquet")
    place = place_of(f"{lake}/out/all.parquet")
    scored = pq.read_table(place.path, filesystem=place.files).to_pydict()
    assert scored == {"id": list(range(6)), "prediction": pytest.approx([0, 2, 4, 6, 8, 10], abs=1e-9)}
    assert names_in(f"{lake}/out") == ["all.parquet"]
    with pytest.raises(BatchFailed, match="exists already"):
        run_here(order_of(tmp_path / "c", tmp_path, input=f"{lake}/in", output=f"{lake}/out/all.parquet"), model)


def test_folder_in_s3_has_a_manifest_and_rejected_rows(model: Model, lake: str, tmp_path: Path) -> None:
    place = place_of(f"{lake}/lines/1.jsonl")
    with place.files.open_output_stream(place.path) as file:
        file.write(b'{"a": 1}\n{"a": "x"}\n')
    fields: dict[str, Any] = {"input": f"{lake}/lines/", "output": f"{lake}/scored/", "on_error": OnError.SKIP}
    run_here(order_of(tmp_path / "b", tmp_path, output_format=Format.JSONL, **fields), model)
    assert names_in(f"{lake}/scored") == ["_manifest.json", "part-000000.jsonl"]
    assert json.loads(bytes_of(f"{lake}/scored/_manifest.json"))["rows"] == 1
    assert json.loads(bytes_of(f"{lake}/scored.rejected.jsonl"))["inputs"] == {"a": "x"}
    assert [name for name in names_in(lake) if "raylift" in name] == []


def test_output_in_s3_is_not_there_before_its_end_nor_replaced(model: Model, lake: str, tmp_path: Path) -> None:
    order = order_of(tmp_path / "b", tmp_path, input=f"{lake}/in/", output=f"{lake}/late.parquet")
    work = Path(order.directory) / WORK_FOLDER
    target, plan = target_of(order, work), make_plan(order)
    prepare(target)
    parts = Parts(work, target.hidden, order.spec.output_format)
    messages: Any = Messages()
    worker = Worker(order, plan, model, parts, messages)
    for item in plan.items:
        worker.score(item)
    assert not target.output.exists()
    with target.output.files.open_output_stream(target.output.path) as file:
        file.write(b"of somebody else")
    with pytest.raises(BatchFailed, match="exists already"):
        publish(order, plan, target, parts, work)
    assert bytes_of(f"{lake}/late.parquet") == b"of somebody else"
    target.output.files.delete_file(target.output.path)
    assert publish(order, plan, target, parts, work)["rows"] == 6
    assert publish(order, plan, target, parts, work)["rows"] == 6  # Killed after the upload, and repeated.
