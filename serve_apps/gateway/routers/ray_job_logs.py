"""``/api/jobs/{id}/logs`` of Ray's Jobs API: whole, and followed through a WebSocket."""

from __future__ import annotations

from functools import partial

from fastapi import APIRouter, Response, WebSocket, WebSocketDisconnect
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse
from starlette.status import WS_1000_NORMAL_CLOSURE, WS_1008_POLICY_VIOLATION

from raylift.api.ray_jobs import JobLogsResponse
from raylift.domain.errors import EngineUnavailable, JobNotFound
from raylift.services.container import Services
from raylift.services.jobs.log_follower import AttemptStarted, Ended, Heartbeat, Lines, Refused
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, plain_errors
from serve_apps.gateway.http.visit import principal_of


def ray_job_logs_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["Ray Jobs"])
    jobs = services.ray_jobs

    @router.get(
        "/jobs/{job_or_submission_id}/logs",
        responses={200: {"model": JobLogsResponse}, **plain_errors(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.RAY_JOB)],
    )
    def logs(job_or_submission_id: str) -> Response:
        """Return the output of the newest attempt."""
        return json_response(JobLogsResponse(logs=jobs.logs(job_or_submission_id)))

    @router.websocket("/jobs/{job_or_submission_id}/logs/tail", dependencies=[needs(services, Action.READ, of=Kind.RAY_JOB)])
    async def tail(websocket: WebSocket, job_or_submission_id: str) -> None:
        """Send the whole log in text messages, and what follows, until the job has ended."""
        try:
            found = await run_in_threadpool(jobs.find, job_or_submission_id)
        except JobNotFound as error:
            await websocket.send_denial_response(PlainTextResponse(error.detail, 404))
            return
        except EngineUnavailable as error:
            await websocket.send_denial_response(PlainTextResponse(error.detail, 503))
            return
        await websocket.accept()
        try:
            refused = await _send_log(websocket, services, found.job_id)
        except WebSocketDisconnect:
            return
        except JobNotFound:
            await websocket.send_text("[raylift] the job was deleted\n")
            refused = False
        await websocket.close(WS_1008_POLICY_VIOLATION if refused else WS_1000_NORMAL_CLOSURE)

    return router


async def _send_log(websocket: WebSocket, services: Services, job_id: str) -> bool:
    """Returns True where the caller's key ended before the job."""
    check = partial(services.callers.check, principal_of(websocket))
    async for event in services.follower.follow(job_id, check=check):
        match event:
            case Lines():
                await websocket.send_text(event.text)
            case AttemptStarted():
                await websocket.send_text(f"[raylift] attempt {event.attempt}\n")
            case Heartbeat():
                # Keeps proxies from closing the connection of a job without output.
                await websocket.send_text("")
            case Refused():
                await websocket.send_text(f"[raylift] {event.error.detail}\n")
                return True
            case Ended():
                return False
    return False
