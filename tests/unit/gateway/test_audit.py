"""The audit: entries of writes and of refused requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from raylift.domain.job import JobState, Reason
from raylift.settings import PlatformSettings
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform
from tests.unit.gateway.test_permissions import SCRIPT, UPLOAD, routes


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path) -> AsyncIterator[KeyedPlatform]:
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


async def entries(keyed: KeyedPlatform, **query: str) -> list[dict[str, Any]]:
    answer = await keyed.send("admin", "GET", "/mlops/audit", params=query)
    assert answer.status_code == 200, answer.text
    return answer.json()["entries"]


async def test_upload_is_in_the_audit_with_its_job(keyed: KeyedPlatform) -> None:
    answer = await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT, headers={"X-Request-ID": "r-1"})
    (entry,) = await entries(keyed, action="job.submit")
    assert entry == entry | {
        "who": "submitter",
        "workspace": "red",
        "key_id": keyed.tokens["submitter"].split("_")[1],
        "target": answer.json()["job_id"],
        "request_id": "r-1",
        "outcome": "done",
        "detail": None,
        "address": "127.0.0.1",
    }


async def test_every_write_leaves_an_entry_also_a_refused_one(keyed: KeyedPlatform) -> None:
    for method, path, permission in routes(keyed):
        # The end of a session is an entry where it ends a sign-in (tests/integration/access).
        if permission.verb in {None, "logout"}:
            continue
        keyed.platform.services.audit._unknown.clear()
        for who in ("admin", "viewer", None):
            await keyed.send(who, method, path)
            (newest, *_) = await entries(keyed)
            assert newest["action"] == permission.verb, (method, path)
            assert newest["who"] == (who or "")


async def test_writing_methods_have_a_verb_in_the_audit(keyed: KeyedPlatform) -> None:
    silent = {
        (method, path)
        for method, path, permission in routes(keyed)
        if permission.verb is None and method != "GET" and permission.action.value != "predict"
    }
    # They begin a sign-in, or put a valid key into a cookie. The exchange for a key has a verb.
    sign_in = {("POST", f"/mlops/auth/{step}") for step in ("device", "page", "session")}
    # Wrappers on other nodes send their log, usage and files, which no person does. Parts of a file become a version later.
    wrappers = {("POST", "/mlops/attempts/no-submission-id/report"), ("PUT", "/mlops/attempts/no-submission-id/result")}
    parts = {*wrappers, ("PUT", "/mlops/datasets/files/no-sha256")}
    assert silent == sign_in | parts


async def test_refused_requests_tell_why(keyed: KeyedPlatform) -> None:
    await keyed.send("viewer", "POST", UPLOAD, json=SCRIPT)
    await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT | {"experiment_name": " "})
    job_id = (await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT)).json()["job_id"]
    await keyed.send("other", "POST", f"/mlops/training/jobs/{job_id}/cancel")
    refused = await entries(keyed, outcome="refused")
    assert [(e["who"], e["action"], e["target"], e["detail"]) for e in refused] == [
        ("other", "job.cancel", job_id, "job_not_found"),
        ("submitter", "job.submit", None, "invalid_request"),
        ("viewer", "job.submit", None, "forbidden"),
    ]


async def test_accepted_requests_without_a_change_are_marked(keyed: KeyedPlatform) -> None:
    key_id = keyed.tokens["viewer"].split("_")[1]
    keyed.platform.registry.register("churn", "1")
    assert (await keyed.send("admin", "DELETE", "/mlops/models/churn/traffic")).status_code == 200
    (entry,) = await entries(keyed, action="traffic.delete")
    assert entry["outcome"] == "unchanged"
    await keyed.send("admin", "DELETE", f"/mlops/keys/{key_id}")
    (entry,) = await entries(keyed, target=key_id)
    assert entry["outcome"] == "done"


async def test_refused_reads_are_recorded_but_not_without_end(keyed: KeyedPlatform) -> None:
    for _ in range(50):
        await keyed.send(None, "GET", "/mlops/training/jobs")
    found = await entries(keyed, outcome="refused")
    assert len(found) == 20
    assert found[0]["target"] == "GET /mlops/training/jobs"
    for _ in range(3):
        await keyed.send("viewer", "GET", "/mlops/audit")
    assert len(await entries(keyed, who="viewer")) == 3


async def test_entries_hold_no_secrets(keyed: KeyedPlatform) -> None:
    body = SCRIPT | {"environment": {"TOKEN": "s3cret-value"}}
    await keyed.send("submitter", "POST", UPLOAD, json=body)
    made = (await keyed.send("admin", "POST", "/mlops/keys", json={"name": "ann"})).json()
    await keyed.send("wrong-key-value", "POST", UPLOAD, json=body)
    text = json.dumps(await entries(keyed))
    for secret in ("s3cret-value", made["key"], "wrong-key-value", *keyed.tokens.values()):
        assert secret not in text


async def test_export_has_a_line_for_each_entry(keyed: KeyedPlatform) -> None:
    for _ in range(3):
        await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT)
    answer = await keyed.send("admin", "GET", "/mlops/audit/export", params={"action": "job."})
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["action"] for line in lines] == ["job.submit"] * 3


async def test_pages_follow_their_cursor(keyed: KeyedPlatform) -> None:
    for _ in range(5):
        await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT)
    query = {"limit": "2", "action": "job.submit"}
    first = (await keyed.send("admin", "GET", "/mlops/audit", params=query)).json()
    second = (await keyed.send("admin", "GET", "/mlops/audit", params=query | {"cursor": first["next_cursor"]})).json()
    ids = [entry["entry_id"] for entry in first["entries"] + second["entries"]]
    assert len(set(ids)) == 4


async def test_local_mode_records_the_owner_of_the_header(client: httpx.AsyncClient, platform: Platform) -> None:
    await client.post(UPLOAD, json=SCRIPT, headers={"X-Raylift-Owner": "ann"})
    (entry,) = (await client.get("/mlops/audit")).json()["entries"]
    assert (entry["who"], entry["action"], entry["key_id"]) == ("ann", "job.submit", None)
    assert (await client.get("/mlops/whoami")).json()["auth"] == "local"


async def test_events_of_a_job_name_the_same_callers(keyed: KeyedPlatform) -> None:
    job_id = (await keyed.send("submitter", "POST", UPLOAD, json=SCRIPT)).json()["job_id"]
    await keyed.send("deployer", "POST", f"/mlops/training/jobs/{job_id}/cancel")
    keyed.platform.move(keyed.platform.store.jobs.get(job_id), JobState.CANCELLED, reason=Reason.CANCELLED_BY_USER)
    events = (await keyed.send("viewer", "GET", f"/mlops/training/jobs/{job_id}/events")).json()["events"]
    assert [(event["after"], event["who"]) for event in events] == [("queued", "submitter"), ("cancelled", "deployer")]
