"""The fast route of predictions past the web framework, and lost requests that the ingress had routed to a version."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from starlette.requests import Request
from starlette.responses import Response

from raylift.api.headers import NAMED
from serve_apps.gateway.predictions.inference_fast_route import FastRoute, InferenceFastRoute

_PATH = "/mlops/inference"
_LOST = "/v2/models/churn/versions/3/predict"


async def _endpoint(request: Request) -> Response:
    return Response(f"hot {request.url.path} {(await request.body()).decode()}")


async def _framework(scope: Any, receive: Any, send: Any) -> None:
    await Response(f"framework {scope['path']}")(scope, receive, send)


async def _ask(method: str, path: str, headers: dict[str, str] | None = None) -> str:
    app: Any = InferenceFastRoute(_framework, route=FastRoute(_PATH, "POST", _endpoint))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://gateway") as client:
        return (await client.request(method, path, headers=headers, content=b"{}")).text


async def test_inference_route_bypasses_the_framework() -> None:
    assert await _ask("POST", _PATH) == f"hot {_PATH} {{}}"
    assert await _ask("GET", _PATH) == f"framework {_PATH}"
    assert await _ask("POST", "/mlops/train") == "framework /mlops/train"


async def test_request_to_a_removed_version_becomes_a_by_name_request() -> None:
    """The ingress changed its path, but no replica took it. It is a request by name again."""
    assert await _ask("POST", _LOST, {NAMED: "1"}) == f"hot {_PATH} {{}}"


@pytest.mark.parametrize(
    ("method", "path", "headers"),
    [
        ("POST", _LOST, {}),
        ("POST", _LOST, {NAMED: "0"}),
        ("GET", _LOST, {NAMED: "1"}),
        ("POST", "/v2/models/churn/versions/3/infer", {NAMED: "1"}),
    ],
)
async def test_request_that_names_a_version_is_not_changed(method: str, path: str, headers: dict[str, str]) -> None:
    assert await _ask(method, path, headers) == f"framework {path}"
