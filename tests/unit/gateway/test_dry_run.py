"""``POST /mlops/training/upload?dry_run=true``: the checks of an upload, without the upload."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from raylift.domain.job import Resources
from raylift.domain.nodes.reservation import Reservation
from raylift.settings import JobSettings, OwnerQuota, PlatformSettings, QuotaSettings
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.engine_fakes import FakeNode

UPLOAD = "/mlops/training/upload"


async def send(client: httpx.AsyncClient, *, dry: bool = True, **fields: Any) -> httpx.Response:
    body = {"script_content": "import sklearn\n", "experiment_name": "churn"} | fields
    return await client.post(UPLOAD, json=body, params={"dry_run": "true"} if dry else {})


async def test_dry_run_tells_what_would_happen_and_stores_nothing(client: httpx.AsyncClient, platform: Platform) -> None:
    answer = await send(client, model_name="churn", requirements=["scikit-learn>=1"], resources={"cpus": 2, "memory": "1GiB"})
    assert answer.status_code == 200, answer.text
    seen = answer.json()
    assert (seen["model_name"], seen["experiment_name"], seen["script_name"]) == ("churn", "churn", "train.py")
    assert (seen["requirements"], seen["requirements_source"]) == (["scikit-learn>=1"], "request")
    assert seen["resources"] == {"cpus": 2.0, "memory": 2**30, "gpus": 0.0, "workers": None}
    assert (seen["jobs"], seen["nodes"], seen["queue_position"], seen["waits_for"]) == (1, ["box"], 1, None)
    assert (await client.get("/mlops/training/jobs")).json()["jobs"] == []


async def test_dry_run_counts_the_jobs_of_a_sweep(client: httpx.AsyncClient) -> None:
    sweep = {"parameters": {"lr": [0.1, 0.2], "depth": [1, 2, 3]}}
    assert (await send(client, sweep=sweep)).json()["jobs"] == 6


async def test_dry_run_is_refused_where_the_upload_would_be(client: httpx.AsyncClient) -> None:
    answer = await send(client, script_content="def f(:\n", resources={"cpus": 64})
    assert answer.status_code == 422
    assert {error["field"] for error in answer.json()["errors"]} == {"script_content", "resources.cpus"}
    (syntax,) = (error for error in answer.json()["errors"] if error["field"] == "script_content")
    assert (syntax["line"], syntax["column"]) == (1, 7)


async def test_dry_run_has_the_static_warnings_of_an_upload(client: httpx.AsyncClient) -> None:
    script = "import nowhere_to_be_found\nprint(undefined_name)\n"
    notes = (await send(client, script_content=script)).json()["notes"]
    assert any("undefined_name is not defined" in note for note in notes)
    assert any("nowhere_to_be_found" in note for note in notes)
    assert (await send(client, dry=False, script_content=script)).json()["notes"] == notes


async def test_dry_run_says_what_the_job_would_wait_for(client: httpx.AsyncClient, platform: Platform) -> None:
    first = (await send(client, dry=False, resources={"cpus": 3})).json()["job_id"]
    assert (await send(client)).json()["waits_for"] == "1 job waits before it."
    platform.start(first)
    platform.services.holdings._read_at = float("-inf")
    waits_for = (await send(client, resources={"cpus": 2})).json()["waits_for"]
    assert waits_for == "It waits for 2 CPUs and 2 GiB; the node has 1 CPU and 6 GiB free. The running job holds the rest."
    assert (await send(client)).json()["waits_for"] is None


async def test_dry_run_names_the_nodes_that_could_hold_it(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.cluster.members = [FakeNode(cpus=8, name="large"), FakeNode(cpus=2, name="small", is_head=False)]
    assert (await send(client, resources={"cpus": 4})).json()["nodes"] == ["large"]


class TestQuota:
    @pytest.fixture
    def settings(self, limited: PlatformSettings) -> PlatformSettings:
        return limited

    @pytest.fixture
    def limited(self, tmp_path: Any) -> PlatformSettings:
        quota = OwnerQuota(max_queued_jobs=1, max_running_jobs=0)
        return PlatformSettings(
            state_dir=tmp_path,
            database_url=f"sqlite:///{tmp_path}/store.db",
            mlflow_url="http://mlflow.invalid",
            ray_dashboard_url="http://ray.invalid",
            gateway_url="http://127.0.0.1:9",
            jobs=JobSettings(quotas=QuotaSettings(owners={"ann": quota})),
        )

    async def test_quota_holds_for_a_dry_run(self, client: httpx.AsyncClient, platform: Platform) -> None:
        client.headers["X-Raylift-Owner"] = "ann"
        assert "quota of 0 running jobs" in (await send(client)).json()["waits_for"]
        assert (await send(client, dry=False)).status_code == 202
        refused = await send(client)
        assert (refused.status_code, refused.json()["code"]) == (429, "quota_exceeded")
        seen = (await client.get("/mlops/queue")).json()
        assert seen["waiting"][0]["reason"] == "waiting_for_quota"
        (owner,) = seen["owners"]
        assert (owner["owner"], owner["queued"], owner["quota"]["max_queued_jobs"]) == ("ann", 1, 1)


async def test_cluster_shows_who_holds_what(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = (await send(client, dry=False, model_name="churn", resources={"cpus": 1.5})).json()["job_id"]
    await send(client, dry=False, resources={"cpus": 3})
    platform.start(job_id)
    platform.deploy("churn", "1", replicas=2)
    seen = (await client.get("/mlops/cluster")).json()
    (node,) = seen["nodes"]
    assert (node["name"], node["cpus"], node["reserved_cpus"], node["is_head"]) == ("box", 4.0, 1.0, True)
    assert node["held"] == {"jobs": 1, "cpus": 1.5, "memory": 2 * 2**30, "gpus": 0.0}
    (holder,) = seen["holders"]
    assert (holder["job_id"], holder["owner"], holder["phase"], holder["node"]) == (job_id, "local", "script", "box")
    assert seen["replicas"][0] | {"cpus": 0} == {
        "model_name": "churn", "model_version": "1", "replicas": 2, "cpus": 0, "memory": None, "gpus": 0.0,
    }  # fmt: skip
    assert seen["queued"] == 1


async def test_queue_shows_places_and_what_each_waits_for(client: httpx.AsyncClient, platform: Platform) -> None:
    await send(client, dry=False)
    urgent = (await send(client, dry=False, priority=90, resources={"cpus": 3})).json()["job_id"]
    platform.cluster.members = [FakeNode(cpus=3)]
    first, second = (await client.get("/mlops/queue")).json()["waiting"]
    assert (first["job_id"], first["queue_position"], second["queue_position"]) == (urgent, 1, 2)
    assert second["message"] == "It fits now, and starts when its turn comes."
    listed = (await client.get("/mlops/training/jobs")).json()["jobs"]
    assert [job["queue_position"] for job in listed] == [1, 2]


def test_free_room_counts_jobs_that_have_no_node_yet(platform: Platform) -> None:
    platform.cluster.members = [FakeNode(cpus=4, name="a"), FakeNode(cpus=2, name="b", is_head=False)]
    assert platform.services.holdings.now().free == [Resources(4, 8 * 2**30), Resources(2, 8 * 2**30)]


async def test_node_that_is_set_aside_is_shown_with_its_job(client: httpx.AsyncClient, platform: Platform) -> None:
    running = (await send(client, dry=False, resources={"cpus": 2})).json()["job_id"]
    platform.start(running)
    large = (await send(client, dry=False, model_name="churn", resources={"cpus": 4})).json()["job_id"]
    small = (await send(client, dry=False)).json()["job_id"]
    platform.store.reservations.put(platform.lease, Reservation(large, "a" * 56))
    seen = (await client.get("/mlops/queue")).json()
    assert seen["reservation"] == {
        "node": "box", "node_id": "a" * 56, "job_id": large, "owner": "local", "model_name": "churn",
    }  # fmt: skip
    assert (await client.get("/mlops/cluster")).json()["reservation"] == seen["reservation"]
    messages = {job["job_id"]: job["message"] for job in seen["waiting"]}
    assert messages[large].endswith("Node box takes no other job until it fits.")
    assert messages[small] == "It would fit, but node box is set aside for a larger job that goes first."


async def test_reservation_of_a_job_that_left_the_queue_is_not_shown(client: httpx.AsyncClient, platform: Platform) -> None:
    job_id = (await send(client, dry=False)).json()["job_id"]
    platform.store.reservations.put(platform.lease, Reservation(job_id, "a" * 56))
    platform.start(job_id)
    assert (await client.get("/mlops/queue")).json()["reservation"] is None
