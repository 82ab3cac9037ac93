"""Versions answered by forks of a real warm process: the same answers as a replica's, and no effect on each other."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.models import infer_signature
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression

from raylift.domain.models.counters import ErrorKind, ProcessKind, errors_of
from raylift.domain.models.deployment import DeploymentConfig
from raylift.engines.environments.overlays.overlay import overlay_directory
from raylift.engines.metrics.counter_files import read_counts
from serve_apps.gateway.predictions.forwarder import BrokenOff
from serve_apps.warm_pool.pool import NoWarmProcess, StillLoading
from tests.integration.model_server.replicas import Registry, log_function, log_sklearn
from tests.integration.warm_pool.conftest import PoolMaker, Warm, deployment_of, is_gone, kill, parent_of, until

shared = pytest.mark.asyncio(loop_scope="session")
"""Mark of the tests that use the shared pool: they run in its event loop."""

_X = np.random.default_rng(3).random((60, 4))
_Y = (_X.sum(axis=1) > 2).astype(int)
_BODY = json.dumps({"inputs": _X[:5].tolist(), "return_probabilities": True}).encode()


@pytest.fixture(scope="session")
def models(registry: Registry) -> dict[str, Any]:
    """Names of registered models, and a replica's answers for each."""
    forest = RandomForestClassifier(10, random_state=0).fit(_X, _Y)
    linear = LogisticRegression().fit(_X, _Y)
    made: dict[str, Any] = {}
    for name, model in (("warm-forest", forest), ("warm-linear", linear)):
        replica = registry.replica(
            name, log_sklearn, model, signature=infer_signature(_X, _Y), serialization_format="cloudpickle"
        )
        made[name] = replica.post("/predict", json.loads(_BODY)).json()

    def dangerous(model_input):  # pyright: ignore[reportUnknownParameterType, reportMissingParameterType] - MLflow reads hints
        """Ends its process, prints, or is slow, as its input says."""
        import os
        import time
        from pathlib import Path

        print("hello from a model")
        for row in model_input["text"]:
            if row == "crash":
                os._exit(7)
            if row.startswith("wait"):
                Path(row.removeprefix("wait ")).touch()
                time.sleep(30)
        return [os.environ.get(row.removeprefix("$"), "unset") if row[:1] == "$" else row for row in model_input["text"]]

    import pandas as pd

    registry.register("warm-dangerous", log_function, python_model=dangerous, input_example=pd.DataFrame({"text": ["a"]}))
    return made


def comparable(body: bytes) -> dict[str, Any]:
    answer = json.loads(body)
    # Differs between requests.
    return {key: value for key, value in answer.items() if key not in {"timing", "duration_ms", "inference_time_ms"}}


@shared
async def test_fork_answers_as_a_replica_does(models: dict[str, Any], warm: Warm) -> None:
    for name, expected in models.items():
        status, body = await warm.answer(deployment_of(name), _BODY)
        assert (status, comparable(body)["predictions"]) == (200, expected["predictions"])
        assert comparable(body).get("probabilities") == expected.get("probabilities")


async def test_fork_has_the_variables_of_its_version(models: dict[str, Any], warm_pool: PoolMaker) -> None:
    text = json.dumps({"inputs": [{"text": "$SCALE"}]}).encode()
    with_scale = deployment_of("warm-dangerous", config=DeploymentConfig(environment={"SCALE": "$2 {x}"}))
    async with warm_pool() as warm:
        assert json.loads((await warm.answer(with_scale, text))[1])["predictions"] == ["$2 {x}"]
        changed = replace(with_scale, config=DeploymentConfig(), generation=2)
        assert json.loads((await warm.answer(changed, text))[1])["predictions"] == ["unset"]


async def test_each_version_keeps_a_process_of_its_own(models: dict[str, Any], warm_pool: PoolMaker) -> None:
    async with warm_pool() as warm:
        forest, linear = [deployment_of(name) for name in models]
        pids = await warm.pid(forest), await warm.pid(linear)
        assert len({*pids}) == 2
        assert parent_of(pids[0]) == parent_of(pids[1]) != os.getpid()
        assert (await warm.pid(forest), await warm.pid(linear)) == pids
    await until(lambda: all(is_gone(pid) for pid in pids))


