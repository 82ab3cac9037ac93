"""``/mlops/attempts/{submission_id}``: bundle and messages of attempts on other nodes. Not for people."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from job_entrypoints.contract import ATTEMPT_TOKEN_HEADER, ATTEMPTS_PATH, BUNDLE, DATA, NODE_HEADER, REPORT, RESULT
from raylift.services.container import Services
from raylift.services.jobs.remote_attempts import MAX_MESSAGE_BYTES
from serve_apps.gateway.access.permissions import Action, needs
from serve_apps.gateway.http.bodies import read_body
from serve_apps.gateway.http.responses import json_response

_TAR = "application/x-tar"
_OCTETS = "application/octet-stream"
_LONGEST_NAME = 255


class ReportAnswer(BaseModel):
    """Answer to a courier's message."""

    have: int
    stop: str | None


class ResultAnswer(BaseModel):
    """Answer to bytes of a result."""

    have: int


def attempts_router(services: Services) -> APIRouter:
    # The attempt's own token is checked in the service, which knows the attempt.
    router = APIRouter(prefix=ATTEMPTS_PATH, include_in_schema=False, dependencies=[needs(services, Action.PUBLIC)])
    attempts = services.remote_attempts

    @router.get(f"/{{submission_id}}/{BUNDLE}")
    def bundle(request: Request, submission_id: str) -> Response:
        """Return a tar of the attempt's directory, for the wrapper on a node that does not see it."""
        host = request.headers.get(NODE_HEADER, "")[:_LONGEST_NAME]
        return StreamingResponse(attempts.bundle(submission_id, _token(request), host), media_type=_TAR)

    @router.get(f"/{{submission_id}}/{DATA}/{{alias}}")
    def data(request: Request, submission_id: str, alias: str, index: int = 0, offset: int = 0) -> Response:
        """Return bytes of a file of the attempt's datasets."""
        content = attempts.data(submission_id, _token(request), alias, index=index, offset=max(offset, 0))
        return StreamingResponse(content, media_type=_OCTETS)

    @router.post(f"/{{submission_id}}/{REPORT}")
    async def report(request: Request, submission_id: str) -> Response:
        """Take progress, usage and a portion of the log; answer with what is here, and a stop."""
        body = await read_body(request, max_bytes=MAX_MESSAGE_BYTES)
        answer = await run_in_threadpool(attempts.report, submission_id, _token(request), body)
        return json_response(ReportAnswer(have=answer.have, stop=answer.stop))

    @router.put(f"/{{submission_id}}/{RESULT}")
    async def result(request: Request, submission_id: str, path: str = "", offset: int = 0, is_file: bool = True) -> Response:
        """Take bytes of a file that the script has made; answer with how many are here."""
        body = await read_body(request, max_bytes=MAX_MESSAGE_BYTES)

        def take() -> int:
            return attempts.result(submission_id, _token(request), path, max(offset, 0), body, is_file=is_file)

        return json_response(ResultAnswer(have=await run_in_threadpool(take)))

    return router


def _token(request: Request) -> str:
    return request.headers.get(ATTEMPT_TOKEN_HEADER, "")
