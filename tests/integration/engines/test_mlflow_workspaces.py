"""MLflow's real server and the guard: what one workspace gets of another by each of MLflow's routes, and what it has itself."""

from __future__ import annotations

import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

import httpx
import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.server import app as flask_app
from mlflow.server.fastapi_app import app as fastapi_app

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.mlflow_workspaces import PREFIX, mlflow_workspace
from raylift.engines.mlflow_engine.signed_credentials import Bearer, mint
from tests.integration.mlflow_server import MlflowServer, mlflow_server

MARK: Final = "what-blue-keeps"
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
        return httpx.Client(base_url=f"{self.server.url}{path}", headers=headers, timeout=30, trust_env=False)

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


@pytest.fixture(scope="module")
def callers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callers]:
    with mlflow_server(tmp_path_factory.mktemp("state"), keys=True) as server, pytest.MonkeyPatch.context() as patch:
        made = Callers(server)
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        patch.setenv("MLFLOW_TRACKING_TOKEN", made.token(BLUE))
        made.ids.update(_fill(MlflowClient(server.url)))
        yield made


def _fill(client: MlflowClient) -> dict[str, str]:
    experiment = client.create_experiment(f"{MARK}-experiment")
    run = client.create_run(experiment, tags={TAG_JOB_ID: "job_blue"}).info.run_id
    client.log_param(run, "param", f"{MARK}-param")
    client.log_metric(run, f"{MARK}-metric", 0.5)
    client.log_text(run, f"{MARK}-text", "secret.txt")
    model = client.create_logged_model(experiment, f"{MARK}-logged", source_run_id=run)
    client.create_registered_model(f"{MARK}-model", description=MARK)
    version = client.create_model_version(f"{MARK}-model", f"runs:/{run}/", run_id=run, tags={"note": MARK})
    client.set_registered_model_alias(f"{MARK}-model", "champion", version.version)
    span = client.start_trace(f"{MARK}-trace", inputs={"text": MARK}, experiment_id=experiment)
    client.end_trace(span.trace_id, outputs={"text": MARK})
    mlflow.flush_trace_async_logging()
    return {
        "experiment_id": experiment,
        "experiment_name": f"{MARK}-experiment",
        "run_id": run,
        "run_uuid": run,
        "model_id": model.model_id,
        "name": f"{MARK}-model",
        "version": str(version.version),
        "alias": "champion",
        "trace_id": span.trace_id,
        "request_id": span.trace_id,
    }


ROUTES: Final = sorted(
    {(rule.rule, method) for rule in flask_app.url_map.iter_rules() for method in rule.methods or () if method != "OPTIONS"}
    | {
        (route.path, method)
        for route in fastapi_app.routes
        for method in getattr(route, "methods", None) or ()
        if "assistant" not in route.path  # pyright: ignore[reportAttributeAccessIssue]
    }
)


def requests_for(path: str, method: str, ids: dict[str, str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Fill a route with the ids: in its path, and all fields that MLflow's requests have at once."""
    known = {
        **ids,
        "workspace_name": mlflow_workspace(BLUE),
        "artifact_path": f"workspaces/{mlflow_workspace(BLUE)}/{ids['experiment_id']}/{ids['run_id']}/artifacts/secret.txt",
    }
    url = re.sub(r"[<{](?:[a-z]+:)?(\w+)(?::path)?[>}]", lambda found: known.get(found[1], ids["name"]), path)
    for name in (ids["name"], ids["experiment_name"]):
        fields: dict[str, Any] = {
            **ids,
            "name": name,
            "new_name": "taken",
            "model_name": ids["name"],
            "experiment_ids": [ids["experiment_id"]],
            "run_ids": [ids["run_id"]],
            "trace_ids": [ids["trace_id"]],
            "request_ids": [ids["trace_id"]],
            "locations": [{"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": ids["experiment_id"]}}],
            "run_name": "taken",
            "key": "note",
            "value": "taken",
            "status": "FAILED",
            "stage": "None",
            "path": "secret.txt",
            "artifact_file_path": "secret.txt",
            "metric_key": f"{MARK}-metric",
            "metric_keys": [f"{MARK}-metric"],
            "tag_key": "note",
            "tag_value": "taken",
            "tags": [{"key": "note", "value": "taken"}],
            "max_results": 10,
            "max_traces": 10,
            "max_timestamp_millis": 2**50,
            "timestamp": 1,
            "step": 1,
        }
        yield (
            url,
            {"params": fields} if method in {"GET", "HEAD"} else {"json": fields, "params": {**ids, "path": "secret.txt"}},
        )


def walk(client: httpx.Client, ids: dict[str, str], *, get_only: bool = False) -> list[str]:
    """Ask every route for Blue's objects. Returns the routes whose answer has the mark."""
    got: set[str] = set()
    for path, method in ROUTES:
        if get_only and method != "GET":
            continue
        for url, how in requests_for(path, method, ids):
            answer = client.request(method, url, **how)
            assert answer.status_code != 401, path
            # An error may repeat the name that was asked for.
            if answer.status_code < 400 and MARK in answer.text:
                got.add(f"{method} {path}")
    return sorted(got)


@pytest.mark.parametrize("forged", ["", "blue", "both"])
@pytest.mark.parametrize("how", ["job", "key"])
def test_no_route_gives_or_changes_what_another_workspace_has(callers: Callers, how: str, forged: str) -> None:
    rows, files = callers.rows, callers.files
    headers = {HEADER: mlflow_workspace(BLUE)} if forged else {}
    if forged == "both":
        headers["x_mlflow_workspace"] = "red"
    red = callers.http("red") if how == "job" else callers.http(None, path=f"{PREFIX}/red", bearer=Bearer.PLATFORM)
    with red as client:
        client.headers.update(headers)
        assert walk(client, callers.ids) == []
    assert rows - callers.rows == set()
    assert callers.files == files
