"""MLflow's real server and the guard: what one workspace gets of another by each of MLflow's routes, and what it has itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.domain.models.workspaces import PREFIX, mlflow_workspace
from raylift.engines.mlflow_engine.registry import Registry
from raylift.engines.mlflow_engine.signed_credentials import Bearer
from raylift.engines.mlflow_engine.sweep_runs import SweepRuns
from raylift.engines.mlflow_engine.tracking import Tracking
from tests.integration.engines.mlflow_callers import BLUE, HEADER, Callers, fill, model_of
from tests.integration.engines.mlflow_walk import MARK, QUERIES, walk
from tests.integration.mlflow_server import mlflow_server


@pytest.fixture(scope="module")
def state_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("state")


@pytest.fixture(scope="module")
def callers(state_dir: Path) -> Iterator[Callers]:
    """A server of local mode with a model, started again in keys mode."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with mlflow_server(state_dir) as local:
            model_of("local", MlflowClient(local.url))
        with mlflow_server(state_dir, keys=True) as server:
            made = Callers(server)
            patch.setenv("MLFLOW_TRACKING_URI", server.url)
            # An address that a test of another file has set goes before the variable.
            patch.setattr("mlflow.tracking._tracking_service.utils._tracking_uri", server.url)
            patch.setenv("MLFLOW_TRACKING_TOKEN", made.token(BLUE))
            made.ids.update(fill(MlflowClient(server.url)))
            yield made


@pytest.fixture
def as_workspace(callers: Callers, monkeypatch: pytest.MonkeyPatch) -> Callable[[str | None], MlflowClient]:
    """Make MLflow's client of a job in a workspace; of the platform for None."""

    def connected(workspace: str | None) -> MlflowClient:
        bearer = Bearer.PLATFORM if workspace is None else Bearer.JOB
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", callers.token(workspace, bearer))
        return MlflowClient(callers.server.url)

    return connected


@pytest.mark.parametrize("how", ["job", "key"])
def test_no_route_gives_or_changes_what_another_workspace_has(callers: Callers, how: str) -> None:
    """Walk MLflow's API as a job does, and that of its pages as a key does, by HAProxy's prefix."""
    rows, files, theirs = callers.rows, callers.files, mlflow_workspace(BLUE)
    is_job = how == "job"
    red = callers.http("red") if is_job else callers.http(None, path=f"{PREFIX}/red", bearer=Bearer.PLATFORM)
    with red as client:
        assert walk(client, callers.ids, theirs, without="/ajax-api/" if is_job else "/api/") == []
        forged = client.get("/api/2.0/mlflow/runs/get", params={"run_id": callers.ids["run_id"]}, headers={HEADER: theirs})
    assert (forged.status_code, MARK in forged.text) == (404, False)
    assert rows - callers.rows == set()
    assert callers.files == files


@pytest.mark.parametrize("query", QUERIES)
def test_graphql_answers_in_one_workspace(callers: Callers, query: str) -> None:
    run, experiment = callers.ids["run_id"], callers.ids["experiment_id"]
    asked = {"query": query.replace("RUN", f'"{run}"').replace("EXPERIMENT", f'"{experiment}"')}
    wanted = "secret.txt" if "mlflowListArtifacts" in query else MARK
    for workspace, is_theirs in ((BLUE, True), ("red", False), (DEFAULT_WORKSPACE, False)):
        with callers.http(workspace) as client:
            answer = client.post("/graphql", json=asked)
        assert (wanted in answer.text) == is_theirs, answer.text