@shared
async def test_model_that_crashes_stops_no_other(models: dict[str, Any], warm: Warm) -> None:
    forest, dangerous = deployment_of("warm-forest"), deployment_of("warm-dangerous")
    pid = await warm.pid(forest)
    text = json.dumps({"inputs": [{"text": "fine"}]}).encode()
    assert (await warm.answer(dangerous, text))[0] == 200
    doomed = await warm.pid(dangerous)
    with pytest.raises(BrokenOff):
        await warm.ask(dangerous, json.dumps({"inputs": [{"text": "crash"}]}).encode())
    await until(lambda: is_gone(doomed))
    assert await warm.pid(forest) == pid
    assert (await warm.answer(forest, _BODY))[0] == 200
    assert (await warm.answer(dangerous, text))[0] == 200


@shared
async def test_fork_killed_during_an_answer_is_replaced(models: dict[str, Any], warm: Warm, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    dangerous = deployment_of("warm-dangerous")
    pid = await warm.pid(dangerous)
    asked = asyncio.create_task(warm.ask(dangerous, json.dumps({"inputs": [{"text": f"wait {begun}"}]}).encode()))
    await until(begun.exists)
    kill(pid)
    with pytest.raises(BrokenOff):
        await asked
    # While the kernel ends the process, its socket may still accept data that is never read.
    await until(lambda: is_gone(pid))
    assert (await warm.answer(dangerous, json.dumps({"inputs": [{"text": "fine"}]}).encode()))[0] == 200
    assert await warm.pid(dangerous) != pid


@shared
async def test_killed_warm_process_is_replaced_and_its_forks_end(models: dict[str, Any], warm: Warm) -> None:
    forest = deployment_of("warm-forest")
    pid = await warm.pid(forest)
    kill(parent_of(pid))
    await until(lambda: is_gone(pid))
    assert (await warm.answer(forest, _BODY))[0] == 200


async def test_longest_unused_fork_is_ended_for_a_new_one(models: dict[str, Any], warm_pool: PoolMaker) -> None:
    async with warm_pool(warm_models=1) as warm:
        forest, linear = deployment_of("warm-forest"), deployment_of("warm-linear")
        pid = await warm.pid(forest)
        assert (await warm.answer(linear, _BODY))[0] == 200
        await until(lambda: is_gone(pid))
        async with warm.pool.process_of(linear, asyncio.get_running_loop().time() + 60):
            with pytest.raises(NoWarmProcess):
                await warm.pid(forest)  # A fork is not ended during a request.


async def test_idle_warm_process_is_stopped(models: dict[str, Any], warm_pool: PoolMaker) -> None:
    async with warm_pool(warm_idle_seconds=0.1) as warm:
        pid = await warm.pid(deployment_of("warm-forest"))
        await until(lambda: is_gone(pid))


@shared
async def test_process_of_a_deleted_deployment_is_stopped(models: dict[str, Any], warm: Warm) -> None:
    forest, linear = deployment_of("warm-forest"), deployment_of("warm-linear")
    pid, other = await warm.pid(forest), await warm.pid(linear)
    warm.deployed = [linear]
    await until(lambda: is_gone(pid))
    assert not is_gone(other)


@shared
async def test_process_of_a_changed_deployment_is_stopped(models: dict[str, Any], warm: Warm) -> None:
    forest = deployment_of("warm-forest")
    pid = await warm.pid(forest)
    warm.deployed = [replace(forest, generation=2)]
    await until(lambda: is_gone(pid))


async def test_memory_of_warm_processes_is_bounded(models: dict[str, Any], warm_pool: PoolMaker) -> None:
    async with warm_pool(warm_memory_bytes=1) as warm:
        pid = await warm.pid(deployment_of("warm-forest"))
        await until(lambda: is_gone(pid))


@shared
async def test_model_that_does_not_load_is_tried_once(warm: Warm) -> None:
    nobody = deployment_of("nobody-registered-this", files={})
    assert warm.pool.can_answer(nobody)
    with pytest.raises(NoWarmProcess):
        await warm.pid(nobody)
    assert not warm.pool.can_answer(nobody)


async def test_request_waits_no_longer_than_its_timeout(models: dict[str, Any], warm_pool: PoolMaker) -> None:
    async with warm_pool() as warm:
        with pytest.raises(StillLoading):
            async with warm.pool.process_of(deployment_of("warm-forest"), asyncio.get_running_loop().time()):
                pass


async def test_version_that_asks_for_more_than_a_share_is_refused(warm_pool: PoolMaker) -> None:
    async with warm_pool() as warm:
        assert warm.pool.can_answer(deployment_of("m", files={}))
        assert not warm.pool.can_answer(deployment_of("m", files={}, config=DeploymentConfig(memory_bytes=2**30)))
        assert not warm.pool.can_answer(deployment_of("m", files={}, config=DeploymentConfig(cpus=2)))
        assert not deployment_of("m", files={}, environment_lock=("py4j==0.10.9", "pyspark==4.1.0")).fits_warm_process
        assert deployment_of("m", files={}, environment_lock=("pysparkling==0.6",)).fits_warm_process
    async with warm_pool(warm_models=0) as off:
        assert not off.pool.can_answer(deployment_of("m", files={}))


def overlay(root: Path, lock: tuple[str, ...], module: str, source: str) -> None:
    """An environment that looks as if it had been built."""
    directory = overlay_directory(lock, root)
    packages = directory / "lib" / "python3" / "site-packages"
    packages.mkdir(parents=True)
    (directory / "bin").mkdir()
    (directory / "bin" / "python").touch()
    (packages / f"{module}.py").write_text(source)
    (directory / ".ok").write_text("{}")


@shared
async def test_newly_built_environment_is_used(registry: Registry, warm: Warm) -> None:
    def scaled(model_input: list[float]) -> list[float]:
        import warm_pool_extra  # pyright: ignore[reportMissingImports]

        return [warm_pool_extra.FACTOR * value for value in model_input]

    registry.register("warm-extra", log_function, python_model=scaled, input_example=None)
    lock = ("warm-pool-extra==1.0",)
    deployment = deployment_of("warm-extra", environment_lock=lock)
    assert not warm.pool.can_answer(deployment)  # Not built yet.
    overlay(warm.state_dir / "environments", lock, "warm_pool_extra", "FACTOR = 3")
    status, body = await warm.answer(deployment, json.dumps({"inputs": [1.0, 2.0]}).encode())
    assert (status, json.loads(body)["predictions"]) == (200, [3.0, 6.0])


@shared
async def test_environment_with_other_base_packages_is_refused(warm: Warm) -> None:
    lock = ("numpy==1.0",)
    overlay(warm.state_dir / "environments", lock, "numpy", "raise RuntimeError('the wrong one')")
    deployment = deployment_of("warm-numpy", environment_lock=lock, files={})
    with pytest.raises(NoWarmProcess, match="numpy"):
        await warm.pid(deployment)
    assert not warm.pool.can_answer(deployment)


async def test_counts_of_warm_processes_survive_them(models: dict[str, Any], warm_pool: PoolMaker, tmp_path: Path) -> None:
    async with warm_pool() as warm:
        deployment = deployment_of("warm-dangerous")
        assert (await warm.answer(deployment, json.dumps({"inputs": [{"text": "fine"}]}).encode()))[0] == 200
        (alive,) = read_counts(tmp_path / "counters")
        assert (alive.requests, alive.errors, alive.processes(ProcessKind.WARM)) == (1, 0, 1)
        with pytest.raises(BrokenOff):
            await warm.ask(deployment, json.dumps({"inputs": [{"text": "crash"}]}).encode())
    (gone,) = read_counts(tmp_path / "counters")
    assert (gone.requests, gone.of(errors_of(ErrorKind.PROCESS_DIED)), gone.processes(ProcessKind.WARM)) == (2, 1, 0)
