from __future__ import annotations

from typing import Any

import httpx
import pytest

from job_entrypoints.contract import TAG_JOB_ID
from raylift.domain.identifiers import TAG_ENVIRONMENT_LOCK, TAG_REQUIREMENTS, TAG_SCRIPT_SHA256
from raylift.domain.models.deployment import DeploymentStatus
from tests.unit.gateway.conftest import Platform
from tests.unit.gateway.engine_fakes import FakeNode

DEPLOYMENT = "/mlops/models/m/versions/1/deployment"


@pytest.fixture(autouse=True)
def registered(platform: Platform) -> None:
    platform.registry.register(
        "m", "1", tags={TAG_JOB_ID: "job_gone", TAG_ENVIRONMENT_LOCK: '["humanize==4.9.0"]'}, run_id="r1"
    )
    platform.registry.register("m", "2")


class TestModels:
    async def test_list_has_every_model(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.registry.register("other", "1")
        platform.registry.aliases["m", "champion"] = "1"
        for version, status in [
            ("1", DeploymentStatus.READY),
            ("2", DeploymentStatus.STARTING),
            ("10", DeploymentStatus.SCALED_TO_ZERO),
        ]:
            platform.deploy("m", version, status)
        first, second = (await client.get("/mlops/models")).json()["models"]
        assert (first["model_name"], first["latest_version"], first["aliases"]) == ("m", "2", {"champion": "1"})
        assert first["ready_versions"] == ["10", "1"]
        assert (second["model_name"], second["ready_versions"]) == ("other", [])

    async def test_versions_of_a_model_are_newest_first(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.deploy("m", "1")
        model = (await client.get("/mlops/models/m")).json()
        assert [version["model_version"] for version in model["versions"]] == ["2", "1"]
        assert [version["deployment"] and version["deployment"]["status"] for version in model["versions"]] == [None, "ready"]

    async def test_lineage_comes_from_the_job(self, client: httpx.AsyncClient, platform: Platform) -> None:
        body = {"script_content": "print(1)", "experiment_name": "e", "requirements": ["humanize"]}
        job_id = (await client.post("/mlops/training/upload", json=body)).json()["job_id"]
        platform.start(job_id)
        platform.finish(job_id, metrics={"a": 1.0}, environment_lock=("humanize==4.9.0",))
        platform.registry.register("m", "3", tags={TAG_JOB_ID: job_id}, run_id="r3", source="models:/m-3")
        version = (await client.get("/mlops/models/m/versions/3")).json()
        sha256 = platform.store.jobs.get(job_id).spec.script_sha256
        assert version["lineage"] == {
            "job_id": job_id, "script_sha256": sha256, "requirements": ["humanize"], "environment_lock": ["humanize==4.9.0"],
            "mlflow_run_id": "r3", "source": "models:/m-3", "data": {},
        }  # fmt: skip
        assert version["metrics"] == {"a": 1.0}

    async def test_lineage_of_a_deleted_job_comes_from_tags(self, client: httpx.AsyncClient, platform: Platform) -> None:
        tags = {TAG_JOB_ID: "job_gone", TAG_SCRIPT_SHA256: "abc", TAG_REQUIREMENTS: "numpy\nscipy"}
        platform.registry.register("m", "4", tags=tags)
        lineage = (await client.get("/mlops/models/m/versions/4")).json()["lineage"]
        assert (lineage["job_id"], lineage["script_sha256"], lineage["requirements"]) == ("job_gone", "abc", ["numpy", "scipy"])

    @pytest.mark.parametrize(
        ("path", "code"),
        [
            ("/mlops/models/nope", "model_not_found"),
            ("/mlops/models/nope/versions/1", "model_not_found"),
            ("/mlops/models/m/versions/9", "version_not_found"),
            ("/mlops/models/m/versions/9/deployment", "version_not_found"),
            ("/mlops/models/m/versions/2/deployment", "deployment_not_found"),
        ],
    )
    async def test_unknown_model_is_404(self, client: httpx.AsyncClient, path: str, code: str) -> None:
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["code"]) == (404, code)

    async def test_unreachable_registry_is_503(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.registry.down = True
        answer = await client.get("/mlops/models")
        assert (answer.status_code, answer.json()["code"]) == (503, "engine_unavailable")


class TestDeployments:
    async def test_registered_version_is_deployed(self, client: httpx.AsyncClient, platform: Platform) -> None:
        answer = await client.put(
            DEPLOYMENT, json={"min_replicas": 1, "memory": "1GiB", "batching": {"max_rows": 64, "wait_ms": 2}}
        )
        assert answer.status_code == 201
        view = answer.json()
        assert (view["status"], view["min_replicas"], view["max_replicas"], view["memory"]) == ("pending", 1, 2, 2**30)
        assert view["batching"] == {"max_rows": 64, "wait_ms": 2.0}
        assert view["route"] == "/v2/models/m/versions/1"
        row = platform.store.deployments.get("m", "1")
        assert (row.wanted, row.environment_lock, row.job_id, row.model_uri) == (
            True,
            ("humanize==4.9.0",),
            "job_gone",
            "models:/m/1",
        )
        assert (await client.get(DEPLOYMENT)).json() == view

    async def test_deployment_without_a_body_has_the_defaults(self, client: httpx.AsyncClient) -> None:
        answer = await client.put(DEPLOYMENT)
        assert (answer.status_code, answer.json()["max_ongoing_requests"]) == (201, 64)

    async def test_scaling_and_queue_settings_are_stored(self, client: httpx.AsyncClient) -> None:
        view = (await client.put(DEPLOYMENT, json={})).json()
        assert (view["max_queued_requests"], view["upscale_delay_s"], view["downscale_delay_s"]) == (128, 3, 300)
        changed = {"max_queued_requests": 5, "upscale_delay_s": 0, "downscale_delay_s": 1.5}
        view = (await client.put(DEPLOYMENT, json=changed)).json()
        assert {name: view[name] for name in changed} == changed

    async def test_omitted_settings_are_kept(self, client: httpx.AsyncClient, platform: Platform) -> None:
        await client.put(DEPLOYMENT, json={"max_replicas": 4, "memory": "1GiB", "batching": {"max_rows": 64, "wait_ms": 2}})
        before = platform.store.deployments.get("m", "1").generation
        view = (await client.put(DEPLOYMENT, json={"min_replicas": 2, "max_replicas": None})).json()
        assert (view["min_replicas"], view["max_replicas"], view["memory"]) == (2, 4, 2**30)
        view = (await client.put(DEPLOYMENT, json={"memory": None, "batching": None})).json()
        assert (view["min_replicas"], view["memory"], view["batching"]) == (2, None, None)
        assert platform.store.deployments.get("m", "1").generation == before + 2

    async def test_gpus_are_those_that_a_node_has(self, client: httpx.AsyncClient, platform: Platform) -> None:
        refused = await client.put(DEPLOYMENT, json={"gpus": 0.5})
        assert refused.status_code == 422
        assert "no node of the cluster could ever hold 0.5 GPUs" in refused.text
        platform.cluster.members = [FakeNode(gpus=2.0)]
        platform.services.uploads._capacity._read_at = float("-inf")
        view = (await client.put(DEPLOYMENT, json={"gpus": 0.5})).json()
        assert view["gpus"] == 0.5
        assert not platform.store.deployments.get("m", "1").fits_warm_process
        part = await client.put(DEPLOYMENT, json={"gpus": 1.5})
        assert (part.status_code, part.json()["errors"][0]["field"]) == (422, "gpus")
        assert "must be a whole number" in part.text

    async def test_variables_are_set_and_removed_and_not_shown(self, client: httpx.AsyncClient, platform: Platform) -> None:
        view = (await client.put(DEPLOYMENT, json={"environment": {"KERAS_BACKEND": "torch", "SCALE": "2"}})).json()
        assert view["environment"] == {"KERAS_BACKEND": "***", "SCALE": "***"}
        await client.put(DEPLOYMENT, json={"environment": {"SCALE": None, "MODE": "x"}})
        assert platform.store.deployments.get("m", "1").config.environment == {"KERAS_BACKEND": "torch", "MODE": "x"}
        await client.put(DEPLOYMENT, json={"max_replicas": 3})
        assert platform.store.deployments.get("m", "1").config.environment == {"KERAS_BACKEND": "torch", "MODE": "x"}
        assert (await client.put(DEPLOYMENT, json={"environment": None})).json()["environment"] == {}

    async def test_one_value_of_batching_or_payload_log_keeps_the_other(self, client: httpx.AsyncClient) -> None:
        assert (await client.put(DEPLOYMENT, json={"batching": {"max_rows": 8}})).json()["batching"] == {
            "max_rows": 8, "wait_ms": 0.0,
        }  # fmt: skip
        await client.put(DEPLOYMENT, json={"batching": {"wait_ms": 2}, "payload_log": {"max_body_bytes": 10}})
        view = (await client.put(DEPLOYMENT, json={"batching": {"max_rows": 9}, "payload_log": {"sample_rate": 0.5}})).json()
        assert view["batching"] == {"max_rows": 9, "wait_ms": 2.0}
        assert view["payload_log"] == {"sample_rate": 0.5, "max_body_bytes": 10}
        await client.put(DEPLOYMENT, json={"batching": None})
        view = (await client.put(DEPLOYMENT, json={"batching": {"wait_ms": 3}})).json()
        assert view["batching"] == {"max_rows": 64, "wait_ms": 3.0}

    async def test_model_name_that_no_path_can_hold_is_refused(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.registry.register("a b", "1")
        refused = await client.put("/mlops/models/a%20b/versions/1/deployment", json={})
        assert (refused.status_code, refused.json()["errors"][0]["field"]) == (422, "model_name")
        assert "Register the model under such a name" in refused.json()["detail"]
        assert (await client.put("/mlops/models/c%20d/versions/1/deployment", json={})).status_code == 404

    async def test_put_of_an_unhealthy_deployment_tries_again(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.deploy("m", "1", DeploymentStatus.UNHEALTHY, message="broken")
        view = (await client.put(DEPLOYMENT, json={})).json()
        assert (view["status"], view["message"]) == ("pending", None)

    async def test_deployment_is_stopped_and_started_again(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.deploy("m", "1")
        assert (await client.delete(DEPLOYMENT)).json()["status"] == "stopped"
        generation = platform.store.deployments.get("m", "1").generation
        assert (await client.delete(DEPLOYMENT)).status_code == 200
        row = platform.store.deployments.get("m", "1")
        assert (row.wanted, row.generation) == (False, generation)
        assert (await client.put(DEPLOYMENT)).json()["status"] == "pending"

    async def test_list_has_every_deployment(self, client: httpx.AsyncClient, platform: Platform) -> None:
        platform.deploy("m", "1")
        platform.deploy("other", "1")

        async def names(query: dict[str, Any]) -> list[str]:
            found = (await client.get("/mlops/deployments", params=query)).json()["deployments"]
            return [item["model_name"] for item in found]

        assert await names({}) == ["m", "other"]
        assert await names({"model_name": "other"}) == ["other"]

    @pytest.mark.parametrize(
        ("update", "field"),
        [
            ({"min_replicas": 3}, "max_replicas"),
            ({"max_replicas": 0}, "max_replicas"),
            ({"max_queued_requests": 0}, "max_queued_requests"),
            ({"upscale_delay_s": -1}, "upscale_delay_s"),
            ({"downscale_delay_s": 1e9}, "downscale_delay_s"),
            ({"min_replicas": -1}, "min_replicas"),
            ({"min_replicas": "1"}, "min_replicas"),
            ({"target_ongoing_requests": 100}, "target_ongoing_requests"),
            ({"target_ongoing_requests": 0}, "target_ongoing_requests"),
            ({"cpus": 64}, "cpus"),
            ({"cpus": 0.00001}, "cpus"),
            ({"memory": "1 TiB"}, "memory"),
            ({"memory": "lots"}, "memory"),
            ({"batching": {"max_rows": 0, "wait_ms": 1}}, "batching.max_rows"),
            ({"environment": {"RAY_ADDRESS": "x"}}, "environment.RAY_ADDRESS"),
            ({"environment": {"a b": "x"}}, "environment.a b"),
            ({"replicas": 3}, "replicas"),
        ],
    )
    async def test_wrong_settings_are_named(
        self, client: httpx.AsyncClient, platform: Platform, update: dict[str, Any], field: str
    ) -> None:
        for _ in range(2):  # The same rules for a new deployment and for a change.
            answer = await client.put(DEPLOYMENT, json=update)
            assert answer.status_code == 422, answer.text
            assert [error["field"] for error in answer.json()["errors"]] == [field]
            platform.deploy("m", "1")

    @pytest.mark.parametrize(
        ("content", "kind", "status"),
        [(b"{", "application/json", 400), (b"[]", "application/json", 422), (b"{}", "text/plain", 415)],
    )
    async def test_malformed_body_is_refused(self, client: httpx.AsyncClient, content: bytes, kind: str, status: int) -> None:
        assert (await client.put(DEPLOYMENT, content=content, headers={"content-type": kind})).status_code == status