def test_traces_are_not_written_into_another_workspace(
    callers: Callers, as_workspace: Callable[[str | None], MlflowClient]
) -> None:
    own = as_workspace("red").create_experiment("traced")
    rows, theirs = callers.rows, callers.ids["trace_id"]
    for experiment, trace in ((callers.ids["experiment_id"], "tr-" + "1" * 32), (own, theirs)):
        span = {
            "traceId": trace.removeprefix("tr-"),
            "spanId": "1" * 16,
            "name": "stolen",
            "startTimeUnixNano": "1",
            "endTimeUnixNano": "2",
            "attributes": [{"key": "mlflow.traceRequestId", "value": {"stringValue": f'"{trace}"'}}],
        }
        info = {
            "trace_id": trace,
            "trace_location": {"type": "MLFLOW_EXPERIMENT", "mlflow_experiment": {"experiment_id": experiment}},
            "request_time": "2026-01-02T00:00:00Z",
            "state": "OK",
            "tags": {"note": "stolen"},
        }
        with callers.http("red", x_mlflow_experiment_id=experiment) as client:
            client.post("/v1/traces", json={"resourceSpans": [{"scopeSpans": [{"spans": [span]}]}]})
            client.post("/api/3.0/mlflow/traces", json={"trace": {"trace_info": info}})
    assert rows - callers.rows == set()
    with closing(sqlite3.connect(callers.server.files.database)) as connection:
        written = "SELECT COUNT(*) FROM spans WHERE name = 'stolen' AND (experiment_id = ? OR trace_id = ?)"
        assert connection.execute(written, (callers.ids["experiment_id"], theirs)).fetchone() == (0,)
        tags = "SELECT COUNT(*) FROM trace_tags WHERE value = 'stolen' AND request_id = ?"
        assert connection.execute(tags, (theirs,)).fetchone() == (0,)


@pytest.mark.parametrize(
    "path", ["workspaces", "%2e/workspaces", "{own}", "%2e/{own}", "%2E%2F{own}", "x/%2e%2e/{own}", "%2e", "{own}/1", "/{own}"]
)
@pytest.mark.parametrize("workspace", [DEFAULT_WORKSPACE, "red"])
def test_proxy_of_artifacts_leads_to_no_file_of_another_workspace(callers: Callers, workspace: str, path: str) -> None:
    files, own = callers.files, f"workspaces/{mlflow_workspace(BLUE)}"
    secret = next(name for name in files if name.endswith("secret.txt")).partition(f"/{own}/")[2]
    proxy, path = "/api/2.0/mlflow-artifacts", path.format(own=own)
    with callers.http(workspace) as client:
        for answer in (
            client.get(f"{proxy}/artifacts/{path}/{secret}"),
            client.get(f"{proxy}/artifacts?path={path}/{secret.rpartition('/')[0]}"),
            client.get(f"{proxy}/artifacts?path={path}"),
        ):
            assert MARK not in answer.text
            assert "secret.txt" not in answer.text or answer.status_code >= 400
        client.put(f"{proxy}/artifacts/{path}/{secret}", content=b"other")
        client.delete(f"{proxy}/artifacts/{path}/{secret}")
        client.delete(f"{proxy}/artifacts/{path}")
    assert callers.files == files


@pytest.mark.parametrize("scheme", ["mlflow-artifacts:/", "file://", "runs:/", "models:/"])
def test_source_of_a_version_is_not_of_another_workspace(
    callers: Callers, as_workspace: Callable[[str | None], MlflowClient], scheme: str
) -> None:
    client, secret = as_workspace("red"), next(Path(name) for name in callers.files if name.endswith("secret.txt"))
    root = callers.server.files.artifacts
    source = {
        "mlflow-artifacts:/": f"mlflow-artifacts:/{secret.parent.relative_to(root)}",
        "file://": secret.parent.as_uri(),
        "runs:/": f"runs:/{callers.ids['run_id']}/",
        "models:/": f"models:/{callers.ids['name']}/1",
    }[scheme]
    with suppress(MlflowException):
        client.create_registered_model("theft")
    with suppress(MlflowException):
        client.create_model_version("theft", source)
    with callers.http("red") as http:
        for version in ("1", "2", "3"):
            asked = {"name": "theft", "version": version, "path": "secret.txt"}
            answer = http.get("/model-versions/get-artifact", params=asked)
            assert MARK not in answer.text


def test_workspace_is_used_as_one_mlflow(callers: Callers, as_workspace: Callable[[str | None], MlflowClient]) -> None:
    client = as_workspace("green")
    run = model_of("job_green", client)
    assert mlflow.artifacts.load_text(f"runs:/{run}/model/file.txt") == "of job_green"
    assert [model.name for model in client.search_registered_models()] == ["iris"]
    assert [found.name for found in client.search_experiments()] == ["of-job_green"]
    with callers.http("green", bearer=Bearer.REPLICA) as replica:
        path = str(client.get_run(run).info.artifact_uri).removeprefix("mlflow-artifacts:/")
        assert path.startswith("workspaces/green/")
        assert replica.get(f"/api/2.0/mlflow-artifacts/artifacts/{path}/model/file.txt").text == "of job_green"


