"""A real platform in keys mode: every way in without a key, with wrong ones, and real clients with keys."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from mlflow import MlflowClient
from mlflow.deployments import get_deploy_client
from ray.exceptions import AuthenticationError
from ray.job_submission import JobSubmissionClient
from tritonclient import grpc as grpc_triton
from tritonclient.http import InferenceServerClient, InferInput
from tritonclient.utils import InferenceServerException

from raylift import Client, Forbidden, NotFound, Unauthenticated
from raylift.launcher import LocalPlatform
from tests.e2e.conftest import OVERRIDES
from tests.e2e.kserve_environment import answers_to_kserve, python_with_kserve

ROOT = Path(__file__).parents[2]
SCRIPT = """
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
LogisticRegression(max_iter=200).fit(*load_iris(return_X_y=True))
"""
ROWS = [[5.1, 3.5, 1.4, 0.2], [6.7, 3.0, 5.2, 2.3]]
V2 = {"inputs": [{"name": "x", "shape": [2, 4], "datatype": "FP64", "data": ROWS}]}


@dataclass
class Keyed:
    platform: LocalPlatform
    keys: dict[str, str]
    """By role, ``other`` (a deployer of another workspace), ``app`` (only predicts), ``expired``, ``wrong``."""
    job_id: str = ""
    passed: dict[str, str] = field(default_factory=dict[str, str])

    @property
    def url(self) -> str:
        return self.platform.url

    def client(self, who: str) -> Client:
        return Client(self.url, self.keys[who])

    def send(self, who: str | None, method: str, path: str, **how: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.keys[who]}"} if who else {}
        return httpx.request(method, self.url + path, headers=headers, timeout=120, trust_env=False, **how)


@pytest.fixture(scope="module")
def keyed() -> Iterator[Keyed]:
    state_dir = Path(tempfile.mkdtemp(prefix="raylift-keys-"))
    here = {"environment": {"set": {"PYTHONPATH": f"{ROOT / 'platform'}{os.pathsep}{ROOT}"}}}
    running = LocalPlatform.start(state_dir, overrides={**OVERRIDES, **here, "auth": "keys"})
    try:
        keyed = Keyed(running, {"wrong": "rl_abcdefgh_" + "x" * 43})
        admin_key = json.loads((state_dir / "admin-key.json").read_text())["key"]
        with Client(running.url, admin_key) as admin:
            keyed.keys["admin"] = admin_key
            for name, role, workspace in (
                ("viewer", "viewer", "red"),
                ("submitter", "submitter", "red"),
                ("deployer", "deployer", "red"),
                ("other", "deployer", "blue"),
            ):
                keyed.keys[name] = admin.keys.create(name, role=role, workspace=workspace).key
            keyed.keys["app"] = admin.keys.create("app", workspace="red", models=["iris"]).key
            keyed.keys["expired"] = admin.keys.create("old", role="admin", expires_days=1 / 86400).key
        with keyed.client("submitter") as client:
            job = client.train(script_content=SCRIPT, model="iris", experiment="iris").wait(timeout=400)
            keyed.job_id = job.job_id
        with keyed.client("viewer") as client:
            client.deployments.wait("iris", "1", timeout=200)
        yield keyed
    finally:
        running.stop()
        shutil.rmtree(state_dir, ignore_errors=True)


PREDICTIONS = [
    ("/mlops/inference", {"model_name": "iris", "inputs": ROWS}),
    ("/v2/models/iris/versions/1/predict", {"model_name": "iris", "inputs": ROWS}),
    ("/v2/models/iris/infer", V2),
    ("/v2/models/iris/versions/1/infer", V2),
    ("/v2/models/iris/invocations", {"inputs": ROWS}),
    ("/v2/models/iris/versions/1/invocations", {"inputs": ROWS}),
    ("/v1/models/iris:predict", {"instances": ROWS}),
]


@pytest.mark.parametrize(("path", "body"), PREDICTIONS)
def test_predictions_need_a_key_of_the_workspace(keyed: Keyed, path: str, body: dict[str, Any]) -> None:
    for who in ("viewer", "submitter", "app", "admin"):
        assert keyed.send(who, "POST", path, json=body).status_code == 200, who
    for who, status in ((None, 401), ("wrong", 401), ("expired", 401), ("other", 404)):
        assert keyed.send(who, "POST", path, json=body).status_code == status, who


READS = [
    "/mlops/overview",
    "/mlops/training/jobs",
    "/mlops/models/iris",
    "/mlops/models/iris/versions/1/signature",
    "/mlops/models/iris/versions/1/stats",
    "/mlops/deployments",
    "/mlops/environments",
    "/api/jobs/",
    "/metrics",
    "/v2/models/iris/versions/1",
    "/v2/models/iris/versions/1/ready",
    "/v2/models",
    "/mlflow/",
    "/mlops/keys",
    "/mlops/audit",
]


@pytest.mark.parametrize("path", READS)
def test_nothing_is_read_without_a_valid_key(keyed: Keyed, path: str) -> None:
    for who in (None, "wrong", "expired"):
        assert keyed.send(who, "GET", path).status_code == 401, who
    assert keyed.send("admin", "GET", path).status_code == 200


def test_health_and_pages_need_no_key(keyed: Keyed) -> None:
    for path in ("/healthz", "/readyz", "/v2/health/live", "/openapi.json", "/console/", "/docs"):
        assert keyed.send(None, "GET", path).status_code == 200


def test_followed_log_needs_a_key_of_the_workspace(keyed: Keyed) -> None:
    path = f"/mlops/training/jobs/{keyed.job_id}/logs?follow=true"
    for who, status in ((None, 401), ("other", 404), ("viewer", 200)):
        answer = keyed.send(who, "GET", path)
        assert answer.status_code == status
    assert "event: end" in answer.text


def test_sdk_raises_errors_of_its_own(keyed: Keyed) -> None:
    with Client(keyed.url, keyed.keys["wrong"]) as client, pytest.raises(Unauthenticated, match="unknown or revoked"):
        client.whoami()
    with keyed.client("viewer") as client, pytest.raises(Forbidden, match="needs the role submitter"):
        client.train(script_content=SCRIPT, experiment="iris")
    with keyed.client("other") as client, pytest.raises(NotFound):
        client.jobs.get(keyed.job_id)


def test_user_of_the_platform_notices_nothing(keyed: Keyed) -> None:
    record = keyed.platform.record
    assert record.admin_key_file is not None
    assert stat.S_IMODE(record.admin_key_file.stat().st_mode) == 0o600
    own = {"RAYLIFT_STATE_DIR": str(record.state_dir), "RAYLIFT_URL": keyed.url, "XDG_CONFIG_HOME": "/nonexistent"}
    environment = {name: value for name, value in os.environ.items() if not name.startswith("RAYLIFT")} | own
    for command in (["jobs", "list"], ["keys", "list"], ["whoami"], ["audit", "--limit", "5"]):
        done = subprocess.run(
            [sys.executable, "-c", "from raylift.cli.app import main; main()", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr


def test_triton_over_http_sends_its_key(keyed: Keyed) -> None:
    client = InferenceServerClient(keyed.url.removeprefix("http://"), network_timeout=120)
    given = InferInput("x", [2, 4], "FP64")
    given.set_data_from_numpy(np.asarray(ROWS))
    answer = client.infer("iris", [given], headers={"Authorization": f"Bearer {keyed.keys['app']}"})
    assert list(answer.as_numpy("predict")) == [0, 2]  # pyright: ignore[reportArgumentType]
    with pytest.raises(InferenceServerException, match="401"):
        client.infer("iris", [given])
    client.close()


@pytest.mark.nightly
def test_kserve_client_sends_its_key(keyed: Keyed, tmp_path: Path) -> None:
    python = python_with_kserve(tmp_path)
    said = answers_to_kserve(python, keyed.url, "iris", key=keyed.keys["app"])
    assert [said[how] for how in ("infer, binary False", "infer, binary True", "infer, a version")] == [[0, 2]] * 3
    assert said["predict, v1"] == {"predictions": [0, 2]}
    assert (said["model ready"], said["model ready, v1"], said["no such model"]) == (True, True, False)
    with pytest.raises(AssertionError, match="401"):
        answers_to_kserve(python, keyed.url, "iris", key=keyed.keys["wrong"])


def test_grpc_asks_for_the_key_in_its_metadata(keyed: Keyed) -> None:
    client: Any = grpc_triton.InferenceServerClient(keyed.platform.urls["grpc"])
    given = grpc_triton.InferInput("x", [2, 4], "FP64")
    given.set_data_from_numpy(np.asarray(ROWS))
    for version in ("", "1"):
        for who in ("app", "viewer"):
            headers = {"authorization": f"Bearer {keyed.keys[who]}"}
            answer = client.infer("iris", [given], model_version=version, headers=headers)
            assert answer.as_numpy("predict").tolist() == [0, 2]
        for who, status in (
            (None, "UNAUTHENTICATED"),
            ("wrong", "UNAUTHENTICATED"),
            ("expired", "UNAUTHENTICATED"),
            ("other", "NOT_FOUND"),
        ):
            headers = {"authorization": f"Bearer {keyed.keys[who]}"} if who else {}
            with pytest.raises(InferenceServerException) as refused:
                client.infer("iris", [given], model_version=version, headers=headers)
            assert status in str(refused.value.status())
    client.close()


def test_ray_clients_send_their_key(keyed: Keyed) -> None:
    client = JobSubmissionClient(keyed.url, headers={"Authorization": f"Bearer {keyed.keys['deployer']}"})
    submission_id = client.submit_job(entrypoint="echo hello")
    assert submission_id in {job.submission_id for job in client.list_jobs()}
    for who, words in (
        ("submitter", "need the role deployer"),
        ("viewer", "needs the role submitter"),
        ("wrong", "unknown or revoked"),
    ):
        refused = JobSubmissionClient(keyed.url, headers={"Authorization": f"Bearer {keyed.keys[who]}"})
        with pytest.raises(AuthenticationError, match=words):
            refused.submit_job(entrypoint="echo hello")
    other = JobSubmissionClient(keyed.url, headers={"Authorization": f"Bearer {keyed.keys['other']}"})
    assert other.list_jobs() == []
    with pytest.raises(RuntimeError, match="404"):
        other.get_job_status(submission_id)


def test_ray_command_line_sends_its_key(keyed: Keyed) -> None:
    command = [str(Path(sys.executable).with_name("ray")), "job", "list", "--address", keyed.url]
    headers = json.dumps({"Authorization": f"Bearer {keyed.keys['viewer']}"})
    done = subprocess.run(
        command, env={**os.environ, "RAY_JOB_HEADERS": headers}, capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    assert keyed.job_id in done.stdout
    assert subprocess.run(command, capture_output=True, timeout=120, check=False).returncode != 0


def test_mlflow_deployment_commands_send_their_key(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    target = keyed.url.replace("http://", "raylift://")
    monkeypatch.setenv("RAYLIFT_API_KEY", keyed.keys["viewer"])
    client: Any = get_deploy_client(target)
    assert [deployment["name"] for deployment in client.list_deployments()]
    monkeypatch.setenv("RAYLIFT_API_KEY", keyed.keys["wrong"])
    with pytest.raises(Exception, match="unknown or revoked"):
        get_deploy_client(target).list_deployments()  # pyright: ignore[reportOptionalMemberAccess]


def test_mlflow_client_comes_through_the_platform(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    client = MlflowClient(f"{keyed.url}/mlflow")

    def become(who: str, workspace: str | None = None) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", keyed.keys[who])
        monkeypatch.setenv("MLFLOW_WORKSPACE", workspace) if workspace else monkeypatch.delenv("MLFLOW_WORKSPACE", False)

    for who, workspace in (("admin", "red"), ("submitter", None), ("deployer", "red")):
        become(who, workspace)
        (version,) = client.search_model_versions("name='iris'")
        assert version.tags["raylift.job_id"] == keyed.job_id
        run = client.create_run(client.create_experiment(f"by-{who}"))
        client.log_text(run.info.run_id, "hello", "note.txt")
        assert [file.path for file in client.list_artifacts(run.info.run_id)] == ["note.txt"]
    become("viewer")
    assert client.get_run(run.info.run_id).info.experiment_id
    with pytest.raises(Exception, match="a viewer only reads"):
        client.delete_run(run.info.run_id)
    become("other")
    assert client.search_model_versions("name='iris'") == []
    with pytest.raises(Exception, match="not found"):
        client.get_run(run.info.run_id)
    become("other", "red")
    with pytest.raises(Exception, match="Workspace 'red' not found"):
        client.search_experiments()
    for who in ("wrong", "app"):
        become(who)
        with pytest.raises(Exception, match=r"40[13]|not authorized|does not use it|no key"):
            client.search_experiments()


THIEF = """
import os, mlflow
client = mlflow.MlflowClient()
with mlflow.start_run():
    mlflow.log_metric("own", 1.0)
    mlflow.pyfunc.log_model(
        name="m", python_model=lambda model_input: model_input, pip_requirements=[], registered_model_name="iris"
    )
