"""``/mlops/training/jobs/{job_id}/logs``: the whole log, its end, or followed as Server-Sent Events."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import Annotated, Final, Literal

import orjson
from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import FileResponse, StreamingResponse
from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope, Send

from raylift.api.paths import TRAINING
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.container import Services
from raylift.services.jobs.log_follower import AttemptStarted, Ended, Heartbeat, Lines, LogEvent, Refused
from raylift.services.jobs.logs import LogFile
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.errors import RangeNotSatisfiable, error_response
from serve_apps.gateway.http.responses import problems
from serve_apps.gateway.http.visit import principal_of

_PLAIN: Final = "text/plain; charset=utf-8"
_EVENTS: Final = "text/event-stream"
_EVENT: Final = {
    "type": "object",
    "description": "`attempt`, `end` and `refused`: JSON. No name: the log, a JSON string or, with encoding=lines, as it is.",
    "properties": {"id": {"type": "string"}, "event": {"type": "string"}, "data": {"type": "string"}},
}
_CHUNK_BYTES: Final = 256 * 1024
_MAX_LINES: Final = 100_000
_POSITION: Final = re.compile(r"(?:([1-9][0-9]{0,8}):)?([0-9]{1,18})")


def job_logs_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=TRAINING, tags=["training"])

    @router.get(
        "/jobs/{job_id}/logs",
        responses={
            200: {"content": {"text/plain": {"schema": {"type": "string"}}, _EVENTS: {"schema": _EVENT}}},
            **problems(404, 410, 416, 422, 503),
        },
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    async def logs(
        request: Request,
        job_id: str,
        follow: Annotated[bool, Query(description="Server-Sent Events until the job has ended.")] = False,
        tail: Annotated[
            int | None,
            Query(ge=0, le=_MAX_LINES, description="Only the last lines, of 8 MiB at most; a first line notes what is cut."),
        ] = None,
        attempt: Annotated[
            int | None, Query(ge=1, description="Log of this attempt, followed: from it on. Default: the newest.")
        ] = None,
        position: Annotated[
            str | None, Query(description="With follow: id of the event to resume after. Last-Event-ID has precedence.")
        ] = None,
        encoding: Annotated[
            Literal["lines", "json"],
            Query(description="With follow: a data line for each line of output, or one JSON text with its carriage returns."),
        ] = "lines",
    ) -> Response:
        """Return the output of the script.

        `Range` (bytes) selects a part of a finished job's log. While the job runs, it is ignored.

        With `follow`, each event has whole lines, a `data` line each. Its `id` is the byte offset after it, `2:OFFSET` in
        the second attempt and so on; `Last-Event-ID` resumes from there. The event `attempt` marks a new attempt, whose
        offsets begin at 0; the output of earlier attempts is complete by then. The last event is `end`, with the job's
        status; or `refused`, some seconds after the caller's key was revoked or has expired. With `tail`, it begins
        that many lines before the end.
        """
        job = await run_in_threadpool(services.training.get, job_id)
        log = await run_in_threadpool(services.logs.existing, job, attempt)
        if follow:
            last = request.headers.get("last-event-id", position)
            begin, offset = (attempt, 0) if last is None else _position(last)
            if last is None and tail is not None and log is not None:
                begin, offset = log.attempt, await run_in_threadpool(log.start_of_last_lines, tail)
            check = partial(services.callers.check, principal_of(request))
            events = services.follower.follow(job_id, attempt=begin, offset=offset, check=check)
            write = _lines if encoding == "lines" else _text
            return StreamingResponse(_encoded(events, write), media_type=_EVENTS, headers={"Cache-Control": "no-store"})
        if log is None or not log.size():
            return Response("", media_type=_PLAIN)
        if tail is not None:
            return Response(await run_in_threadpool(log.last_lines, tail), media_type=_PLAIN)
        if job.is_final:
            return _FinishedLog(log.path, media_type=_PLAIN)
        # It may grow meanwhile: the present content is sent, without a Content-Length.
        return StreamingResponse(_up_to(log, log.size()), media_type=_PLAIN)

    return router


class _FinishedLog(FileResponse):
    """A file, or a range of it. Refused ranges get a problem document instead of Starlette's plain text."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusals: list[Message] = []

        async def relay(message: Message) -> None:
            if message["type"] == "http.response.start" and message["status"] >= 400:
                refusals.append(message)
            if not refusals:
                await send(message)

        await super().__call__(scope, receive, relay)
        if refusals:
            await self._refused(scope, refusals[0])(scope, receive, send)

    def _refused(self, scope: Scope, refusal: Message) -> Response:
        path, asked = scope["path"], Headers(scope=scope).get("range")
        if refusal["status"] == 416:
            size = self.headers["content-length"]
            error = RangeNotSatisfiable(f"The log is {size} bytes long: it has no range {asked!r}.")
            return error_response(path, error, {"Content-Range": f"bytes */{size}"})
        detail = f"must be one or more ranges of bytes, such as bytes=0-99, not {asked!r}"
        return error_response(path, InvalidRequest.of(FieldError("Range", detail)))


def _position(last: str) -> tuple[int, int]:
    """Return (attempt, offset) to follow from, after the client's last event."""
    match = _POSITION.fullmatch(last)
    if not match:
        detail = "must be the id of an event: a byte offset, or ATTEMPT:OFFSET"
        raise InvalidRequest.of(FieldError("Last-Event-ID", detail))
    return int(match[1] or 1), int(match[2])


def _event_id(attempt: int, offset: int) -> bytes:
    # Only the offset in the first attempt: most jobs have no other.
    return b"%d" % offset if attempt == 1 else b"%d:%d" % (attempt, offset)


def _up_to(log: LogFile, end: int) -> Iterator[bytes]:
    offset = 0
    while offset < end:
        data = log.read(offset, min(_CHUNK_BYTES, end - offset))
        if not data:
            return
        offset += len(data)
        yield data


async def _encoded(events: AsyncIterator[LogEvent], write: Callable[[Lines], bytes]) -> AsyncIterator[bytes]:
    async for event in events:
        match event:
            case Lines():
                yield write(event)
            case AttemptStarted():
                data = orjson.dumps({"attempt": event.attempt})
                yield b"id: %b\nevent: attempt\ndata: %b\n\n" % (_event_id(event.attempt, 0), data)
            case Ended():
                data = orjson.dumps({"status": event.status})
                yield b"id: %b\nevent: end\ndata: %b\n\n" % (_event_id(event.attempt, event.offset), data)
            case Refused():
                # No id: a client with another key resumes after the last output.
                yield b"event: refused\ndata: %b\n\n" % orjson.dumps({"code": event.error.code, "detail": event.error.detail})
            case Heartbeat():
                yield b": still running\n\n"


def _lines(event: Lines) -> bytes:
    # A carriage return ends a line of an event stream, too: each state of a progress bar is a line.
    text = event.text.replace("\r\n", "\n").replace("\r", "\n").removesuffix("\n")
    data = "".join(f"data: {line}\n" for line in text.split("\n"))
    return b"id: %b\n%b\n" % (_event_id(event.attempt, event.offset), data.encode())


def _text(event: Lines) -> bytes:
    return b"id: %b\ndata: %b\n\n" % (_event_id(event.attempt, event.offset), orjson.dumps(event.text))
