"""Datasets in keys mode: each workspace has its own, and every change is in the audit."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from raylift.settings import PlatformSettings
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

PATH = "/mlops/datasets"
UPLOAD = "/mlops/training/upload"
SHA = hashlib.sha256(b"1\n").hexdigest()
BODY = {"name": "churn", "files": [{"path": "a.csv", "sha256": SHA}]}


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


async def add(keyed: KeyedPlatform, who: str) -> httpx.Response:
    assert (await keyed.send(who, "PUT", f"{PATH}/files/{SHA}", content=b"1\n")).status_code == 200
    return await keyed.send(who, "POST", PATH, json=BODY)


async def test_dataset_belongs_to_the_workspace_of_the_key(keyed: KeyedPlatform) -> None:
    made = await add(keyed, "submitter")
    assert (made.status_code, made.json()["created_by"]) == (201, "submitter")
    assert (await keyed.send("viewer", "GET", f"{PATH}/churn")).status_code == 200
    for method in ("GET", "DELETE"):
        answer = await keyed.send("other", method, f"{PATH}/churn")
        assert (answer.status_code, answer.json()["code"]) == (404, "dataset_not_found")
    assert (await keyed.send("other", "GET", PATH)).json() == {"datasets": []}
    job = {"script_content": "pass", "experiment_name": "e", "data": {"train": "churn"}}
    assert (await keyed.send("submitter", "POST", UPLOAD, json=job)).status_code == 202
    assert (await keyed.send("other", "POST", UPLOAD, json=job)).status_code == 422


async def test_known_digest_gives_no_bytes_of_another_workspace(keyed: KeyedPlatform) -> None:
    await add(keyed, "submitter")
    assert (await keyed.send("other", "GET", f"{PATH}/files/{SHA}")).json()["complete"] is False
    answer = await keyed.send("other", "POST", PATH, json=BODY)
    assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "files[0]")


async def test_viewer_changes_no_dataset(keyed: KeyedPlatform) -> None:
    await add(keyed, "submitter")
    refused = [
        await keyed.send("viewer", "PUT", f"{PATH}/files/{SHA}", content=b"1\n"),
        await keyed.send("viewer", "POST", PATH, json=BODY),
        await keyed.send("viewer", "DELETE", f"{PATH}/churn"),
        await keyed.send("viewer", "DELETE", f"{PATH}/churn/versions/1"),
    ]
    assert {answer.status_code for answer in refused} == {403}


async def test_audit_has_additions_and_deletions(keyed: KeyedPlatform) -> None:
    await add(keyed, "submitter")
    await keyed.send("submitter", "DELETE", f"{PATH}/churn/versions/1")
    entries = (await keyed.send("admin", "GET", "/mlops/audit")).json()["entries"]
    found = [(entry["action"], entry["target"]) for entry in entries if entry["action"].startswith("dataset.")]
    assert found == [("dataset.delete", "churn/1"), ("dataset.add", "churn@1")]
