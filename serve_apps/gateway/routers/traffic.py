"""``/mlops/models/{name}/traffic``, its history and rollback, and ``/mlops/models/{name}/aliases``."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api.headers import IF_MATCH, OWNER_HEADER
from raylift.api.paths import MLOPS
from raylift.api.traffic import AliasUpdate, AliasView, RollbackRequest, TrafficHistory, TrafficUpdate, TrafficView
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.domain.identifiers import DEFAULT_OWNER, OWNER, OWNER_FORM
from raylift.services.container import Services
from raylift.services.traffic.tables import AliasMove, TrafficState
from serve_apps.gateway.http.bodies import parse_model, read_body, require_json
from serve_apps.gateway.http.responses import json_body, json_response, problems
from serve_apps.gateway.views import traffic as views

_MAX_BODY_BYTES: Final = 256 * 1024
_PATH: Final = "/models/{name}/traffic"


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": {"type": "string"}}


_WHO: Final = _header(OWNER_HEADER, 'Who changes it, for the history; "local" if absent.')
_MATCH: Final = _header(IF_MATCH, "The ETag of the table that the change is meant for; 412 when it has changed since.")


def traffic_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS, tags=["traffic"])

    @router.get(_PATH, responses={200: {"model": TrafficView}, **problems(404, 503)})
    def traffic(name: str) -> Response:
        """Which versions answer requests that name only the model, and in which shares."""
        return _answer(services.traffic.get(name))

    @router.put(
        _PATH,
        responses={200: {"model": TrafficView}, **problems(400, 404, 412, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(TrafficUpdate), "parameters": [_WHO, _MATCH]},
    )
    async def put(request: Request, name: str) -> Response:
        """Give the model a traffic table, in the place of the one it has."""
        update = await _body(request, TrafficUpdate)
        table = views.table_of(update)
        return await changed(name, services.traffic.put, name, table, who=owner(request), expected_revision=_if_match(request))

    @router.delete(
        _PATH,
        responses={200: {"model": TrafficView}, **problems(404, 412, 503)},
        openapi_extra={"parameters": [_WHO, _MATCH]},
    )
    async def delete(request: Request, name: str) -> Response:
        """Take the table away: the newest version that answers gets every request again."""
        return await changed(name, services.traffic.delete, name, who=owner(request), expected_revision=_if_match(request))

    @router.get(f"{_PATH}/history", responses={200: {"model": TrafficHistory}, **problems(404, 503)})
    def history(
        name: str,
        limit: Annotated[int, Query(ge=1, le=500)] = 50,
        before: Annotated[
            int | None, Query(ge=1, le=2**31 - 1, description="Only changes older than this sequence number.")
        ] = None,
    ) -> Response:
        """Who changed the traffic and the aliases, when, and from what to what; newest first."""
        return json_response(views.history(name, services.traffic.history(name, limit=limit, before=before), limit))

    @router.post(
        "/models/{name}/rollback",
        responses={200: {"model": TrafficView}, **problems(400, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": json_body(RollbackRequest) | {"required": False}, "parameters": [_WHO]},
    )
    async def rollback(request: Request, name: str) -> Response:
        """Undo the last change of the table, or of an alias that it names. Doing it twice brings the change back."""
        asked = await _body(request, RollbackRequest, optional=True)
        if asked.revision is not None and asked.alias is not None:
            problem = FieldError("alias", "and revision cannot both be given")
            raise InvalidRequest(f"{problem.field} {problem.detail}", [problem])
        return await changed(
            name, services.traffic.rollback, name, who=owner(request), revision=asked.revision, alias=asked.alias
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
        openapi_extra={"requestBody": json_body(AliasUpdate), "parameters": [_WHO]},
    )
    async def put(request: Request, name: str, alias: str) -> Response:
        """Let an alias of MLflow's registry stand for a version."""
        version = str((await _body(request, AliasUpdate)).version)
        move = await run_in_threadpool(services.traffic.set_alias, name, alias, version, who=owner(request))
        return _moved(move)

    @router.delete(
        path, responses={200: {"model": AliasView}, **problems(404, 409, 502, 503)}, openapi_extra={"parameters": [_WHO]}
    )
    async def delete(request: Request, name: str, alias: str) -> Response:
        """Take an alias away."""
        return _moved(await run_in_threadpool(services.traffic.delete_alias, name, alias, who=owner(request)))

    def _moved(move: AliasMove) -> Response:
        services.routing.forget(move.model_name, move.alias)
        return json_response(
            AliasView(
                model_name=move.model_name, alias=move.alias, version=move.version, previous_version=move.previous_version
            )
        )

    return router


def owner(request: Request) -> str:
    """Who says to be the caller.

    Raises:
        InvalidRequest: the header holds what no name has.
    """
    name = request.headers.get(OWNER_HEADER, DEFAULT_OWNER)
    if not OWNER.fullmatch(name):
        problem = FieldError(OWNER_HEADER, f"must be {OWNER_FORM}")
        raise InvalidRequest(f"{problem.field} {problem.detail}.", [problem])
    return name


async def _body(request: Request, model: type[Any], *, optional: bool = False) -> Any:
    raw = await read_body(request, max_bytes=_MAX_BODY_BYTES)
    if raw or not optional:
        require_json(request)
    return parse_model(model, raw if raw or not optional else b"{}")


def _if_match(request: Request) -> int | None:
    text = request.headers.get(IF_MATCH)
    if text is None or text.strip() == "*":
        return None
    number = text.strip().removeprefix("W/").strip('"')
    if not (number.isascii() and number.isdigit() and len(number) < 10):
        problem = FieldError(IF_MATCH, 'must be the ETag of a traffic table, e.g. "3"')
        raise InvalidRequest(f"{problem.field} {problem.detail}.", [problem])
    return int(number)


def _answer(state: TrafficState) -> Response:
    return json_response(views.traffic_view(state), headers={"ETag": f'"{state.record.revision}"'})
