"""Features, a training and a batch, submitted at once: each starts with what those before it have made."""

from __future__ import annotations

import json
import uuid
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner

from raylift import Client, JobCancelled
from raylift.cli.app import app
from raylift.launcher import LocalPlatform
from raylift.launcher.processes.platform_processes import processes_of

FEATURES = """
import os
from pathlib import Path

Path(os.environ["RAYLIFT_OUTPUT"], "train.csv").write_text(
    "age,left\\n" + "".join(f"{20 + n},{int(n > 20)}\\n" for n in range(40))
)
"""
TRAIN = """
import os
import mlflow
import pandas as pd
from sklearn.linear_model import LogisticRegression

frame = pd.read_csv(os.environ["RAYLIFT_DATA_TRAIN"])
with mlflow.start_run():
    mlflow.log_metric("rows", len(frame))
    mlflow.sklearn.log_model(LogisticRegression().fit(frame[["age"]], frame["left"]), name="model")
"""


def run(client: Client, *words: object) -> str:
    done = CliRunner().invoke(app, ["--url", client.base_url, *map(str, words)])
    assert done.exit_code == 0, (words, done.output)
    return done.stdout.strip()


@pytest.fixture
def name() -> str:
    return f"order-{uuid.uuid4().hex[:8]}"


def test_chain_of_jobs_passes_data_and_version_on(client: Client, platform: LocalPlatform, name: str, tmp_path: Path) -> None:
    for file, text in (("features.py", FEATURES), ("train.py", TRAIN), ("rows.csv", "age\n21\n59\n")):
        (tmp_path / file).write_text(text)
    features = run(client, "train", tmp_path / "features.py", "--output-dataset", name, "--memory", "1GiB")
    data = f"train=job:{features}"
    train = run(client, "train", tmp_path / "train.py", "--model", name, "--data", data, "--memory", "1GiB")
    rows = tmp_path / "rows.csv"
    batch = run(client, "batch", name, "--input", rows, "--version", f"job:{train}", "--memory", "1GiB", "--no-wait")
    waiting = client.jobs.get(batch).view
    assert (waiting.status, waiting.reason, waiting.message) == ("queued", "waiting_for_job", f"It waits for {train}.")

    # Between the end of a job and the start of the next one.
    client.jobs.get(features).wait(timeout=240, progress=False)
    for process in processes_of(platform.record.instance):
        if "SupervisorActor" in " ".join(process.cmdline()):
            process.kill()
    client.jobs.get(batch).wait(timeout=400, progress=False)

    made = client.jobs.get(features).view
    assert made.output is not None
    assert (made.output.name, made.output.version) == (name, 1)
    trained = client.jobs.get(train)
    assert trained.metrics["rows"] == 40.0
    (given,) = trained.view.data
    assert (given.name, given.version, given.of_job) == (name, 1, features)
    client.batches.get(batch).download(tmp_path / "scored.parquet")
    assert list(pd.read_parquet(tmp_path / "scored.parquet")["prediction"]) == [0, 1]
    assert client.batches.get(batch).model_version == "1"
    for job_id in (features, train, batch):
        events: Any = json.loads(run(client, "jobs", "events", job_id, "-o", "json"))
        assert [event["after"] for event in events["events"]].count("starting") == 1, job_id

    graph: Any = json.loads(run(client, "jobs", "graph", train, "-o", "json"))
    assert [job["job_id"] for job in graph["jobs"]] == [features, train, batch]
    assert [(edge["before"], edge["after"]) for edge in graph["edges"]] == sorted([(features, train), (train, batch)])


def test_job_after_one_that_fails_never_starts(client: Client, name: str) -> None:
    first = client.train(script_content="raise SystemExit(1)", experiment=name, memory="512MiB")
    later = client.train(script_content="print('ran')", experiment=name, memory="512MiB", after=first.job_id)
    last = client.train(script_content="print('ran')", experiment=name, memory="512MiB", after=[later.job_id])
    with pytest.raises(JobCancelled):
        last.wait(timeout=240, progress=False)
    assert "never started" in (last.view.message or "")
    assert later.refresh().view.reason == "upstream_failed"
    assert "failed" in (later.message or "")
    assert last.view.started_at is None
