"""``/mlops/secrets``: write-only values for the environment of jobs, those of the caller's workspace."""

from __future__ import annotations

from typing import Final

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api import paths
from raylift.api.headers import OWNER_HEADER
from raylift.api.secrets import SecretList, SecretRequest, SecretView
from raylift.domain.security.secret import Secret
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import owner_of, principal_of

_MAX_BODY_BYTES: Final = 256 * 1024
_OWNER: Final = header(OWNER_HEADER, "Shown as `updated_by`. It does not authenticate. Absent: local.")


def secrets_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.SECRETS, tags=["secrets"])
    secrets = services.secrets

    @router.get("", responses={200: {"model": SecretList}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    def list_secrets(request: Request) -> Response:
        """List the secrets of your workspace: names, variables and times. Values are never shown."""
        found = secrets.list(principal_of(request).workspace)
        return json_response(SecretList(secrets=[_view(secret) for secret in found]))

    @router.get(
        "/{secret_name}",
        responses={200: {"model": SecretView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.SECRET)],
    )
    def get_secret(request: Request, secret_name: str) -> Response:
        """Show one secret, without its values."""
        return json_response(_view(secrets.get(principal_of(request).workspace, secret_name)))

    @router.put(
        "/{secret_name}",
        responses={
            200: {"model": SecretView, "description": "It existed and has only these variables now."},
            201: {"model": SecretView, "description": "It is new."},
            **problems(400, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": json_body(SecretRequest), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "secret.set", of=Kind.SECRET)],
    )
    async def put_secret(request: Request, secret_name: str) -> Response:
        """Store a secret, or replace all values of an existing one. Jobs that start later get the new values."""
        asked = await read_model(request, SecretRequest, max_bytes=_MAX_BODY_BYTES)
        workspace, by = principal_of(request).workspace, owner_of(request)
        secret, is_new = await run_in_threadpool(secrets.put, workspace, secret_name, asked.variables_of(secret_name), by=by)
        return json_response(_view(secret), 201 if is_new else 200)

    @router.delete(
        "/{secret_name}",
        status_code=204,
        response_class=Response,
        responses=problems(404, 503),
        dependencies=[needs(services, Action.SUBMIT, "secret.delete", of=Kind.SECRET)],
    )
    def delete_secret(request: Request, secret_name: str) -> Response:
        """Delete a secret. A job that names it and has not started yet will fail."""
        secrets.delete(principal_of(request).workspace, secret_name)
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
