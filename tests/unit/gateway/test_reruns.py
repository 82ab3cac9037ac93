"""Reruns with changes and parameters over HTTP."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.domain.job import JobSpec
from tests.unit.gateway.conftest import Platform

UPLOAD = "/mlops/training/upload"
JOBS = "/mlops/training/jobs"
FIRST = {
    "script_content": "pass",
    "experiment_name": "e",
    "model_name": "m",
    "environment": {"TOKEN": "secret"},
    "params": {"lr": 0.1, "kind": "adam", "warm": True},
    "args": ["--a", "1"],
    "resources": {"cpus": 0.5, "memory": "1GiB"},
}


@pytest.fixture
async def first(client: httpx.AsyncClient) -> str:
    return (await client.post(UPLOAD, json=FIRST)).json()["job_id"]


async def rerun(client: httpx.AsyncClient, platform: Platform, job_id: str, changes: Any = None) -> JobSpec:
    answer = await client.post(f"{JOBS}/{job_id}/rerun", json=changes)
    assert answer.status_code == 202, answer.text
    return platform.store.jobs.get(answer.json()["job_id"]).spec


async def test_plain_rerun_only_changes_the_traffic_option(client: httpx.AsyncClient, platform: Platform, first: str) -> None:
    before, after = platform.store.jobs.get(first).spec, await rerun(client, platform, first)
    assert before.take_traffic
    assert not after.take_traffic
    assert (after.environment, after.params, after.args, after.resources) == (
        before.environment, before.params, before.args, before.resources,
    )  # fmt: skip
    assert (await rerun(client, platform, first, {"take_traffic": True})).take_traffic


async def test_rerun_takes_changes(client: httpx.AsyncClient, platform: Platform, first: str) -> None:
    changes = {
        "args": ["--b"],
        "environment": {"EXTRA": "2"},
        "params": {"lr": 0.2},
        "resources": {"memory": "2GiB"},
        "deploy": False,
    }
    spec = await rerun(client, platform, first, changes)
    assert spec.args == ("--b",)
    assert spec.params == {"lr": "0.2", "kind": "adam", "warm": "true"}
    assert spec.environment == {"TOKEN": "secret", "EXTRA": "2", **spec.params}
    assert (spec.resources.cpus, spec.resources.memory_bytes, spec.deploy) == (0.5, 2 * 2**30, False)
    assert (await rerun(client, platform, first, {"args": []})).args == ()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"environment": {"PATH": "/"}}, "environment.PATH"),
        ({"environment": {"lr": "1"}}, "environment.lr"),
        ({"params": {"TOKEN": "1"}}, "params.TOKEN"),
        ({"params": {"a-b": 1}}, "params.a-b"),
        ({"resources": {"cpus": 1000}}, "resources.cpus"),
        ({"resources": {"memory": "1MiB"}}, "resources.memory"),
        ({"resources": {"memory": "lots"}}, "resources.memory"),
        ({"args": ["a\0b"]}, "args[0]"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_wrong_change_is_named(client: httpx.AsyncClient, first: str, changes: Any, field: str) -> None:
    answer = await client.post(f"{JOBS}/{first}/rerun", json=changes)
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_parameters_are_shown_and_secrets_are_not(client: httpx.AsyncClient, platform: Platform, first: str) -> None:
    view = (await client.get(f"{JOBS}/{first}")).json()
    assert view["params"] == {"lr": "0.1", "kind": "adam", "warm": "true"}
    assert set(view["environment"].values()) == {"***"}
    answer = await client.post(
        f"{JOBS}/{first}/rerun", json={"params": {"lr": 0.2, "new": 1}, "environment": {"TOKEN": "other"}}
    )
    diff = (await client.get(f"{JOBS}/{first}/diff/{answer.json()['job_id']}")).json()
    assert diff["params"] == [
        {"name": "lr", "first": "0.1", "second": "0.2"},
        {"name": "new", "first": None, "second": "1"},
    ]
    assert diff["environment"] == [{"name": "TOKEN", "change": "changed"}]
    assert not diff["same"]
    plain = await client.post(f"{JOBS}/{first}/rerun")
    assert (await client.get(f"{JOBS}/{first}/diff/{plain.json()['job_id']}")).json()["same"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"params": {"TOKEN": "x"}}, "params.TOKEN"),
        ({"params": {"MLFLOW_RUN_ID": "x"}}, "params.MLFLOW_RUN_ID"),
        ({"params": {"a": "x" * 6001}}, "params.a"),
        ({"params": {"a" * 251: "x"}}, "params." + "a" * 251),
        ({"params": {f"p{n}": n for n in range(101)}}, "params"),
        ({"sweep": {"parameters": {"lr": [1, 2]}}}, "params.lr"),
    ],
)
async def test_wrong_parameter_is_named(client: httpx.AsyncClient, changes: Any, field: str) -> None:
    answer = await client.post(UPLOAD, json={**FIRST, **changes})
    assert answer.status_code == 422, answer.text
    assert [error["field"] for error in answer.json()["errors"]] == [field]


async def test_upload_may_take_no_traffic(client: httpx.AsyncClient, platform: Platform) -> None:
    form = {"experiment_name": "e", "take_traffic": "false", "params": '{"lr": 0.1}'}
    answer = await client.post(UPLOAD, data=form, files={"script": ("t.py", b"pass")})
    assert answer.status_code == 202, answer.text
    spec = platform.store.jobs.get(answer.json()["job_id"]).spec
    assert (spec.take_traffic, spec.params) == (False, {"lr": "0.1"})


async def test_model_with_only_held_versions_is_503_with_a_hint(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.registry.register("m", "4")
    platform.deploy("m", "4")
    held = await client.put("/mlops/models/m/versions/4/deployment", json={"take_traffic": False})
    assert held.json()["take_traffic"] is False
    platform.deploy("m", "4")
    answer = await client.post("/mlops/inference", json={"model_name": "m", "inputs": [[1]]})
    assert (answer.status_code, answer.json()["code"]) == (503, "deployment_stopped")
    assert '{"take_traffic": true}' in answer.json()["detail"]
