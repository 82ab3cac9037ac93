"""Callers of MLflow's server in keys mode, and the objects of the workspace Blue."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from typing import Final

import httpx
import mlflow
from mlflow import MlflowClient

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.models.workspaces import mlflow_workspace
from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint
from tests.integration.engines.mlflow_walk import MARK
from tests.integration.mlflow_server import MlflowServer

BLUE: Final = "Blue_Team"
"""A name that MLflow does not take as it is."""
HEADER: Final = "X-MLFLOW-WORKSPACE"


@dataclass
class Callers:
    server: MlflowServer
    ids: dict[str, str] = field(default_factory=dict[str, str])
    """Blue's objects, by the names of fields in MLflow's requests."""

    def token(self, workspace: str | None, bearer: Bearer = Bearer.JOB) -> str:
        return mint(self.server.secret, bearer, "x", workspace=workspace, expires=time.time() + 900)

    def http(self, workspace: str | None, *, path: str = "", bearer: Bearer = Bearer.JOB, **headers: str) -> httpx.Client:
        headers = {"Authorization": f"Bearer {self.token(workspace, bearer)}"} | {
            name.replace("_", "-"): value for name, value in headers.items()
        }
        return httpx.Client(base_url=f"{self.server.url}{path}", headers=headers, timeout=120, trust_env=False)

    @property
    def files(self) -> dict[str, bytes]:
        root = self.server.files.artifacts / "workspaces" / mlflow_workspace(BLUE)
        return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}

    @property
    def rows(self) -> set[tuple[str, str]]:
        """Rows of the database with one of Blue's ids or marks."""
        wanted = [MARK, mlflow_workspace(BLUE), *(self.ids[name] for name in ("run_id", "model_id", "trace_id"))]
        found: set[tuple[str, str]] = set()
        with closing(sqlite3.connect(self.server.files.database)) as connection:
            tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
            for table in tables:
                lines = (str(row) for row in connection.execute(f'SELECT * FROM "{table}"'))
                found |= {(table, line) for line in lines if any(each in line for each in wanted)}
        return found


def model_of(job_id: str, client: MlflowClient) -> str:
    """Log a run of a job with a file, and register that as ``iris``. Returns the run."""
    experiment = client.create_experiment(f"of-{job_id}")
    run = client.create_run(experiment, tags={TAG_JOB_ID: job_id}).info.run_id
    client.log_text(run, f"of {job_id}", "model/file.txt")
    client.log_metric(run, "score", 0.75)
    client.create_registered_model("iris")
    client.create_model_version("iris", f"runs:/{run}/model", run_id=run)
    return run


def fill(client: MlflowClient) -> dict[str, str]:
    experiment = client.create_experiment("blue-experiment", tags={"note": MARK})
    run = client.create_run(experiment, tags={TAG_JOB_ID: "job_blue"}).info.run_id
    client.log_param(run, "param", f"{MARK}-param")
    client.log_metric(run, f"{MARK}-metric", 0.5)
    client.log_text(run, f"{MARK}-text", "secret.txt")
    model = client.create_logged_model(experiment, "blue-logged", source_run_id=run, tags={"note": MARK})
    client.create_registered_model("blue-model", description=MARK)
    version = client.create_model_version("blue-model", f"runs:/{run}/", run_id=run, tags={"note": MARK})
    client.set_registered_model_alias("blue-model", "champion", version.version)
    span = client.start_trace(f"{MARK}-trace", inputs={"text": MARK}, experiment_id=experiment)
    client.end_trace(span.trace_id, outputs={"text": MARK})
    mlflow.flush_trace_async_logging()
    return {
        "experiment_id": experiment,
        "experiment_name": "blue-experiment",
        "run_id": run,
        "run_uuid": run,
        "model_id": model.model_id,
        "name": "blue-model",
        "version": str(version.version),
        "alias": "champion",
        "trace_id": span.trace_id,
        "request_id": span.trace_id,
    }
