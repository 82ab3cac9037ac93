"""``/mlops/training``: hand in, look at, cancel, run again, delete."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import Headers

from raylift.api import paths
from raylift.api.headers import IDEMPOTENCY_KEY, OWNER_HEADER
from raylift.api.sweeps import SweepAccepted
from raylift.api.training import EventList, JobAccepted, JobPage, JobView, RerunRequest, TrainingUpload
from raylift.domain.identifiers import OWNER
from raylift.domain.job import JobStatus
from raylift.domain.quantities import parse_bytes
from raylift.services.container import Services
from raylift.services.jobs.reruns import RerunChanges
from raylift.services.jobs.training import MAX_PAGE, Submission
from raylift.services.uploads.parameters import texts_of
from raylift.store import AddedSweep, JobFilter
from serve_apps.gateway.http.bodies import parse_model, read_body, require_json
from serve_apps.gateway.http.responses import json_body, json_response, problems
from serve_apps.gateway.uploads.bodies import ReadUpload, read_upload
from serve_apps.gateway.uploads.forms import FORM_SCHEMA, MULTIPART
from serve_apps.gateway.uploads.threads import run_in_project_thread, run_in_upload_thread
from serve_apps.gateway.views import jobs_and_models
from serve_apps.gateway.views.sweeps import sweep_accepted

_MAX_RERUN_BYTES: Final = 4 * 1024 * 1024
_QUEUED: Final = "The job is queued; follow it at links.self."
_RERUN: Final = "The job is queued again, with the same script and the same packages."
_UPLOAD_BODY: Final[dict[str, Any]] = json_body(TrainingUpload)
_UPLOAD_BODY["content"][MULTIPART] = {"schema": FORM_SCHEMA}
_IDEMPOTENCY_KEY: Final[dict[str, Any]] = {
    "name": IDEMPOTENCY_KEY,
    "in": "header",
    "required": False,
    "description": "Makes it safe to repeat the upload for 24 hours: the same key and body get the first answer again.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}

_OWNER: Final[dict[str, Any]] = {
    "name": OWNER_HEADER,
    "in": "header",
    "required": False,
    "description": "For whom the job runs: fair share and quotas go by it. It names, and does not authenticate. Absent: local.",
    "schema": {"type": "string", "pattern": f"^{OWNER.pattern}$"},
}


def training_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.TRAINING, tags=["training"])
    training = services.training

    @router.post(
        "/upload",
        status_code=202,
        responses={202: {"model": JobAccepted | SweepAccepted}, **problems(400, 413, 415, 422, 429, 503)},
        openapi_extra={"requestBody": _UPLOAD_BODY, "parameters": [_IDEMPOTENCY_KEY, _OWNER]},
    )
    async def upload(request: Request) -> Response:
        """Hand in a script, or a project. When this answers, the job is stored and will end in exactly one final state.

        With the field ``sweep`` it is a job for each combination of parameters, and the answer names the sweep and its jobs.
        """
        read = await read_upload(request, services.settings.jobs)
        submit = run_in_upload_thread if read.project is None else run_in_project_thread
        taken, notes = await submit(_submit, services, read, request.headers)
        replayed = {"Idempotency-Replayed": "true"} if taken.repeated else {}
        if isinstance(taken, AddedSweep):
            return json_response(sweep_accepted(taken, notes), 202, {"Location": paths.sweep(taken.sweep.sweep_id), **replayed})
        accepted = jobs_and_models.accepted(taken.job, _QUEUED, notes)
        return json_response(accepted, 202, {"Location": paths.job(taken.job.job_id), **replayed})

    @router.get("/jobs", responses={200: {"model": JobPage}, **problems(422, 503)})
    def jobs(
        status: JobStatus | None = None,
        model_name: str | None = None,
        experiment_name: str | None = None,
        owner: Annotated[str | None, Query(description="Only jobs that named this owner.")] = None,
        tag: Annotated[str | None, Query(description="A tag's name, or name=value (or name:value).")] = None,
        sweep_id: Annotated[str | None, Query(description="Only the jobs of this sweep.")] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """Jobs, newest first, a page at a time."""
        wanted = JobFilter(status, model_name, experiment_name, _tag(tag) if tag else None, sweep_id=sweep_id, owner=owner)
        page = training.page(wanted, limit=limit, cursor=cursor or None)
        now = datetime.now(UTC)
        jobs = [jobs_and_models.job_summary(job, now) for job in page.jobs]
        return json_response(JobPage(jobs=jobs, next_cursor=page.next_cursor))

    @router.get("/jobs/{job_id}", responses={200: {"model": JobView}, **problems(404, 503)})
    def job(job_id: str) -> Response:
        """One job, with the end of its output."""
        return json_response(jobs_and_models.job_view(training.details(job_id), datetime.now(UTC)))

    @router.delete("/jobs/{job_id}", status_code=204, responses=problems(404, 409, 503))
    def delete(job_id: str) -> Response:
        """Delete a finished job with its events and its log. Its MLflow runs and model versions stay."""
        training.delete(job_id)
        return Response(status_code=204)

    @router.get("/jobs/{job_id}/events", responses={200: {"model": EventList}, **problems(404, 503)})
    def events(job_id: str) -> Response:
        """Every transition of the job, with its time and reason."""
        found = [jobs_and_models.event_view(event) for event in training.events(job_id)]
        return json_response(EventList(job_id=job_id, events=found))

    @router.post(
        "/jobs/{job_id}/cancel",
        status_code=202,
        responses={202: {"model": JobView}, 200: {"model": JobView, "description": "It had ended."}, **problems(404, 503)},
    )
    def cancel(job_id: str) -> Response:
        """Ask a job to stop. Idempotent; a job that has ended is answered as it is."""
        found = training.cancel(job_id)
        view = jobs_and_models.job_view(training.details(job_id), datetime.now(UTC))
        return json_response(view, 200 if found.is_final else 202)

    @router.post(
        "/jobs/{job_id}/rerun",
        status_code=202,
        responses={202: {"model": JobAccepted}, **problems(400, 404, 413, 415, 422, 429, 503)},
        openapi_extra={"requestBody": {**json_body(RerunRequest), "required": False}},
    )
    async def rerun(request: Request, job_id: str) -> Response:
        """Run a job again, with the same script and locked requirements, and with the changes of the body, if there is one.

        Its version is deployed, and answers for the model's name only with ``take_traffic``.
        """
        raw = await read_body(request, max_bytes=_MAX_RERUN_BYTES)
        if raw:
            require_json(request)
        again = await run_in_threadpool(training.rerun, job_id, _changes(parse_model(RerunRequest, raw or b"{}")))
        return json_response(jobs_and_models.accepted(again, _RERUN), 202, {"Location": paths.job(again.job_id)})

    return router


def _submit(services: Services, read: ReadUpload, headers: Headers) -> tuple[Submission | AddedSweep, Sequence[str]]:
    key, owner = headers.get(IDEMPOTENCY_KEY), headers.get(OWNER_HEADER)
    checked = services.uploads.check(read.upload, known=read.errors, project=read.project, owner=owner)
    body_sha256 = read.fingerprint(checked.spec.project_sha256) if key is not None else ""
    if checked.sweep is not None:
        return services.sweeps.submit(checked.sweep, checked, key=key, body_sha256=body_sha256), checked.notes
    return services.training.submit(checked, key=key, body_sha256=body_sha256), checked.notes


def _changes(asked: RerunRequest) -> RerunChanges:
    wanted = asked.resources
    return RerunChanges(
        args=asked.args,
        environment=asked.environment,
        params=texts_of(asked.params),
        cpus=wanted.cpus,
        memory_bytes=None if wanted.memory is None else parse_bytes(wanted.memory),
        gpus=wanted.gpus,
        deploy=asked.deploy,
        take_traffic=asked.take_traffic,
    )


def _tag(text: str) -> tuple[str, str | None]:
    separator = "=" if "=" in text else ":"
    name, found, value = text.partition(separator)
    return (name, value) if found else (text, None)
