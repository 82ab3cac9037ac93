"""``/mlops/models/{name}/traffic``, its history and rollback, and ``/mlops/models/{name}/aliases``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.headers import IF_MATCH, OWNER_HEADER
from raylift.api.paths import MLOPS
from raylift.api.traffic import AliasUpdate, AliasView, RollbackRequest, TrafficHistory, TrafficUpdate, TrafficView
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.container import Services
from raylift.services.traffic.tables import AliasMove, TrafficState
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.conditional import TAG_PART
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import owner_of
from serve_apps.gateway.views.traffic import table_of, traffic_history, traffic_view

_MAX_BODY_BYTES: Final = 256 * 1024
_PATH: Final = "/models/{name}/traffic"


_AUTHOR: Final = header(OWNER_HEADER, 'Author of the change, for the history; "local" if absent.')
_MATCH: Final = header(IF_MATCH, "ETag of the table to change; 412 when the table has changed since.")


def traffic_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["traffic"])

    @router.get(
        _PATH,
        responses={200: {"model": TrafficView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def traffic(name: str) -> Response:
        """Show the versions that answer requests by model name, and their shares."""
        return _answer(services.traffic.get(name))

    @router.put(
        _PATH,
        responses={200: {"model": TrafficView}, **problems(400, 404, 412, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(TrafficUpdate), "parameters": [_AUTHOR, _MATCH]},
        dependencies=[needs(services, Action.DEPLOY, "traffic.put", of=Kind.MODEL)],
    )
    async def put(request: Request, name: str) -> Response:
        """Set the model's traffic table."""
        update = await read_model(request, TrafficUpdate, max_bytes=_MAX_BODY_BYTES)
        table = table_of(update)
        return await changed(
            name, services.traffic.put, name, table, who=owner_of(request), expected_revision=_if_match(request)
        )

    @router.delete(
        _PATH,
        responses={200: {"model": TrafficView}, **problems(404, 412, 503)},
        openapi_extra={"parameters": [_AUTHOR, _MATCH]},
        dependencies=[needs(services, Action.DEPLOY, "traffic.delete", of=Kind.MODEL)],
    )
    async def delete(request: Request, name: str) -> Response:
        """Delete the table: the newest ready version gets every request again."""
        return await changed(name, services.traffic.delete, name, who=owner_of(request), expected_revision=_if_match(request))

    @router.get(
        f"{_PATH}/history",
        responses={200: {"model": TrafficHistory}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def history(
        name: str,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[
            int | None, Query(ge=1, le=2**31 - 1, description="Only changes older than this sequence number.")
        ] = None,
    ) -> Response:
        """List changes of the traffic and of aliases, newest first."""
        return json_response(traffic_history(name, services.traffic.history(name, limit=limit, before=before), limit))

    @router.post(
        "/models/{name}/rollback",
        responses={200: {"model": TrafficView}, **problems(400, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(RollbackRequest) | {"required": False}, "parameters": [_AUTHOR]},
        dependencies=[needs(services, Action.DEPLOY, "traffic.rollback", of=Kind.MODEL)],
    )
    async def rollback(request: Request, name: str) -> Response:
        """Undo the last change of the table, or of an alias in it. A second rollback restores the change."""
        asked = await read_model(request, RollbackRequest, max_bytes=_MAX_BODY_BYTES, optional=True)
        if asked.revision is not None and asked.alias is not None:
            raise InvalidRequest.of(FieldError("alias", "and revision cannot both be given"))
        return await changed(
            name, services.traffic.rollback, name, who=owner_of(request), revision=asked.revision, alias=asked.alias
        )

    async def changed(name: str, change: Any, *args: Any, **facts: Any) -> Response:
        state: TrafficState = await run_in_threadpool(change, *args, **facts)
        table = state.record.table
        moved = {facts["alias"]} if facts.get("alias") else set[str]()
        services.routing.forget(name, *(table.aliases if table else ()), *moved)
        return _answer(state)

    return router


def aliases_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["traffic"])
    path = "/models/{name}/aliases/{alias}"

    @router.put(
        path,
        responses={200: {"model": AliasView}, **problems(400, 404, 413, 415, 422, 502, 503)},
        openapi_extra={"requestBody": json_body(AliasUpdate), "parameters": [_AUTHOR]},
        dependencies=[needs(services, Action.DEPLOY, "alias.put", of=Kind.MODEL)],
    )
    async def put(request: Request, name: str, alias: str) -> Response:
        """Move an alias of MLflow's registry to a version."""
        update = await read_model(request, AliasUpdate, max_bytes=_MAX_BODY_BYTES)
        version = str(update.version)
        move = await run_in_threadpool(services.traffic.set_alias, name, alias, version, who=owner_of(request))
        return _moved(move)

    @router.delete(
        path,
        responses={200: {"model": AliasView}, **problems(404, 409, 502, 503)},
        openapi_extra={"parameters": [_AUTHOR]},
        dependencies=[needs(services, Action.DEPLOY, "alias.delete", of=Kind.MODEL)],
    )
    async def delete(request: Request, name: str, alias: str) -> Response:
        """Delete an alias."""
        return _moved(await run_in_threadpool(services.traffic.delete_alias, name, alias, who=owner_of(request)))

    def _moved(move: AliasMove) -> Response:
        services.routing.forget(move.model_name, move.alias)
        return json_response(
            AliasView(
                model_name=move.model_name, alias=move.alias, version=move.version, previous_version=move.previous_version
            )
        )

    return router


def _if_match(request: Request) -> int | None:
    text = request.headers.get(IF_MATCH)
    if text is None or text.strip() == "*":
        return None
    number = text.strip().removeprefix("W/").strip('"').partition(TAG_PART)[0]
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        raise InvalidRequest.of(FieldError(IF_MATCH, 'must be the ETag of a traffic table, e.g. "3"'))
    return int(number)


def _answer(state: TrafficState) -> Response:
    return json_response(traffic_view(state), headers={"ETag": f'"{state.record.revision}"'})
