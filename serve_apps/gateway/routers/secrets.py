"""``/mlops/secrets``: write-only values for the environment of jobs."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api import paths
from raylift.api.headers import OWNER_HEADER
from raylift.api.secrets import SecretList, SecretRequest, SecretView
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.identifiers import DEFAULT_OWNER, OWNER, OWNER_FORM
from raylift.domain.secret import Secret
from raylift.services.container import Services
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems

_MAX_BODY_BYTES: Final = 256 * 1024
_OWNER: Final = header(OWNER_HEADER, "Shown as `updated_by`. It does not authenticate. Absent: local.")


def secrets_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.SECRETS, tags=["secrets"])
    secrets = services.secrets

    @router.get("", responses={200: {"model": SecretList}, **problems(503)})
    def list_secrets() -> Response:
        """List all secrets: names, variables and times. Values are never shown."""
        return json_response(SecretList(secrets=[_view(secret) for secret in secrets.list()]))

    @router.get("/{name}", responses={200: {"model": SecretView}, **problems(404, 503)})
    def get_secret(name: str) -> Response:
        """Show one secret, without its values."""
        return json_response(_view(secrets.get(name)))

    @router.put(
        "/{name}",
        responses={
            200: {"model": SecretView, "description": "It existed and has only these variables now."},
            201: {"model": SecretView, "description": "It is new."},
            **problems(400, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": json_body(SecretRequest), "parameters": [_OWNER]},
    )
    async def put_secret(request: Request, name: str) -> Response:
        """Store a secret, or replace all values of an existing one. Jobs that start later get the new values."""
        asked = await read_model(request, SecretRequest, max_bytes=_MAX_BODY_BYTES)
        by = request.headers.get(OWNER_HEADER, DEFAULT_OWNER)
        if not OWNER.fullmatch(by):
            raise InvalidRequest.of(FieldError(OWNER_HEADER, f"must be {OWNER_FORM}"))
        secret, is_new = await run_in_threadpool(secrets.put, name, asked.variables_of(name), by=by)
        return json_response(_view(secret), 201 if is_new else 200)

    @router.delete("/{name}", status_code=204, response_class=Response, responses=problems(404, 503))
    def delete_secret(name: str) -> Response:
        """Delete a secret. A job that names it and has not started yet will fail."""
        secrets.delete(name)
        return Response(status_code=204)

    return router


def _view(secret: Secret) -> SecretView:
    return SecretView(
        name=secret.name,
        variables=list(secret.variables),
        created_at=secret.created_at,
        updated_at=secret.updated_at,
        updated_by=secret.updated_by,
    )
