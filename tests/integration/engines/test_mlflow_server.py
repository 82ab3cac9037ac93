"""Attacks on the platform's files by way of MLflow's server, and what works as before. Files of the attacks are decoys."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

import httpx
import mlflow
import psutil
import pytest
from mlflow import MlflowClient
from mlflow.entities import Metric, Param

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.models.run_history import RunHistory
from raylift.engines.mlflow_engine.registry import Registry
from tests.integration.mlflow_server import MlflowServer, mlflow_server

SECRET = "a decoy"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    state = tmp_path_factory.mktemp("state")
    (state / "raylift.db").write_text(SECRET)
    with mlflow_server(state) as started:
        yield started


@pytest.fixture
def client(server: MlflowServer) -> MlflowClient:
    return MlflowClient(server.url)


def run_at(client: MlflowClient, location: str) -> str:
    """Make an experiment with its artifacts at ``location``. Returns a run in it."""
    experiment = client.create_experiment(f"x{time.time_ns()}", artifact_location=location)
    return client.create_run(experiment).info.run_id


@pytest.mark.parametrize("where", ["state", "linked", "mlflow", "elsewhere"])
def test_artifact_location_leads_to_no_file_of_the_platform(
    server: MlflowServer, client: MlflowClient, tmp_path: Path, where: str
) -> None:
    (tmp_path / "link").symlink_to(server.state_dir)
    (tmp_path / "mine").write_text(SECRET)
    location, name = {
        "state": (server.state_dir, "raylift.db"),
        "linked": (tmp_path, "link/raylift.db"),
        "mlflow": (server.files.root, server.files.database.name),
        "elsewhere": (tmp_path, "mine"),
    }[where]
    run = run_at(client, location.as_uri())
    version = _version_of(client, run, location)
    before = (server.state_dir / "raylift.db").stat()
    answers = [
        server.get("/get-artifact", run_id=run, path=name),
        server.get("/api/2.0/mlflow/artifacts/list", run_id=run),
        server.get("/model-versions/get-artifact", name=version, version="1", path=name),
        _upload(server, run, "raylift.db"),
    ]
    for answer in answers:
        assert answer.status_code >= 400, answer.text
        assert SECRET not in answer.text
        assert b"SQLite format" not in answer.content
    assert (server.state_dir / "raylift.db").read_text() == SECRET
    assert (server.state_dir / "raylift.db").stat().st_mode == before.st_mode


def _version_of(client: MlflowClient, run: str, location: Path) -> str:
    name = f"m{time.time_ns()}"
    client.create_registered_model(name)
    with suppress(mlflow.MlflowException):  # MLflow itself may refuse it.
        client.create_model_version(name, source=location.as_uri(), run_id=run)
    return name


def _upload(server: MlflowServer, run: str, name: str) -> httpx.Response:
    url = f"{server.url}/ajax-api/2.0/mlflow/upload-artifact?run_uuid={run}&path={name}"
    return httpx.post(url, content=b"overwritten", timeout=120, trust_env=False)


def test_processes_of_the_server_are_confined(server: MlflowServer) -> None:
    port = httpx.URL(server.url).port
    listening = [each for each in psutil.net_connections("tcp") if each.laddr and each.laddr.port == port]
    found = [psutil.Process(each.pid) for each in listening if each.status == psutil.CONN_LISTEN]
    assert found
    for process in found:
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "NoNewPrivs:\t1" in status
        assert "CapEff:\t0000000000000000" in status
    assert "landlock" in server.files.log.read_text()


def test_logging_and_proxied_artifacts_work(server: MlflowServer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    mlflow.set_tracking_uri(server.url)
    monkeypatch.chdir(tmp_path)
    try:
        # Another test of this process may have chosen an experiment.
        with mlflow.start_run(experiment_id="0") as run:
            mlflow.log_metric("loss", 0.5)
            mlflow.log_text("hello", "notes/a.txt")
            mlflow.log_dict({"a": 1}, "notes/b.json")
        read = mlflow.artifacts.load_text(f"{run.info.artifact_uri}/notes/a.txt")
    finally:
        mlflow.set_tracking_uri("")
    assert read == "hello"
    assert server.get("/get-artifact", run_id=run.info.run_id, path="notes/a.txt").text == "hello"
    listed = server.get("/api/2.0/mlflow/artifacts/list", run_id=run.info.run_id, path="notes").json()
    assert [file["path"] for file in listed["files"]] == ["notes/a.txt", "notes/b.json"]
    page = server.get("/")
    assert page.status_code == 200
    assert "<html" in page.text


def test_other_artifact_stores_are_left_to_mlflow(server: MlflowServer, client: MlflowClient) -> None:
    run = client.get_run(run_at(client, "s3://bucket/prefix"))
    assert str(run.info.artifact_uri).startswith("s3://bucket/prefix")
    listed = server.get("/api/2.0/mlflow/artifacts/list", run_id=run.info.run_id)
    assert "local artifacts" not in listed.text


def test_curves_of_a_job_are_read_by_its_tag_and_sampled(server: MlflowServer, client: MlflowClient) -> None:
    experiment = f"curves{time.time_ns()}"
    registry = Registry(server.url)

    def read(run_id: str | None = None, names: Sequence[str] = (), points: int = 500) -> RunHistory | None:
        return registry.run_history(
            "job_1", workspace="default", run_id=run_id, experiment=experiment, names=names, points=points
        )

    assert read() is None
    run = client.create_run(client.create_experiment(experiment), tags={TAG_JOB_ID: "job_1"}).info.run_id
    client.log_batch(run, [Metric("loss", 1 / (step + 1), 1000 + step, step) for step in range(200)], [Param("lr", "0.1")])
    client.log_metric(run, "worst", float("inf"), step=3)
    found = read()
    assert found is not None
    assert (found.run_id, found.params, sorted(found.metrics)) == (run, {"lr": "0.1"}, ["loss", "worst"])
    assert [(point.step, point.value) for point in found.metrics["loss"]] == [(step, 1 / (step + 1)) for step in range(200)]
    assert [(point.step, point.value) for point in found.metrics["worst"]] == [(3, float("inf"))]
    sampled = read(run, ["loss"], points=20)
    assert sampled is not None
    assert list(sampled.metrics) == ["loss"]
    assert (sampled.metrics["loss"][0].step, sampled.metrics["loss"][-1].step) == (0, 199)
    assert len(sampled.metrics["loss"]) < 30
    assert read("0" * 32) is None
