"""Secrets in keys mode: each workspace has its own, and every change is in the audit."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from raylift.settings import PlatformSettings
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform

SECRET = "/mlops/secrets/AWS"
UPLOAD = "/mlops/training/upload"
VALUE = "hunter2-hunter2"
JOB = {"script_content": "pass", "experiment_name": "e", "secrets": ["AWS"]}


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


async def put(keyed: KeyedPlatform, who: str, value: str = VALUE) -> int:
    return (await keyed.send(who, "PUT", SECRET, json={"value": value}, headers={"X-Raylift-Owner": "forged"})).status_code


async def test_secret_belongs_to_the_workspace_of_the_key(keyed: KeyedPlatform) -> None:
    assert await put(keyed, "submitter") == 201
    shown = (await keyed.send("viewer", "GET", SECRET)).json()
    assert (shown["name"], shown["updated_by"]) == ("AWS", "submitter")
    for method in ("GET", "DELETE"):
        answer = await keyed.send("other", method, SECRET)
        assert (answer.status_code, answer.json()["code"]) == (404, "secret_not_found")
    assert (await keyed.send("other", "GET", "/mlops/secrets")).json() == {"secrets": []}
    assert await put(keyed, "other", "another-value") == 201
    store = keyed.platform.store
    assert store.secrets.values("red", ["AWS"]).variables == {"AWS": VALUE}
    assert store.secrets.values("blue", ["AWS"]).variables == {"AWS": "another-value"}


async def test_job_may_only_name_secrets_of_its_workspace(keyed: KeyedPlatform) -> None:
    await put(keyed, "submitter")
    accepted = await keyed.send("submitter", "POST", UPLOAD, json=JOB)
    assert accepted.status_code == 202
    refused = await keyed.send("other", "POST", UPLOAD, json=JOB)
    assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "secrets[0]")
    await keyed.send("submitter", "DELETE", SECRET)
    await put(keyed, "other")
    again = await keyed.send("submitter", "POST", f"/mlops/training/jobs/{accepted.json()['job_id']}/rerun")
    assert (again.status_code, again.json()["errors"][0]["field"]) == (422, "secrets[0]")


async def test_viewer_changes_no_secret(keyed: KeyedPlatform) -> None:
    assert await put(keyed, "submitter") == 201
    assert await put(keyed, "viewer") == 403
    assert (await keyed.send("viewer", "DELETE", SECRET)).status_code == 403


async def test_audit_names_the_secret_and_not_its_value(keyed: KeyedPlatform) -> None:
    await put(keyed, "submitter")
    await put(keyed, "viewer")
    await keyed.send("submitter", "DELETE", SECRET)
    audit = await keyed.send("admin", "GET", "/mlops/audit?action=secret.")
    found = [(entry["who"], entry["action"], entry["target"], entry["outcome"]) for entry in audit.json()["entries"]]
    assert sorted(found) == [
        ("submitter", "secret.delete", "AWS", "done"),
        ("submitter", "secret.set", "AWS", "done"),
        ("viewer", "secret.set", "AWS", "refused"),
    ]
    assert VALUE not in audit.text
