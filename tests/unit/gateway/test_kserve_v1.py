from __future__ import annotations

import httpx
import pytest

from raylift.domain.models.deployment import DeploymentStatus
from tests.unit.gateway.conftest import Platform


async def test_list_has_the_models_with_an_answering_version(client: httpx.AsyncClient, platform: Platform) -> None:
    assert (await client.get("/v1/models")).json() == {"models": []}
    platform.deploy("b", "1")
    platform.deploy("b", "2", DeploymentStatus.SCALED_TO_ZERO)
    platform.deploy("a", "1", DeploymentStatus.SCALED_TO_ZERO)
    platform.deploy("starting", "1", DeploymentStatus.STARTING)
    assert (await client.get("/v1/models")).json() == {"models": ["a", "b"]}


@pytest.mark.parametrize(
    ("status", "ready"),
    [
        (DeploymentStatus.READY, True),
        (DeploymentStatus.SCALED_TO_ZERO, True),
        (DeploymentStatus.STARTING, False),
        (DeploymentStatus.UNHEALTHY, False),
    ],
)
async def test_model_is_ready_if_a_version_answers(
    client: httpx.AsyncClient, platform: Platform, status: DeploymentStatus, ready: bool
) -> None:
    platform.deploy("m", "1", status)
    answer = await client.get("/v1/models/m")
    assert (answer.status_code, answer.json()) == (200, {"name": "m", "ready": ready})


async def test_errors_have_the_form_of_the_protocol(client: httpx.AsyncClient, platform: Platform) -> None:
    for method, path in (("GET", "/v1/models/nope"), ("POST", "/v1/models/nope:predict"), ("POST", "/v1/models/m:explain")):
        answer = await client.request(method, path)
        assert answer.status_code == (405 if path.endswith("explain") else 404), answer.text
        assert answer.headers["content-type"] == "application/json"
        assert list(answer.json()) == ["error"]
    platform.deploy("m", "1")
    wrong = await client.post("/v1/models/m:predict", json={"instances": [[1]]}, headers={"X-Scale-Up-Timeout": "soon"})
    assert (wrong.status_code, list(wrong.json())) == (400, ["error"])


async def test_unreachable_registry_is_503_and_not_an_unready_model(client: httpx.AsyncClient, platform: Platform) -> None:
    platform.registry.down = True
    assert (await client.get("/v1/models/m")).status_code == 503


async def test_document_lists_the_errors(client: httpx.AsyncClient) -> None:
    paths = (await client.get("/openapi.json")).json()["paths"]
    answers = paths["/v1/models/{model}:predict"]["post"]["responses"]
    assert sorted(answers) == ["200", "400", "401", "403", "404", "503"]
    assert list(answers["400"]["content"]) == ["application/json"]
