"""Rows a second of a batch, beside a plain loop in process and ``mlflow models predict``, in one run.

    python -m tests.benchmarks.batch [--rows 10000000] [--rounds 3] [--model linear]

The loop reads with ``pandas.read_parquet``, row group by row group, predicts with the library's own ``predict``, and writes
Parquet. The batch is the real program's processes, which read, predict and write; one and two of them. All have one thread a
process. Starting and loading are left out; ``mlflow models predict`` reads CSV, so it gets a twentieth of the rows, and the
time of three rows is subtracted. The ways take turns; medians and the memory of the processes are printed.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import mlflow.sklearn
import numpy as np
import pandas as pd
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from raylift.domain.batches.batch import BatchSpec, Format
from raylift.domain.batches.order import INPUT_FOLDER, WORK_FOLDER, BatchOrder
from serve_apps.batch.parts import Part, Parts
from serve_apps.batch.plan import make_plan
from serve_apps.batch.pool import processes
from serve_apps.batch.publish import clean, prepare, publish, target_of
from serve_apps.batch.worker import Start

_POOLS: Final = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_GROUP: Final = 250_000
_CITIES: Final = np.array(["Rome", "Oslo", "Bern", "Lima", "Kyiv"])
FEATURES: Final = [f"x{index}" for index in range(10)]


def rows_of(count: int, seed: int) -> pd.DataFrame:
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(random.normal(size=(count, len(FEATURES))), columns=FEATURES)
    return frame.assign(city=random.choice(_CITIES, count), id=np.arange(count))


def pipeline() -> Any:
    encoded = ColumnTransformer([("city", OneHotEncoder(), ["city"]), ("numbers", StandardScaler(), FEATURES)])
    return make_pipeline(encoded, LogisticRegression())


MODELS: Final[dict[str, tuple[list[str], Callable[[], Any]]]] = {
    "linear": (FEATURES, LinearRegression),
    "boosting": (FEATURES, lambda: HistGradientBoostingClassifier(max_iter=50)),
    "pipeline": ([*FEATURES, "city"], pipeline),
}


def loop(model: Path, columns: list[str], source: Path, target: Path) -> None:
    """Score as a user would: run in a process of its own, which prints the seconds."""
    loaded: Any = mlflow.sklearn.load_model(str(model))
    loaded.predict(rows_of(100, 1)[columns])
    file, begun = pq.ParquetFile(source), time.perf_counter()
    target.mkdir()
    for group in range(file.num_row_groups):
        frame = file.read_row_group(group).to_pandas()
        pd.DataFrame({"id": frame["id"], "prediction": loaded.predict(frame[columns])}).to_parquet(target / f"{group}.parquet")
    print("SECONDS", time.perf_counter() - begun, psutil.Process().memory_info().rss)


def loop_seconds(model: Path, kind: str, source: Path, folder: Path) -> tuple[float, int]:
    command = [sys.executable, "-m", "tests.benchmarks.batch", "--loop", kind, str(model), str(source), str(folder / "loop")]
    words = subprocess.run(command, check=True, capture_output=True, text=True).stdout.partition("SECONDS ")[2].split()
    return float(words[0]), int(words[1])


def batch_seconds(model: Path, source: Path, folder: Path, count: int) -> tuple[float, int]:
    """Seconds of the processes for all items but the first of each, which loads the model; and their largest memory."""
    batch = folder / "batch"
    for name in (INPUT_FOLDER, WORK_FOLDER):
        (batch / name).mkdir(parents=True)
    spec = BatchSpec("m", "1", Format.PARQUET, input=str(source), output=f"{folder}/scored/", keep=("id",))
    roots = (str(folder.parent), str(folder))
    order = BatchOrder("job_1", spec, str(batch), str(model), "", None, roots, roots, count)
    work = batch / WORK_FOLDER
    target, plan = target_of(order, work), make_plan(order)
    prepare(target)
    parts = Parts(work, target.hidden, spec.output_format)
    peak = 0
    with processes(Start(order.as_json(), plan, str(model)), target.hidden, count) as pool:
        for _ in pool.run(plan.items[:count]):
            pass
        begun = time.perf_counter()
        for message in pool.run(plan.items[count:]):
            if isinstance(message, Part):
                peak = max(peak, *(child.memory_info().rss for child in psutil.Process().children()))
        publish(order, plan, target, parts, work)
        seconds = time.perf_counter() - begun
    clean(target)
    rows = sum(item.rows or 0 for item in plan.items[count:])
    return seconds * (plan.rows or 0) / rows, peak


def mlflow_seconds(model: Path, source: Path, folder: Path, columns: list[str]) -> tuple[float, int]:
    """Seconds for all rows, from those for a twentieth."""
    frame = pq.ParquetFile(source).read_row_group(0).to_pandas()[columns]
    count = min(len(frame), max(1000, pq.read_metadata(source).num_rows // 20))
    taken: list[float] = []
    for rows in (3, count):
        frame.head(rows).to_csv(folder / "in.csv", index=False)
        command = ["mlflow", "models", "predict", "-m", str(model), "-i", "in.csv", "-t", "csv", "-o", "out.json"]
        begun = time.perf_counter()
        subprocess.run([*command, "--env-manager", "local"], check=True, capture_output=True, cwd=folder)
        taken.append(time.perf_counter() - begun)
    return (taken[1] - taken[0]) * pq.read_metadata(source).num_rows / count, 0


def measure(kind: str, rows: int, rounds: int) -> None:
    columns, make = MODELS[kind]
    with tempfile.TemporaryDirectory(prefix="raylift-batch-") as name:
        root = Path(name)
        train = rows_of(20_000, 0)
        signal = train["x0"] - train["x1"] + (train["city"] == "Rome")
        fitted = make().fit(train[columns], signal if kind == "linear" else (signal > 0).astype(int))
        mlflow.sklearn.save_model(
            fitted, str(root / "model"), input_example=pd.DataFrame(train[columns]).head(3), serialization_format="cloudpickle"
        )
        source = root / "rows.parquet"
        with pq.ParquetWriter(source, _table(rows_of(10, 0)).schema) as writer:
            for start in range(0, rows, _GROUP):
                writer.write_table(_table(rows_of(min(_GROUP, rows - start), start)))
        ways: dict[str, Callable[[Path], tuple[float, int]]] = {
            "loop": lambda folder: loop_seconds(root / "model", kind, source, folder),
            "batch, 1 process": lambda folder: batch_seconds(root / "model", source, folder, 1),
            "batch, 2 processes": lambda folder: batch_seconds(root / "model", source, folder, 2),
            "mlflow models predict": lambda folder: mlflow_seconds(root / "model", source, folder, columns),
        }
        taken: dict[str, list[tuple[float, int]]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                folder = root / "run"
                folder.mkdir()
                taken[way].append(run(folder))
                shutil.rmtree(folder)
        own = statistics.median(seconds for seconds, _ in taken["loop"])
        for way, found in taken.items():
            seconds, memory = statistics.median(each for each, _ in found), max(each for _, each in found)
            print(
                f"{kind:10} {way:24} {rows / seconds:12,.0f} rows/s  {own / seconds:5.2f} x  {memory / 2**20:6,.0f} MiB",
                flush=True,
            )


def _table(frame: pd.DataFrame) -> Any:
    return pa.Table.from_pandas(frame, preserve_index=False)


def main() -> None:
    if any(os.environ.get(name) != "1" for name in _POOLS):
        # Libraries read them at import.
        os.environ.update(dict.fromkeys(_POOLS, "1"))
        os.execv(sys.executable, [sys.executable, "-m", "tests.benchmarks.batch", *sys.argv[1:]])
    if sys.argv[1:2] == ["--loop"]:
        kind, *paths = sys.argv[2:]
        model, source, target = map(Path, paths)
        loop(model, MODELS[kind][0], source, target)
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", choices=MODELS, action="append")
    options = parser.parse_args()
    for kind in options.model or MODELS:
        measure(kind, options.rows, options.rounds)


if __name__ == "__main__":
    main()
