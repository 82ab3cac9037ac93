"""The OpenAPI document is complete, and describes the gateway's real answers."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

CONTRACT = {
    "/mlops/training/upload": {"post"},
    "/mlops/training/jobs": {"get"},
    "/mlops/training/jobs/{job_id}": {"get", "delete"},
    "/mlops/training/jobs/{job_id}/logs": {"get"},
    "/mlops/training/jobs/{job_id}/script": {"get"},
    "/mlops/training/jobs/{job_id}/project": {"get"},
    "/mlops/training/jobs/{job_id}/diff/{other_id}": {"get"},
    "/mlops/training/jobs/{job_id}/events": {"get"},
    "/mlops/training/jobs/{job_id}/cancel": {"post"},
    "/mlops/training/jobs/{job_id}/rerun": {"post"},
    "/mlops/inference": {"post"},
    "/mlops/models": {"get"},
    "/mlops/models/{name}": {"get"},
    "/mlops/models/{name}/versions/{version}": {"get"},
    "/mlops/models/{name}/versions/{version}/deployment": {"get", "put", "delete"},
    "/mlops/deployments": {"get"},
    "/mlops/environments": {"get", "post"},
    "/mlops/environments/{name}": {"get", "delete"},
    "/healthz": {"get"},
    "/readyz": {"get"},
    "/metrics": {"get"},
}


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    return (await client.get("/openapi.json")).json()


def references(node: Any) -> set[str]:
    if isinstance(node, dict):
        own = {node["$ref"]} if isinstance(node.get("$ref"), str) else set[str]()
        return own.union(*(references(value) for value in node.values()))
    return set[str]().union(*(references(value) for value in node)) if isinstance(node, list) else set()


async def test_every_endpoint_of_the_contract_is_listed(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    for path, methods in CONTRACT.items():
        assert set(document["paths"][path]) == methods, path


async def test_every_reference_exists(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for reference in references(document):
        assert reference.removeprefix("#/components/schemas/") in schemas
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)


async def test_every_error_has_the_form_of_its_protocol(document: dict[str, Any]) -> None:
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            refusals = {status: answer for status, answer in operation["responses"].items() if status >= "400"}
            for status, answer in refusals.items():
                if path != "/readyz":
                    assert list(answer["content"]) == [_media_type(path)], (path, method, status)


def _media_type(path: str) -> str:
    families = {"/api/": "text/plain", "/v1/": "application/json", "/v2": "application/json"}
    return next((kind for prefix, kind in families.items() if path.startswith(prefix)), "application/problem+json")


async def test_operations_have_names_and_summaries(document: dict[str, Any]) -> None:
    operations = [operation for path in document["paths"].values() for operation in path.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(names) == len(set(names))
    assert all(operation.get("description") for operation in operations)


async def test_answers_match_their_schemas(client: httpx.AsyncClient, document: dict[str, Any]) -> None:
    accepted = await client.post("/mlops/training/upload", json={"script_content": "print(1)", "experiment_name": "e"})
    job = accepted.json()["links"]["self"]
    answers = {
        ("/mlops/training/upload", "post"): accepted,
        ("/mlops/training/jobs/{job_id}", "get"): await client.get(job),
        ("/mlops/training/jobs", "get"): await client.get("/mlops/training/jobs"),
        ("/mlops/training/jobs/{job_id}/events", "get"): await client.get(f"{job}/events"),
        ("/mlops/training/jobs/{job_id}/project", "get"): await client.get(f"{job}/project"),
        ("/mlops/training/jobs/{job_id}/diff/{other_id}", "get"): await client.get(f"{job}/diff/{accepted.json()['job_id']}"),
        ("/mlops/training/jobs/{job_id}/script", "get"): await client.get("/mlops/training/jobs/job_nope/script"),
        ("/mlops/training/jobs/{job_id}", "delete"): await client.delete(job),
        ("/mlops/models", "get"): await client.get("/mlops/models"),
        ("/mlops/models/{name}", "get"): await client.get("/mlops/models/nope"),
        ("/mlops/environments", "get"): await client.get("/mlops/environments"),
        ("/mlops/environments", "post"): await client.post("/mlops/environments", json={"requirements": ["numpy"]}),
        ("/mlops/environments/{name}", "get"): await client.get("/mlops/environments/nope"),
        ("/readyz", "get"): await client.get("/readyz"),
    }
    for (path, method), answer in answers.items():
        described = document["paths"][path][method]["responses"][str(answer.status_code)]["content"]
        schema = described[answer.headers["content-type"].partition(";")[0]]["schema"]
        Draft202012Validator({**schema, "components": document["components"]}).validate(answer.json())
