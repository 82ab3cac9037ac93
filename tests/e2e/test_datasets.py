"""A dataset from the command line: added, given to a job, found in MLflow, and used again by a rerun."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import mlflow
import pytest
from typer.testing import CliRunner

from raylift import Client, Conflict, InvalidRequest
from raylift.cli.app import app
from raylift.launcher.local_platform import LocalPlatform

SCRIPT = """
import os
from pathlib import Path
import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression

path = Path(os.environ["RAYLIFT_DATA_TRAIN"])
frame = pd.read_csv(path)
for attempt in (lambda: path.write_text("x"), path.unlink, lambda: path.with_name("new").write_text("x"),
                lambda: path.chmod(0o666)):
    try:
        attempt()
    except OSError:
        print("refused")
    else:
        raise SystemExit("the data can be changed")
others = sorted(path.parent.parent.glob("*")) if os.access(path.parent.parent, os.R_OK) else []
print("beside it:", len([other for other in others if other != path.parent]))
with mlflow.start_run():
    model = LogisticRegression().fit(frame[["age"]], frame["left"])
    mlflow.log_metric("rows", len(frame))
    mlflow.sklearn.log_model(model, name="model")
"""


def csv(rows: int) -> str:
    return "age,left\n" + "".join(f"{20 + n},{int(n > rows / 2)}\n" for n in range(rows))


@pytest.fixture
def name() -> str:
    return f"churn-{uuid.uuid4().hex[:8]}"


def run(client: Client, *words: object) -> str:
    done = CliRunner().invoke(app, ["--url", client.base_url, *map(str, words)])
    assert done.exit_code == 0, (words, done.output)
    return done.stdout.strip()


def test_dataset_reaches_a_job_and_its_lineage(client: Client, platform: LocalPlatform, name: str, tmp_path: Path) -> None:
    data, script = tmp_path / "train.csv", tmp_path / "train.py"
    data.write_text(csv(40))
    script.write_text(SCRIPT)
    assert run(client, "data", "add", name, data) == f"{name}@1"
    assert run(client, "data", "add", name, data) == f"{name}@1"
    job_id = run(client, "train", script, "--model", name, "--data", f"train={name}", "--no-deploy", "--memory", "1GiB")

    job = client.jobs.get(job_id)
    with pytest.raises(Conflict, match=job_id):
        client.datasets.delete(name)
    job.wait(timeout=240, progress=False)
    assert job.logs().count("refused") == 4
    assert "beside it: 0" in job.logs()
    assert job.metrics["rows"] == 40.0
    (given,) = job.view.data
    assert (given.alias, given.name, given.version) == ("train", name, 1)

    shown: dict[str, Any] = json.loads(run(client, "data", "show", f"{name}@1", "-o", "json"))
    (use,) = shown["uses"]
    assert (use["job_id"], use["model_name"], use["model_version"]) == (job_id, name, "1")
    assert (shown["format"], shown["rows"]) == ("csv", 40)

    inputs: Any = mlflow.MlflowClient(platform.record.mlflow_url).get_run(job.view.mlflow_run_id or "").inputs
    # Autologging logs the arrays of the fit besides.
    (logged,) = (each for each in inputs.dataset_inputs if each.dataset.name == name)
    assert (logged.dataset.digest, logged.dataset.source_type) == (given.digest[:36], "raylift")
    assert [tag.value for tag in logged.tags] == ["train"]

    # The newest version is another one now; the rerun has the first one's bytes.
    data.write_text(csv(60))
    assert run(client, "data", "add", name, data) == f"{name}@2"
    again = job.rerun()
    again.wait(timeout=240, progress=False)
    assert again.metrics["rows"] == 40.0
    assert client.jobs.diff(job_id, again.job_id).data == []
    other = client.train(script, data={"train": name}, deploy=False, memory="1GiB").wait(timeout=240, progress=False)
    (difference,) = client.jobs.diff(job_id, other.job_id).data
    assert (difference.first, difference.second) == (f"{name}@1", f"{name}@2")

    copy = client.datasets.download(f"{name}@1", tmp_path / "copy.csv")
    assert copy.read_text() == csv(40)
    client.datasets.delete(f"{name}@1")
    with pytest.raises(InvalidRequest, match="deleted"):
        job.rerun()
