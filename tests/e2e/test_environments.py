"""Environments on a real platform: a slow download, and the jobs and versions that hold an environment."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator

import pytest

from raylift import Client, Conflict
from tests.integration.environments.slow_index import SlowIndex, slow_index

_MIB = 2**20
TRAIN = """
from sklearn.linear_model import LogisticRegression
LogisticRegression().fit([[0.0], [1.0]], [0, 1])
"""


@pytest.fixture
def index() -> Iterator[SlowIndex]:
    with slow_index(bytes_per_second=_MIB) as index:
        yield index


def _until(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds. The time limit of the test bounds it."""
    while not condition():
        time.sleep(0.1)


def _package(index: SlowIndex, weight: int) -> str:
    name = f"e2e_{uuid.uuid4().hex[:6]}"
    index.add(name, weight)
    return f"{name} @ {index.wheel_url(name)}"


def test_download_is_a_phase_with_bytes_and_a_cancel_ends_it(client: Client, index: SlowIndex) -> None:
    requirement = _package(index, 200 * _MIB)
    job = client.train(script_content="print(1)", experiment="slow", requirements=[requirement])
    _until(lambda: (seen := job.refresh().view.environment_progress) is not None and seen.downloaded > 0)
    view, environment = job.view, client.environments.get(job.job_id)
    assert (view.phase, view.reason, view.status) == ("environment", "building_environment", "queued")
    assert view.environment_progress is not None
    assert view.environment_progress.downloaded < 100 * _MIB < view.environment_progress.size
    assert "downloaded" in (view.message or "")
    assert environment.progress is not None
    assert not environment.built
    assert not index.broken_off.is_set()
    job.cancel()
    assert index.broken_off.wait(30)
    assert job.wait(timeout=60, raise_on_failure=False).status == "cancelled"
    assert not any(each.hash == environment.hash for each in client.environments.list())


@pytest.mark.nightly
def test_cancel_keeps_a_download_that_another_job_waits_for(client: Client, index: SlowIndex) -> None:
    requirement = _package(index, 8 * _MIB)
    first, second = [
        client.train(script_content="print('ran')", experiment="slow", requirements=[requirement]) for _ in range(2)
    ]
    _until(lambda: all(job.refresh().view.environment_progress is not None for job in (first, second)))
    first.cancel()
    assert second.wait(timeout=300).logs().strip().endswith("ran")
    assert first.refresh().status == "cancelled"
    assert not index.broken_off.is_set()


@pytest.mark.nightly
def test_holders_of_an_environment_are_listed_until_they_are_gone(client: Client, index: SlowIndex) -> None:
    requirement = _package(index, 1000)
    model = f"holds-{uuid.uuid4().hex[:6]}"
    job = client.train(script_content=TRAIN, model=model, requirements=[requirement]).wait(timeout=300)
    client.deployments.wait(model, "1")
    client.predict(model, [[0.5]])
    name = client.environments.get(job.job_id).hash
    assert name is not None
    sleeper = client.train(script_content="import time; time.sleep(300)", experiment="slow", requirements=[requirement])
    _until(lambda: sleeper.refresh().view.phase == "script")
    with pytest.raises(Conflict, match=rf"job {sleeper.job_id}, the deployment of {model} version 1"):
        client.environments.delete(name)
    sleeper.cancel()
    sleeper.wait(timeout=60, raise_on_failure=False)
    with pytest.raises(Conflict, match=rf"in use by the deployment of {model} version 1"):
        client.environments.delete(name)
    client.deployments.delete(model, "1")
    _until(lambda: _is_removed(client, name))


def _is_removed(client: Client, name: str) -> bool:
    try:
        client.environments.delete(name)
    except Conflict:
        return False
    return True