for workspace in ("", "red", "default"):
    os.environ["MLFLOW_WORKSPACE"] = workspace
    for number, step in enumerate((
        lambda: client.get_run(RUN),
        lambda: client.log_metric(RUN, "stolen", 1.0),
        lambda: client.set_tag(RUN, "stolen", "yes"),
        lambda: client.delete_run(RUN),
        lambda: client.list_artifacts(RUN),
        lambda: client.search_runs([EXPERIMENT])[0],
        lambda: mlflow.artifacts.load_text(f"runs:/{RUN}/model/MLmodel"),
    )):
        try:
            step()
        except Exception as error:
            print("refused", error)
        else:
            print("GOT", workspace, number)
print("END")
"""


def test_script_gets_nothing_of_another_workspace_in_mlflow(keyed: Keyed, monkeypatch: pytest.MonkeyPatch) -> None:
    with keyed.client("submitter") as client:
        theirs = client.jobs.get(keyed.job_id).view
    script = f"RUN, EXPERIMENT = {theirs.mlflow_run_id!r}, {theirs.mlflow_experiment_id!r}\n{THIEF}"
    with keyed.client("other") as client:
        job = client.train(script_content=script, experiment="thief", autolog=False).wait(timeout=400)
        assert job.view.metrics["own"] == 1.0
        assert "END" in job.logs()
        assert "GOT" not in job.logs()
    # It has registered a model, whose name another workspace has: MLflow takes it, and it gets no endpoint.
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", keyed.keys["other"])
    mlflow, end = MlflowClient(f"{keyed.url}/mlflow"), time.monotonic() + 90
    while "raylift.not_deployed" not in mlflow.get_model_version("iris", "1").tags:
        assert time.monotonic() < end, "it does not say so"
        time.sleep(0.5)
    assert keyed.send("other", "GET", "/mlops/models/iris").status_code == 404
    with keyed.client("viewer") as client:
        [version] = client.models.get("iris").versions
        assert version.lineage.job_id == keyed.job_id


def test_dashboard_of_ray_comes_through_the_platform(keyed: Keyed) -> None:
    for path in ("/ray/", "/ray/api/version", "/ray/api/v0/nodes"):
        assert keyed.send("admin", "GET", path).status_code == 200, path
        for who, status in (("deployer", 403), ("wrong", 401), (None, 401)):
            assert keyed.send(who, "GET", path).status_code == status


def test_credential_of_a_job_for_mlflow_ends_with_the_job(keyed: Keyed) -> None:
    url = f"{keyed.platform.record.mlflow_url}/api/2.0/mlflow/experiments/search"
    script = f"""
