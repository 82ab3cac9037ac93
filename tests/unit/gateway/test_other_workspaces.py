"""Things of every kind that another workspace has: 404, in the words for what does not exist."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from raylift.domain.access import Action
from raylift.settings import JobSettings, PlatformSettings
from serve_apps.gateway.access.permissions import Kind
from tests.unit.gateway.keyed import KeyedPlatform, keyed_platform
from tests.unit.gateway.test_batches import deploy
from tests.unit.gateway.test_permissions import routes

CRON: dict[str, Any] = {"cron": "0 2 * * *", "train": {"script_content": "print(1)", "experiment_name": "demo"}}
HOOK: dict[str, Any] = {"url": "https://hooks.example.com/x", "events": ["job.completed"]}
WORKS: dict[str, dict[str, Any]] = {
    "PATCH /mlops/schedules/{}": {"paused": True},
    "PATCH /mlops/webhooks/{}": {"paused": True},
    "POST /mlops/webhooks/{}/rotate": {"grace_hours": 1},
    "PUT /mlops/secrets/{}": {"variables": {"A": "b"}},
}
"""Bodies without which a route would refuse before it looks."""
ABSENT: Mapping[Kind, str] = {
    Kind.JOB: "job_0", Kind.BATCH: "job_0", Kind.ROLLOUT: "rollout_0", Kind.SCHEDULE: "absent", Kind.WEBHOOK: "absent",
    Kind.DATASET: "absent", Kind.SECRET: "ABSENT",
}  # fmt: skip


@pytest.fixture
async def keyed(settings: PlatformSettings, migrated: Path, tmp_path: Path) -> AsyncIterator[KeyedPlatform]:
    settings = settings.model_copy(update={"jobs": JobSettings(writable_paths=(tmp_path,))})
    async with keyed_platform(settings, migrated) as keyed:
        yield keyed


async def made(keyed: KeyedPlatform, data: Path) -> dict[Kind, list[str]]:
    """Make a thing of each kind in the workspace red. Returns its ids and names."""

    async def post(who: str, path: str, method: str = "POST", **body: Any) -> Any:
        answer = await keyed.send(who, method, path, json=body)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    keyed.platform.store.workspaces.claim_model("churn", "red")
    for version in ("1", "2"):
        deploy(keyed.platform, "churn", version)
        keyed.platform.deploy("churn", version)
    (data / "rows.parquet").write_bytes(b"PAR1")
    batch = await post("submitter", "/mlops/batches", model_name="churn", input=str(data / "rows.parquet"))
    schedule = await post("submitter", "/mlops/schedules", name="nightly", **CRON)
    webhook = await post("submitter", "/mlops/webhooks", name="ci", **HOOK)
    await post("deployer", "/mlops/models/churn/traffic", "PUT", routes=[{"version": "1", "weight": 1}])
    rollout = await post("deployer", "/mlops/rollouts", model_name="churn", version="2")
    sha = hashlib.sha256(b"1\n").hexdigest()
    await keyed.send("submitter", "PUT", f"/mlops/datasets/files/{sha}", content=b"1\n")
    await post("submitter", "/mlops/datasets", name="rows", files=[{"path": "a.csv", "sha256": sha}])
    await post("submitter", "/mlops/secrets/AWS", "PUT", variables={"A": "b"})
    return {
        Kind.JOB: [batch["batch_id"]],
        Kind.BATCH: [batch["batch_id"]],
        Kind.SCHEDULE: ["nightly", schedule["schedule_id"]],
        Kind.WEBHOOK: ["ci", webhook["webhook_id"]],
        Kind.ROLLOUT: ["churn", rollout["rollout_id"]],
        Kind.DATASET: ["rows"],
        Kind.SECRET: ["AWS"],
    }


async def test_things_of_another_workspace_are_not_found(keyed: KeyedPlatform, tmp_path: Path) -> None:
    things, asked = await made(keyed, tmp_path), set[Kind]()
    for method, path, permission in routes(keyed):
        kind = permission.of
        if kind not in things or (kind is Kind.SECRET and method == "PUT"):  # That makes one of its own.
            continue
        asked.add(kind)
        parameter = next(f"no-{name}".replace("_", "-") for name in kind.value if f"no-{name}".replace("_", "-") in path)
        body = WORKS.get(f"{method} {path.replace(parameter, '{}')}", {} if method in {"POST", "PATCH"} else None)
        for name in things[kind]:
            answers = {
                each: await keyed.send("other", method, path.replace(parameter, each), json=body)
                for each in (name, ABSENT[kind] if name.count("_") == 0 else name[:-4] + "0000")
            }
            theirs, absent = answers.values()
            assert theirs.status_code == absent.status_code == 404, (method, path, name, theirs.text, absent.text)
            said, other = (answer.json() for answer in (theirs, absent))
            for part in ("code", "title"):
                assert said[part] == other[part], (method, path)
            assert said["detail"].replace(name, "") == other["detail"].replace(list(answers)[1], ""), (method, path)
    assert asked == set(things)
    for path, items in (
        ("batches", "batches"), ("schedules", "schedules"), ("webhooks", "webhooks"), ("rollouts", "rollouts"),
        ("datasets", "datasets"), ("secrets", "secrets"),
    ):  # fmt: skip
        counts = {who: len((await keyed.send(who, "GET", f"/mlops/{path}")).json()[items]) for who in ("viewer", "other")}
        assert counts == {"viewer": 1, "other": 0}, path


async def test_bodies_name_nothing_of_another_workspace(keyed: KeyedPlatform, tmp_path: Path) -> None:
    (batch,) = (await made(keyed, tmp_path))[Kind.BATCH]
    upload = {"script_content": "print(1)", "experiment_name": "demo"}
    monitor = "/mlops/models/churn/versions/1/monitor"
    for method, path, body, status in (
        ("POST", "/mlops/batches", {"model_name": "churn", "input": str(tmp_path / "rows.parquet")}, 404),
        ("POST", "/mlops/rollouts", {"model_name": "churn", "version": "2"}, 404),
        ("POST", "/mlops/schedules", {"name": "x", "cron": "0 2 * * *", "rerun": batch}, 404),
        ("POST", "/mlops/training/upload", upload | {"data": {"train": "rows"}}, 422),
        ("POST", "/mlops/training/upload", upload | {"secrets": ["AWS"]}, 422),
        ("POST", "/mlops/training/upload", upload | {"model_name": "churn"}, 409),
        ("POST", "/mlops/schedules", {"name": "x", **CRON, "train": upload | {"secrets": ["AWS"]}}, 422),
        ("GET", monitor, None, 404),
        ("GET", f"{monitor}/windows", None, 404),
        ("GET", f"{monitor}/alerts", None, 404),
        ("PUT", monitor, {"enabled": False}, 404),
    ):
        answer = await keyed.send("other", method, path, json=body)
        assert answer.status_code == status, (method, path, answer.text)


async def test_every_change_and_every_refused_one_is_audited(keyed: KeyedPlatform, tmp_path: Path) -> None:
    await made(keyed, tmp_path)
    done = {entry["action"] for entry in (await keyed.send("admin", "GET", "/mlops/audit?limit=200")).json()["entries"]}
    assert {
        "batch.submit", "schedule.create", "webhook.create", "rollout.start", "dataset.add", "secret.set", "traffic.put",
    } <= done, done  # fmt: skip
    changes = 0
    for method, path, permission in routes(keyed):
        if permission.verb is None or permission.action is Action.PUBLIC:
            continue
        changes += 1
        refused = await keyed.send("model", method, path, headers={"X-Request-Id": f"walk-{changes}"})
        assert refused.status_code == 403, (method, path)
        entries = (await keyed.send("admin", "GET", "/mlops/audit?limit=1&outcome=refused")).json()["entries"]
        assert (entries[0]["action"], entries[0]["who"]) == (permission.verb, "app"), (method, path, entries)
    assert changes > 30
