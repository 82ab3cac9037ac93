"""Ray's Jobs API with its packages, so that ``ray job --address http://HOST:8000`` and ``JobSubmissionClient`` work unmodified.

Ray's clients show the body of every answer that is not 200: errors are plain text here (errors.py).
"""

from __future__ import annotations

from typing import Any, Final

import orjson
from fastapi import APIRouter, Request, Response

from raylift.api.ray_jobs import (
    JobDeleteResponse,
    JobDetails,
    JobStopResponse,
    JobSubmitRequest,
    JobSubmitResponse,
    VersionResponse,
)
from raylift.domain.access import Principal
from raylift.domain.errors import NotFound
from raylift.engines.ray_engine.jobs import ray_release
from raylift.services.access.cluster import require_right_to
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import parse_model, read_body
from serve_apps.gateway.http.responses import json_body, json_response, plain_errors
from serve_apps.gateway.http.visit import owner_of, principal_of
from serve_apps.gateway.uploads.ray_requests import ray_submission
from serve_apps.gateway.uploads.threads import run_in_project_thread, run_in_upload_thread
from serve_apps.gateway.views.ray_jobs import ray_job_details

_API_VERSION: Final = "4"
"""Version of the Jobs API: Ray's CURRENT_VERSION."""
_PACKAGES: Final = frozenset({"working_dir", "py_modules"})
"""Fields of a runtime_env that name uploaded packages."""
_SESSION_NAME: Final = "raylift"
_MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024


def ray_jobs_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/api", tags=["Ray Jobs"])
    jobs = services.ray_jobs

    @router.get("/version", responses={200: {"model": VersionResponse}}, dependencies=[needs(services, Action.PUBLIC)])
    def version() -> Response:
        """Return the version of Ray. Its clients ask for it first."""
        release = ray_release()
        return json_response(
            VersionResponse(
                version=_API_VERSION, ray_version=release.version, ray_commit=release.commit, session_name=_SESSION_NAME
            )
        )

    @router.post(
        "/jobs/",
        responses={200: {"model": JobSubmitResponse}, **plain_errors(400, 404, 413, 429, 500, 503)},
        openapi_extra={"requestBody": json_body(JobSubmitRequest)},
        dependencies=[needs(services, Action.SUBMIT, "job.submit")],
    )
    async def submit(request: Request) -> Response:
        """Submit a job. After the answer the job is stored and will end in exactly one final state."""
        # As in Ray, the content type does not matter.
        asked = parse_model(JobSubmitRequest, await read_body(request, max_bytes=_MAX_REQUEST_BYTES))
        has_project = not _PACKAGES.isdisjoint(asked.runtime_env or ())
        submit = run_in_project_thread if has_project else run_in_upload_thread
        submission_id = await submit(_submit, services, asked, owner_of(request), principal_of(request))
        return json_response(JobSubmitResponse(job_id=submission_id, submission_id=submission_id))

    @router.get(
        "/jobs/", responses={200: {"model": list[JobDetails]}, **plain_errors(503)}, dependencies=[needs(services, Action.READ)]
    )
    def newest(request: Request) -> Response:
        """List the newest 1000 jobs of every origin, newest first."""
        workspace = principal_of(request).visible_workspace
        found: list[dict[str, Any]] = [ray_job_details(job).model_dump() for job in jobs.newest(workspace)]
        return Response(orjson.dumps(found), media_type="application/json")

    @router.get(
        "/jobs/{job_or_submission_id}",
        responses={200: {"model": JobDetails}, **plain_errors(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.RAY_JOB)],
    )
    def job(job_or_submission_id: str) -> Response:
        """Show one job, in the format of Ray."""
        found = jobs.details(job_or_submission_id)
        return json_response(ray_job_details(found.job, found.queue_position))

    @router.delete(
        "/jobs/{job_or_submission_id}",
        responses={200: {"model": JobDeleteResponse}, **plain_errors(404, 500, 503)},
        dependencies=[needs(services, Action.SUBMIT, "job.delete", of=Kind.RAY_JOB)],
    )
    def delete(job_or_submission_id: str) -> Response:
        """Delete a job that has ended, with its log. Its MLflow runs and model versions stay."""
        jobs.delete(job_or_submission_id)
        return json_response(JobDeleteResponse(deleted=True))

    @router.post(
        "/jobs/{job_or_submission_id}/stop",
        responses={200: {"model": JobStopResponse}, **plain_errors(404, 503)},
        dependencies=[needs(services, Action.SUBMIT, "job.cancel", of=Kind.RAY_JOB)],
    )
    def stop(job_or_submission_id: str) -> Response:
        """Request that a job stops. A waiting job never starts; a running one gets SIGTERM and time to save."""
        return json_response(JobStopResponse(stopped=jobs.stop(job_or_submission_id)))

    return router


def ray_packages_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/api/packages", tags=["Ray Jobs"])
    packages = services.ray_packages

    @router.get(
        "/{protocol}/{package_name}", responses=plain_errors(400, 404, 503), dependencies=[needs(services, Action.SUBMIT)]
    )
    def exists(protocol: str, package_name: str) -> Response:
        """Check that a package is stored and need not be uploaded."""
        if not packages.exists(protocol, package_name):
            raise NotFound(f"Package {protocol}://{package_name} does not exist")
        return Response()

    @router.put(
        "/{protocol}/{package_name}",
        responses=plain_errors(400, 413, 503),
        dependencies=[needs(services, Action.SUBMIT, "package.upload", of=Kind.PACKAGE)],
    )
    async def upload(protocol: str, package_name: str, request: Request) -> Response:
        """Upload a package: a .zip, checked as a project is."""
        content = await read_body(request, max_bytes=services.settings.gateway.max_body_bytes)
        await run_in_project_thread(packages.put, protocol, package_name, content)
        return Response()

    return router


def _submit(services: Services, asked: JobSubmitRequest, owner: str, caller: Principal) -> str:
    timeout = services.settings.jobs.max_timeout_seconds
    submission = ray_submission(asked, default_timeout_seconds=timeout, owner=owner, workspace=caller.workspace)
    require_right_to(submission.upload.isolation, caller)
    return services.ray_jobs.submit(submission)