import os, urllib.request
token = os.environ["MLFLOW_TRACKING_TOKEN"]
request = urllib.request.Request({url!r}, b'{{"max_results": 1}}', {{"Authorization": "Bearer " + token}})
request.add_header("Content-Type", "application/json")
print(urllib.request.urlopen(request).status, token.encode().hex())
"""
    with keyed.client("submitter") as client:
        status, token = client.train(script_content=script).wait(timeout=400).logs().split()[:2]
    assert status == "200"
    headers = {"Authorization": f"Bearer {bytes.fromhex(token).decode()}"}
    end = time.monotonic() + 90
    while httpx.post(url, json={"max_results": 1}, headers=headers, trust_env=False).status_code != 401:
        assert time.monotonic() < end, "the credential is good after the end"
        time.sleep(0.2)


def test_port_of_mlflow_asks_for_a_credential(keyed: Keyed) -> None:
    url = keyed.platform.record.mlflow_url
    assert httpx.get(f"{url}/health", trust_env=False).status_code == 200
    for headers in ({}, {"Authorization": f"Bearer {keyed.keys['admin']}"}):
        answer = httpx.post(
            f"{url}/api/2.0/mlflow/experiments/search", json={"max_results": 1}, headers=headers, trust_env=False
        )
        assert answer.status_code == 401
    assert httpx.get(url, trust_env=False).status_code == 401


def test_traffic_tables_and_cold_versions_keep_working(keyed: Keyed) -> None:
    with keyed.client("deployer") as client:
        client.traffic.set("iris", {"1": 100})
        client.deployments.delete("iris", "1")
        client.deployments.put("iris", "1", min_replicas=0)
        assert list(client.predict("iris", ROWS).predictions) == [0, 2]
    assert keyed.send(None, "POST", "/v2/models/iris/versions/1/infer", json=V2).status_code == 401


def within(seconds: float, condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.1)
    return True


def test_revoked_key_stops_everywhere(keyed: Keyed) -> None:
    with keyed.client("admin") as admin:
        key = admin.keys.create("leaver", role="viewer", workspace="red")
        headers = {"Authorization": f"Bearer {key.key}"}
        paths = ("/mlops/training/jobs", "/v2/models/iris/versions/1", "/mlflow/")

        def statuses() -> list[int]:
            return [httpx.get(keyed.url + path, headers=headers, trust_env=False).status_code for path in paths]

        assert statuses() == [200, 200, 200]
        admin.keys.revoke(key.key_id)
        # The limit is for a busy machine; the documentation promises five seconds.
        assert within(30, lambda: statuses() == [401, 401, 401])


def test_audit_names_the_callers(keyed: Keyed) -> None:
    with keyed.client("admin") as admin:
        (submitted,) = [entry for entry in admin.audit.entries(target=keyed.job_id) if entry.action == "job.submit"]
        assert (submitted.who, submitted.workspace, submitted.address) == ("submitter", "red", "127.0.0.1")
        assert "key.create" in {entry.action for entry in admin.audit.entries(who="admin", limit=50)}
        lines = [json.loads(line) for line in admin.audit.export(outcome="refused")]
        assert {"viewer", ""} <= {line["who"] for line in lines}
        text = json.dumps([json.loads(line) for line in admin.audit.export()])
    assert not [key for key in keyed.keys.values() if key in text]
