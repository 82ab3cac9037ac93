"""The real program of a batch: killed in the middle it goes on, its output appears whole, and it says what is wrong."""

from __future__ import annotations

import csv
import json
import os
import signal
from pathlib import Path
from typing import Any

import mlflow.sklearn
import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LinearRegression

from raylift.domain.batches.batch import Format
from raylift.domain.batches.order import PROGRESS_FILE, WORK_FOLDER
from tests.integration.batch.orders import order_of, run, start, wait_for

pytestmark = pytest.mark.timeout(600)

SLOW = """
import time
from sklearn.linear_model import LinearRegression

class Slow(LinearRegression):
    def predict(self, rows):
        time.sleep(0.05)
        return super().predict(rows)
"""


def rows_of(count: int, seed: int = 0) -> pd.DataFrame:
    frame = pd.DataFrame(np.random.default_rng(seed).normal(size=(count, 3)), columns=["a", "b", "c"])
    return frame.assign(id=np.arange(count))


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders ``plain`` and ``slow`` with a linear model of a, b and c."""
    folder = tmp_path_factory.mktemp("models")
    space: dict[str, type[LinearRegression]] = {"__name__": "__main__"}  # pyright: ignore[reportAssignmentType]
    exec(SLOW, space)  # A class that is pickled with its code.
    rows = rows_of(100)
    for name, kind in (("plain", LinearRegression), ("slow", space["Slow"])):
        model = kind().fit(rows[["a", "b", "c"]], rows["a"] * 2 - rows["c"])
        mlflow.sklearn.save_model(model, str(folder / name), serialization_format="cloudpickle")
    return folder


def expected(models: Path, rows: pd.DataFrame) -> np.ndarray:
    model: Any = mlflow.sklearn.load_model(str(models / "plain"))
    return model.predict(rows[["a", "b", "c"]])


def test_killed_batch_goes_on_and_doubles_nothing(models: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    rows = rows_of(120)
    for index in range(12):
        rows.iloc[index * 10 : index * 10 + 10].to_csv(tmp_path / "in" / f"{index:02}.csv", index=False)
    fields = {"input": str(tmp_path / "in"), "output": str(tmp_path / "out.csv"), "output_format": Format.CSV}
    order = order_of(tmp_path / "batch", models / "slow", processes=2, keep=("id",), **fields)
    done = tmp_path / "batch" / WORK_FOLDER / "done"
    with start(order) as process:
        wait_for(lambda: done.is_dir() and len(list(done.glob("[0-9]*"))) >= 3)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    finished = {path.name: path.stat().st_mtime_ns for path in done.glob("[0-9]*")}
    assert 3 <= len(finished) < 12
    assert not (tmp_path / "out.csv").exists()
    output = run(order)
    assert f"Going on: {len(finished)} of 12 parts" in output
    assert {name: (done / name).stat().st_mtime_ns for name in finished} == finished
    with (tmp_path / "out.csv").open() as file:
        scored = list(csv.DictReader(file))
    assert [int(row["id"]) for row in scored] == list(range(120))
    by_file = [expected(models, rows.iloc[at : at + 10]) for at in range(0, 120, 10)]
    assert [float(row["prediction"]) for row in scored] == np.concatenate(by_file).tolist()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["batch", "in", "out.csv"]


def test_folder_of_parts_appears_with_its_manifest(models: Path, tmp_path: Path) -> None:
    rows = rows_of(400)
    rows.to_parquet(tmp_path / "in.parquet", row_group_size=100)
    order = order_of(
        tmp_path / "batch", models / "plain", input=str(tmp_path / "*.parquet"), output=f"{tmp_path}/out/", stamp=True
    )
    assert "Done" in run(order)
    manifest = json.loads((tmp_path / "out" / "_manifest.json").read_bytes())
    assert (manifest["rows"], manifest["model_version"]) == (400, "3")
    scored = pd.read_parquet(tmp_path / "out" / manifest["parts"][0]["name"])
    assert np.array_equal(scored["prediction"].to_numpy(), expected(models, rows))
    assert set(scored.columns) == {"a", "b", "c", "id", "prediction", "model_version", "scored_at"}
    progress = json.loads((tmp_path / "batch" / WORK_FOLDER / PROGRESS_FILE).read_bytes())
    assert (progress["rows"], progress["rows_total"]) == (400, 400)
    # It is repeated after its end, as after a lost report: nothing changes.
    assert "Scoring" not in run(order)
    assert "exists already" in run(
        order_of(tmp_path / "other", models / "plain", input=order.spec.input, output=f"{tmp_path}/out/")
    )


def test_changed_input_fails_the_batch(models: Path, tmp_path: Path) -> None:
    for index in range(8):
        rows_of(5).to_csv(tmp_path / f"{index}.csv", index=False)
    order = order_of(tmp_path / "batch", models / "slow", input=f"{tmp_path}/*.csv", output=f"{tmp_path}/out.parquet")
    with start(order) as process:
        wait_for((tmp_path / "batch" / WORK_FOLDER / "done" / "000000.json").exists)
        rows_of(6).to_csv(tmp_path / "0.csv", index=False)
        output, _ = process.communicate(timeout=300)
    assert "0.csv has changed since the batch began" in output
    assert not (tmp_path / "out.parquet").exists()