def test_new_experiments_of_the_default_workspace_keep_their_artifacts(
    as_workspace: Callable[[str | None], MlflowClient],
) -> None:
    client = as_workspace(DEFAULT_WORKSPACE)
    run = client.create_run(client.create_experiment("made-with-workspaces")).info
    assert str(run.artifact_uri).startswith(f"mlflow-artifacts:/workspaces/{DEFAULT_WORKSPACE}/")
    client.log_text(run.run_id, "of default", "file.txt")
    assert mlflow.artifacts.load_text(f"runs:/{run.run_id}/file.txt") == "of default"


def test_what_local_mode_made_is_in_the_default_workspace(as_workspace: Callable[[str | None], MlflowClient]) -> None:
    client = as_workspace(DEFAULT_WORKSPACE)
    (version,) = client.search_model_versions("name='iris'")
    assert mlflow.artifacts.load_text(f"runs:/{version.run_id}/model/file.txt") == "of local"
    with pytest.raises(MlflowException, match="not found"):
        as_workspace("red").get_run(version.run_id or "")


def test_admins_see_every_workspace_and_choose_one(
    callers: Callers, as_workspace: Callable[[str | None], MlflowClient], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = as_workspace(None)
    with callers.http(None, bearer=Bearer.PLATFORM) as http:
        listed = http.get("/api/3.0/mlflow/workspaces").json()["workspaces"]
    assert {"default", mlflow_workspace(BLUE)} <= {each["name"] for each in listed}
    assert BLUE in {each.get("description") for each in listed}
    monkeypatch.setenv("MLFLOW_WORKSPACE", mlflow_workspace(BLUE))
    assert client.get_run(callers.ids["run_id"]).data.params == {"param": f"{MARK}-param"}


class Owners:
    """The store's record: Blue has a model, Green another ``iris`` than the default workspace."""

    def of_model(self, model_name: str) -> str:
        return self.of_models().get(model_name, DEFAULT_WORKSPACE)

    def of_models(self) -> dict[str, str]:
        return {"blue-model": BLUE}


def test_platform_finds_each_object_in_its_workspace(
    callers: Callers, as_workspace: Callable[[str | None], MlflowClient]
) -> None:
    as_workspace(None)
    url, name, run = callers.server.url, callers.ids["name"], callers.ids["run_id"]
    registry, tracking = Registry(url, Owners()), Tracking(url)
    assert [model.name for model in registry.models()] == [name, "iris"]
    assert registry.version(name, "1").metrics == {f"{MARK}-metric": 0.5}
    assert "secret.txt" in registry.file_digests(registry.version(name, "1"))
    assert registry.version_of_alias(name, "champion") == "1"
    history = registry.run_history("job_blue", workspace=BLUE, run_id=None, experiment="blue-experiment", names=(), points=9)
    assert history is not None
    assert [point.value for point in history.metrics[f"{MARK}-metric"]] == [0.5]
    assert [found.run_id for found in tracking.of(BLUE).runs_of_job("job_blue")] == [run]
    assert tracking.runs_of_job("job_blue") == []
    opened = SweepRuns(url).of(BLUE).open("sweep_1", experiment_name="blue-experiment", run_name="s", tags={})
    assert opened.experiment_id == callers.ids["experiment_id"]


def test_walk_finds_what_the_own_workspace_has(callers: Callers) -> None:
    """Show that the routes and fields of the walk lead to objects. It ends Blue's objects, so it is the last one here."""
    rows = callers.rows
    with callers.http(BLUE) as client:
        got = walk(client, callers.ids, mlflow_workspace(BLUE), without="/ajax-api/")
    assert len(got) > 15, got
    assert rows - callers.rows, "nothing was changed"


def test_server_of_local_mode_starts_again_after_keys(callers: Callers, state_dir: Path) -> None:
    # Beside the other: SQLite allows two, and one process fewer is started and ended.
    with mlflow_server(state_dir) as local:
        assert local.files.has_workspaces()
        (version,) = MlflowClient(local.url).search_model_versions("name='iris'")
        assert version.run_id
        found = local.get(f"{PREFIX}/{BLUE}/api/2.0/mlflow/experiments/get", experiment_id=callers.ids["experiment_id"])
        assert found.status_code == 200
