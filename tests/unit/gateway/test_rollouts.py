"""Rollouts over HTTP: what is refused, what users may do with one, and the gate of an upload."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.domain.audit import AuditFilter
from raylift.domain.models.deployment import DeploymentStatus
from raylift.domain.rollouts.moves import enter_step
from raylift.domain.rollouts.rollout import Both
from tests.unit.gateway.conftest import Platform

PATH = "/mlops/rollouts"
TRAFFIC = "/mlops/models/m/traffic"
STEPS = [{"shadow": True}, {"weight": 5, "min_requests": 10}, {"approval": True}, {"weight": 100}]
START = {"model_name": "m", "version": "4", "steps": STEPS}
UPLOAD = {"script_content": "print(1)", "experiment_name": "e", "model_name": "m"}


@pytest.fixture(autouse=True)
def deployed(platform: Platform) -> None:
    for version in ("2", "3", "4", "5"):
        platform.registry.register("m", version)
    for version in ("3", "4"):
        platform.deploy("m", version)
    platform.registry.aliases["m", "champion"] = "3"


@pytest.fixture
async def by_alias(client: httpx.AsyncClient) -> None:
    answer = await client.put(TRAFFIC, json={"routes": [{"alias": "champion", "weight": 1}]})
    assert answer.status_code == 200, answer.text


async def start(client: httpx.AsyncClient, **changes: Any) -> dict[str, Any]:
    answer = await client.post(PATH, json=START | changes, headers={"X-Raylift-Owner": "ann"})
    assert answer.status_code == 201, answer.text
    return answer.json()


def begin(platform: Platform, step: int) -> None:
    """Let a rollout begin a step, as the supervisor does."""
    (rollout,) = platform.store.rollouts.active()
    now = platform.lease.expires_at
    platform.store.rollouts.apply(enter_step(rollout, step, Both(), now), lease=platform.lease, now=now)


@pytest.mark.usefixtures("by_alias")
class TestStart:
    async def test_start_is_shown(self, client: httpx.AsyncClient) -> None:
        made = await start(client)
        assert (made["champion"], made["candidate"], made["alias"]) == ("3", "4", "champion")
        assert (made["status"], made["step"], made["created_by"]) == ("running", None, "ann")
        assert [step["state"] for step in made["steps"]] == ["pending"] * 4
        assert made == (await client.get(f"{PATH}/m")).json() == (await client.get(made["links"]["self"])).json()
        assert (await client.get(PATH, params={"active": True, "model_name": "m"})).json()["rollouts"] == [made]
        assert (await client.get(PATH, params={"active": False})).json()["rollouts"] == []

    async def test_default_steps(self, client: httpx.AsyncClient) -> None:
        made = await start(client, steps=None, version=4)
        assert [(step["kind"], step["weight"]) for step in made["steps"]] == [
            ("shadow", 0), ("weight", 5), ("weight", 25), ("weight", 100),
        ]  # fmt: skip

    async def test_second_one_is_refused(self, client: httpx.AsyncClient) -> None:
        first = await start(client)
        answer = await client.post(PATH, json=START)
        assert (answer.status_code, answer.json()["code"]) == (409, "rollout_exists")
        assert answer.json()["rollout_id"] == first["rollout_id"]

    @pytest.mark.parametrize(
        ("changes", "field", "says"),
        [
            ({"version": "9"}, "version", "no version 9"),
            ({"version": "2"}, "version", "not deployed"),
            ({"version": "3"}, "version", "answers every request for m already"),
            ({"version": "nobody"}, "version", "names what there is not"),
            ({"steps": [{"weight": 50}, {"weight": 20}, {"weight": 100}]}, "steps[1].weight", "must rise"),
            ({"steps": [{"weight": 50}]}, "steps[0]", "weight 100"),
            ({"steps": [{"weight": 100, "shadow": True}]}, "steps[0]", "exactly one"),
            ({"steps": []}, "steps", "at least one"),
            ({"guards": {"p95_ratio": 0.1}}, "guards.p95_ratio", "between 1 and 1000"),
            ({"guards": {"p99": 1}}, "guards.p99", ""),
            ({"alias": "v1"}, "alias", "not the name of an alias"),
        ],
    )
    async def test_wrong_requests_are_named(self, client: httpx.AsyncClient, changes: Any, field: str, says: str) -> None:
        answer = await client.post(PATH, json=START | changes)
        assert answer.status_code == 422, answer.text
        told = {error["field"]: error["detail"] for error in answer.json()["errors"]}
        assert says in told.get(field, f"no {field} in {told}")

    async def test_unhealthy_candidate_is_refused(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.deploy("m", "5", status=DeploymentStatus.UNHEALTHY)
        answer = await client.post(PATH, json=START | {"version": "5"})
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "version")
        assert "does not load" in answer.text

    async def test_divided_traffic_is_refused(self, client: httpx.AsyncClient) -> None:
        split = {"routes": [{"version": "3", "weight": 1}, {"version": "4", "weight": 1}]}
        assert (await client.put(TRAFFIC, json=split)).status_code == 200
        answer = await client.post(PATH, json=START)
        assert (answer.status_code, answer.json()["errors"][0]["field"]) == (422, "model_name")

    async def test_model_that_does_not_exist(self, client: httpx.AsyncClient) -> None:
        assert (await client.post(PATH, json=START | {"model_name": "none"})).status_code == 404
        assert (await client.get(f"{PATH}/none")).json()["code"] == "rollout_not_found"


@pytest.mark.usefixtures("by_alias")
class TestHands:
    async def test_abort_restores_the_traffic(self, client: httpx.AsyncClient, platform: Platform) -> None:
        before = (await client.get(TRAFFIC)).json()["routes"]
        await start(client)
        begin(platform, 1)
        assert [route["weight"] for route in (await client.get(TRAFFIC)).json()["routes"]] == [95, 5]
        ended = (await client.post(f"{PATH}/m/abort", json={"reason": "too early"})).json()
        assert (ended["status"], ended["message"]) == ("rolled_back", "Aborted by local: too early")
        assert (await client.get(TRAFFIC)).json()["routes"] == before
        assert (await client.post(f"{PATH}/m/abort")).status_code == 409
        history = (await client.get(f"{TRAFFIC}/history")).json()["changes"]
        assert [change["action"] for change in history][:2] == ["rollout", "rollout"]

    async def test_pause_and_resume(self, client: httpx.AsyncClient) -> None:
        await start(client)
        assert (await client.post(f"{PATH}/m/resume")).status_code == 409
        assert (await client.post(f"{PATH}/m/pause")).json()["status"] == "paused"
        assert (await client.post(f"{PATH}/m/resume")).json()["status"] == "running"

    async def test_approve_and_reject(self, client: httpx.AsyncClient, platform: Platform) -> None:
        await start(client)
        assert (await client.post(f"{PATH}/m/approve")).status_code == 409
        begin(platform, 2)
        assert (await client.get(f"{PATH}/m")).json()["status"] == "awaiting_approval"
        approved = (await client.post(f"{PATH}/m/approve", headers={"X-Raylift-Owner": "eve"})).json()
        assert approved["history"][-1]["message"] == "Approved by eve."
        rejected = (await client.post(f"{PATH}/m/reject")).json()
        assert (rejected["status"], rejected["finished_at"] is not None) == ("rolled_back", True)

    async def test_promote_skips_steps(self, client: httpx.AsyncClient) -> None:
        await start(client)
        promoted = (await client.post(f"{PATH}/m/promote")).json()
        assert (promoted["status"], promoted["step"]) == ("completing", 4)
        routes = (await client.get(TRAFFIC)).json()["routes"]
        assert routes == [{"version": "4", "alias": None, "weight": 100.0}]

    async def test_traffic_changed_by_hand_keeps_abort_away(self, client: httpx.AsyncClient) -> None:
        await start(client)
        assert (await client.put(TRAFFIC, json={"routes": [{"version": "4", "weight": 1}]})).status_code == 200
        answer = await client.post(f"{PATH}/m/abort")
        assert (answer.status_code, answer.json()["code"]) == (412, "traffic_changed")

    async def test_acts_are_audited(self, client: httpx.AsyncClient, platform: Platform) -> None:
        made = await start(client)
        await client.post(f"{PATH}/m/pause")
        begin(platform, 0)
        entries = platform.store.audit.list(AuditFilter(), limit=10).entries
        told = [(entry.action, entry.target) for entry in entries if entry.action.startswith("rollout.")]
        assert told == [
            ("rollout.advanced", made["rollout_id"]), ("rollout.pause", "m"), ("rollout.start", made["rollout_id"]),
        ]  # fmt: skip


async def test_model_without_a_table_is_pinned_for_a_rollback(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.registry.register("m", "6")
    platform.deploy("m", "6", status=DeploymentStatus.STARTING)
    made = await start(client, version="6", alias="champion")
    assert made["champion"] == "4"
    await client.post(f"{PATH}/m/abort")
    # Version 6 would answer by itself as soon as it is ready.
    assert [route["version"] for route in (await client.get(TRAFFIC)).json()["routes"]] == ["4"]


class TestGate:
    async def test_upload_carries_its_gate(self, client: httpx.AsyncClient, platform: Platform) -> None:
        gate = {"alias": "champion", "when": "auc > champion.auc", "rollout": {"steps": [{"weight": 100}]}}
        answer = await client.post("/mlops/training/upload", json=UPLOAD | {"promote": gate})
        assert answer.status_code == 202, answer.text
        shown = (await client.get(answer.json()["links"]["self"])).json()["promotion"]
        assert (shown["alias"], shown["when"], shown["outcome"]) == ("champion", "auc > champion.auc", "pending")
        spec = platform.store.jobs.get(answer.json()["job_id"]).spec
        assert spec.promote is not None
        assert spec.promote.rollout is not None

    @pytest.mark.parametrize(
        ("gate", "field"),
        [
            ({"alias": "champion", "when": "auc >"}, "promote.when"),
            ({"alias": "champion", "when": "__import__('os')"}, "promote.when"),
            ({"alias": "v1"}, "promote.alias"),
            ({"when": "auc > 1"}, "promote.alias"),
            ({"alias": "champion", "rollout": {"steps": [{"weight": 5}]}}, "promote.rollout.steps[0]"),
        ],
    )
    async def test_wrong_gates_are_refused(self, client: httpx.AsyncClient, gate: Any, field: str) -> None:
        answer = await client.post("/mlops/training/upload", json=UPLOAD | {"promote": gate})
        assert answer.status_code == 422
        assert field in [error["field"] for error in answer.json()["errors"]]
