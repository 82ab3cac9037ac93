"""A batch from the command line on a real platform: files of the caller go up, the scored ones come down."""

from __future__ import annotations

import subprocess
import sys
import uuid
from pathlib import Path

import pandas as pd

from raylift import Client
from raylift.launcher import LocalPlatform

TRAIN = """
import pandas as pd
from sklearn.tree import DecisionTreeClassifier
rows = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "kind": [1, 2, 1, 2]})
DecisionTreeClassifier().fit(rows, [0, 0, 1, 1])
"""


def test_batch_from_the_command_line(platform: LocalPlatform, client: Client, tmp_path: Path) -> None:
    name = f"batched-{uuid.uuid4().hex[:6]}"
    client.train(script_content=TRAIN, model=name, cpus=0.5, memory="1GiB").wait(300)
    rows = pd.DataFrame({"id": range(50), "a": [index % 7 / 2 for index in range(50)], "kind": 1})
    rows.to_parquet(tmp_path / "rows.parquet")
    command = [sys.executable, "-c", "from raylift.cli.app import main; main()", "--url", platform.url, "batch", name]
    options = [
        "--input",
        "rows.parquet",
        "--output",
        "scored.csv",
        "--keep",
        "id",
        "--proba",
        "--cpus",
        "0.5",
        "--memory",
        "1GiB",
    ]
    done = subprocess.run([*command, *options], cwd=tmp_path, capture_output=True, text=True, timeout=500, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "scored.csv"
    scored = pd.read_csv(tmp_path / "scored.csv")
    online = client.predict(name, rows[["a", "kind"]], proba=True).to_pandas()
    assert scored["id"].tolist() == rows["id"].tolist()
    assert scored["prediction"].tolist() == online.iloc[:, 0].tolist()
    assert scored[["probability_0", "probability_1"]].to_numpy().tolist() == online.iloc[:, 1:].to_numpy().tolist()
    (batch,) = client.batches.list(model=name)
    assert batch.view.result is not None
    assert batch.view.result.rows == 50
    job = batch.job.refresh()
    assert (job.summary.kind, job.model_version) == ("batch", None)
    assert job.view.usage is not None
    assert "Done" in job.logs()
