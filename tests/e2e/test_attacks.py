"""Scripts that attack the platform get nothing. `attack_table.py` runs all attacks, as root and as another user."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from raylift import Client, Job
from raylift.launcher import LocalPlatform
from tests.e2e.attack_scripts import ATTACKS, Attack
from tests.e2e.attacking import run, run_batch, run_model, targets

TRAIN = """
from sklearn.linear_model import LogisticRegression
LogisticRegression().fit([[0.0], [1.0], [2.0], [3.0]], [0, 0, 1, 1])
"""


@pytest.fixture(scope="module")
def other(platform: LocalPlatform) -> Iterator[Job]:
    """Somebody's job that has ended, with a model."""
    with Client(platform.url) as client:
        name = f"victim-{uuid.uuid4().hex[:6]}"
        yield client.train(script_content=TRAIN, model=name, deploy=False).wait(240, progress=False)


def test_attacks_get_nothing(platform: LocalPlatform, client: Client, other: Job) -> None:
    everything = Attack("all of them in one script", "\n".join(attack.body for attack in ATTACKS))
    with targets(platform, other) as places:
        assert places["store"]
        assert places["models"]
        assert places["sockets"]
        assert run(client, everything, places) == []


# A minute of CPU. In CI, tests of confined models reach for files, processes, sockets, Ray's token and its ports.
@pytest.mark.nightly
def test_attacking_model_gets_nothing(platform: LocalPlatform, client: Client, other: Job) -> None:
    """Its process has neither Ray's connection nor its token, and cannot reach the replica that has."""
    name = f"attacking-{uuid.uuid4().hex[:6]}"
    with targets(platform, other) as places:
        replicas = [process.pid for process in platform.processes() if "ray::ServeReplica" in " ".join(process.cmdline())]
        places["pids"] += replicas
        got = run_model(client, name, places)
        in_batch = run_batch(client, name)
    for outcome in (got, in_batch):
        assert {attack: found for attack, found in outcome.items() if found} == {}
    assert set(in_batch) == set(got)
    client.deployments.delete(name, "1")


def test_job_says_what_confined_it(client: Client) -> None:
    job = client.train(script_content="pass", experiment="attacks", autolog=False).wait(120, progress=False)
    assert {"landlock", "no_new_privs"} <= set(job.view.usage.isolated_by if job.view.usage else ())
    assert job.view.isolation == "sandbox"


# With the whole network, the default, the jobs of other tests log to MLflow.
@pytest.mark.parametrize("network", ["mlflow-only", pytest.param("full", marks=pytest.mark.nightly)])
def test_script_logs_to_mlflow_from_the_sandbox(client: Client, network: str) -> None:
    name = f"sandboxed-{network}-{uuid.uuid4().hex[:6]}"
    job = client.train(script_content=TRAIN, model=name, deploy=False, network=network).wait(240, progress=False)  # type: ignore[arg-type]
    assert job.model_version == "1"


def test_script_that_calls_ray_asks_for_the_cluster(client: Client) -> None:
    code = "import ray\nray.init(namespace='attacks')\nprint('nodes:', len(ray.nodes()))"
    refused = client.train(script_content=code, experiment="attacks", autolog=False).wait(
        120, progress=False, raise_on_failure=False
    )
    assert refused.reason == "script_error"
    assert "--isolation cluster" in (refused.message or "")
    allowed = refused.rerun(isolation="cluster").wait(120, progress=False)
    assert "nodes: 1" in allowed.logs()
    assert allowed.view.usage is not None
    assert allowed.view.usage.isolated_by == []
