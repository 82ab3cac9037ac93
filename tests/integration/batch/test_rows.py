"""Batches in one process: rejected rows, wrong inputs, formats, and paths that are refused."""

from __future__ import annotations

import gzip
import json
import shutil
from pathlib import Path

import mlflow.sklearn
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.linear_model import LinearRegression

from raylift.domain.batches.batch import Format, OnError
from serve_apps.batch.errors import BatchFailed
from serve_apps.model_server.loading.loader import load_directory
from serve_apps.model_server.model import Model
from tests.integration.batch.orders import order_of, run_here


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A linear model of a, b and c."""
    rows = pd.DataFrame(np.random.default_rng(0).normal(size=(50, 3)), columns=["a", "b", "c"])
    path = tmp_path_factory.mktemp("model") / "model"
    fitted = LinearRegression().fit(rows, rows["a"] * 2 - rows["c"])
    mlflow.sklearn.save_model(fitted, str(path), serialization_format="cloudpickle")
    return load_directory("m", "3", path)


@pytest.mark.parametrize(("on_error", "written"), [(OnError.SKIP, [0, 2]), (OnError.NULL, [0, 1, 2, 3])])
def test_rejected_rows_are_beside_the_output(model: Model, tmp_path: Path, on_error: OnError, written: list[int]) -> None:
    lines = [
        '{"a": 1, "b": 2, "c": 3, "id": 0}',
        '{"a": "x", "b": 2, "c": 3, "id": 1}',
        '{"a": 1, "b": 2, "c": 3, "id": 2}',
        "no",
    ]
    (tmp_path / "in.jsonl").write_text("\n".join(lines))
    order = order_of(
        tmp_path / "batch", tmp_path, input=f"{tmp_path}/in.jsonl", output=f"{tmp_path}/out.jsonl",
        output_format=Format.JSONL, on_error=on_error, keep=("id",),
    )  # fmt: skip
    result = run_here(order, model)
    scored = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [each["id"] for each in scored] == [number if number != 3 else None for number in written]
    assert [each["prediction"] is None for each in scored] == [number in (1, 3) for number in written]
    rejected = [json.loads(line) for line in (tmp_path / "out.jsonl.rejected.jsonl").read_text().splitlines()]
    assert [each["row"] for each in rejected] == [1, 3]
    assert 'it has "x"' in rejected[0]["error"]
    assert "is not JSON" in rejected[1]["error"]
    assert rejected[0]["inputs"]["a"] == "x"
    assert (result["rows"], result["rejected"]) == (4, 2)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a,b\n1,2\n", "has no column c, which the model wants"),
        ("a,b,c\n", "has no rows"),
        ("a,b,c\n1,2,three\n", "row 0 (from 0) cannot be scored"),
        ("a;b;c\n1;2;3\n", "separate them by commas"),
        ('a,b,c\n1,2,"3\n', "quotation mark"),
        ("a,a,b,c\n1,2,3,4\n", "has the column 'a' twice"),
        ("a,b,c,prediction\n1,2,3,4\n", "has a column prediction"),
    ],
)
def test_wrong_input_is_said(model: Model, tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "in.csv").write_text(content)
    order = order_of(tmp_path / "batch", tmp_path, input=f"{tmp_path}/in.csv", output=f"{tmp_path}/out.parquet")
    with pytest.raises(BatchFailed) as caught:
        run_here(order, model)
    assert said in str(caught.value)
    assert not (tmp_path / "out.parquet").exists()


def test_links_out_of_the_folders_are_refused(model: Model, tmp_path: Path) -> None:
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    for folder in (outside, inside):
        folder.mkdir()
    (outside / "secret.csv").write_text("a,b,c\n1,2,3\n")
    (inside / "link.csv").symlink_to(outside / "secret.csv")
    (inside / "door").symlink_to(outside)
    with pytest.raises(BatchFailed, match="outside of the folders that batches may read"):
        run_here(order_of(inside / "batch", tmp_path, input=f"{inside}/link.csv"), model)
    (inside / "in.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(BatchFailed, match="outside of the folders that batches may write"):
        run_here(order_of(inside / "batch", tmp_path, input=f"{inside}/in.csv", output=f"{inside}/door/out.csv"), model)


def test_existing_output_is_never_replaced(model: Model, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b,c\n1,2,3\n")
    for output in (f"{tmp_path}/out.parquet", f"{tmp_path}/folder/"):
        run_here(order_of(tmp_path / "batch1", tmp_path, input=f"{tmp_path}/in.csv", output=output), model)
        with pytest.raises(BatchFailed, match="exists already"):
            run_here(order_of(tmp_path / "batch2", tmp_path, input=f"{tmp_path}/in.csv", output=output), model)
        shutil.rmtree(tmp_path / "batch1")
        shutil.rmtree(tmp_path / "batch2")


def test_rejected_rows_of_another_batch_are_never_replaced(model: Model, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("a,b,c\n1,2,3\n")
    (tmp_path / "out.parquet.rejected.jsonl").write_text("{}")
    order = order_of(tmp_path / "batch", tmp_path, input=f"{tmp_path}/in.csv", output=f"{tmp_path}/out.parquet")
    with pytest.raises(BatchFailed, match=r"out.parquet.rejected.jsonl exists already"):
        run_here(order, model)


@pytest.mark.parametrize("pattern", ["[z-a].csv", "[\\].csv"])
def test_wrong_pattern_is_said(model: Model, tmp_path: Path, pattern: str) -> None:
    (tmp_path / "in.csv").write_text("a,b,c\n1,2,3\n")
    with pytest.raises(BatchFailed, match=r"The pattern .* cannot be read"):
        run_here(order_of(tmp_path / "batch", tmp_path, input=f"{tmp_path}/{pattern}"), model)


def test_formats_go_into_each_other(model: Model, tmp_path: Path) -> None:
    """Types that only one format has become text; columns that some rows lack are null."""
    folder = tmp_path / "in"
    folder.mkdir()
    with gzip.open(folder / "1.jsonl.gz", "wt") as file:
        file.write('{"a": 1, "b": 2.5, "c": 3, "tags": ["x"]}\n{"a": 1, "b": 2, "c": 3, "more": {"y": 1}}\n')
    (folder / "2.jsonl").write_text('{"a": 4, "b": 5, "c": 6, "tags": []}\n')
    (folder / "_ignored.jsonl").write_text("no")
    for form in Format:
        order = order_of(
            tmp_path / f"batch-{form}", tmp_path, input=str(folder), output=f"{tmp_path}/out.{form}", output_format=form,
            keep=("a", "b"),
        )  # fmt: skip
        assert run_here(order, model)["rows"] == 3
    expected = pq.read_table(tmp_path / "out.parquet")
    assert expected.schema.types == [pa.int64(), pa.float64(), pa.float64()]
    lines = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert lines == expected.to_pylist()
    assert (tmp_path / "out.csv").read_text().splitlines()[0] == '"a","b","prediction"'
    order = order_of(tmp_path / "all", tmp_path, input=str(folder), output=f"{tmp_path}/all.parquet")
    run_here(order, model)
    assert pq.read_table(tmp_path / "all.parquet")["more"].to_pylist() == [None, {"y": 1}, None]


def test_large_row_groups_are_read_in_chunks(model: Model, tmp_path: Path) -> None:
    count = 200_000
    rows = pa.table({name: np.arange(count, dtype=np.float64) for name in ("a", "b", "c")} | {"id": np.arange(count)})
    pq.write_table(rows, tmp_path / "in.parquet", row_group_size=150_000)
    order = order_of(tmp_path / "batch", tmp_path, input=f"{tmp_path}/in.parquet", keep=("id",))
    assert run_here(order, model)["rows"] == count
    scored = pq.read_table(tmp_path / "batch" / "work" / "output.parquet")
    assert scored["id"].to_pylist() == list(range(count))
