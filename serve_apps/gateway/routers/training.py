"""``/mlops/training``: upload, list, cancel, rerun and delete jobs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api import paths
from raylift.api.headers import IDEMPOTENCY_KEY, OWNER_HEADER
from raylift.api.sweeps import SweepAccepted
from raylift.api.training import EventList, JobAccepted, JobPage, JobView, RerunRequest, TrainingUpload, UploadCheck
from raylift.domain.identifiers import OWNER
from raylift.domain.job import Isolation, Job, JobStatus, Network, Reason
from raylift.domain.quantities import parse_bytes
from raylift.services.access.submitting import require_rights_of_job
from raylift.services.container import Services
from raylift.services.jobs.reruns import RerunChanges
from raylift.services.jobs.training import MAX_KEY_LENGTH, MAX_PAGE, Submission
from raylift.services.uploads.checks import CheckedUpload
from raylift.services.uploads.dry_run import DryRun
from raylift.store import AddedSweep, JobFilter
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.tag_memory import lasting
from serve_apps.gateway.http.visit import principal_of, visit_of
from serve_apps.gateway.uploads.bodies import ReadUpload, read_upload
from serve_apps.gateway.uploads.forms import FORM_SCHEMA, MULTIPART
from serve_apps.gateway.uploads.threads import run_in_project_thread, run_in_upload_thread
from serve_apps.gateway.uploads.wire_upload import texts_of, upload_request, workers_of
from serve_apps.gateway.views.jobs import accepted, event_view, job_summary, job_view, upload_check
from serve_apps.gateway.views.sweeps import sweep_accepted

_MAX_RERUN_BYTES: Final = 4 * 1024 * 1024
_QUEUED: Final = "The job is queued; follow it at links.self."
_RERUN: Final = "The job is queued again, with the same script and the same packages."
_UPLOAD_BODY: Final[dict[str, Any]] = json_body(TrainingUpload)
_UPLOAD_BODY["content"][MULTIPART] = {"schema": FORM_SCHEMA}
_IDEMPOTENCY_KEY: Final = header(
    IDEMPOTENCY_KEY,
    "Makes it safe to repeat the upload for 24 hours: the same key and body get the first answer again.",
    minLength=1,
    maxLength=MAX_KEY_LENGTH,
)
_OWNER: Final = header(
    OWNER_HEADER,
    "Owner of the job, for fair share and quotas. It does not authenticate. Absent: local.",
    pattern=f"^{OWNER.pattern}$",
)


def training_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.TRAINING, tags=["training"])
    training = services.training

    @router.post(
        "/upload",
        status_code=202,
        responses={
            202: {"model": JobAccepted | SweepAccepted},
            200: {"model": UploadCheck, "description": "With dry_run: what would happen."},
            **problems(400, 409, 413, 415, 422, 429, 503),
        },
        openapi_extra={"requestBody": _UPLOAD_BODY, "parameters": [_IDEMPOTENCY_KEY, _OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "job.submit")],
    )
    async def upload(
        request: Request,
        dry_run: Annotated[bool, Query(description="Only check the upload and tell what would happen.")] = False,
    ) -> Response:
        """Upload a script, or a project. After the answer the job is stored and will end in exactly one final state.

        The field ``sweep`` makes a job for each combination of parameters. The answer then names the sweep and its jobs.

        With ``dry_run`` nothing is stored. The upload is checked as any other, and the answer tells its names, requirements,
        number of jobs, the nodes that could hold it, and warnings about the script.
        """
        read = await read_upload(request, services.settings.jobs, services.settings.environments.http_hosts)
        submit = run_in_upload_thread if read.project is None else run_in_project_thread
        if dry_run:
            visit_of(request.scope).act = None  # It changes nothing, so the audit has no entry.
            return json_response(upload_check(await submit(_dry_run, services, read, request)))
        taken, notes = await submit(_submit, services, read, request)
        replayed = {"Idempotency-Replayed": "true"} if taken.repeated else {}
        if isinstance(taken, AddedSweep):
            return json_response(sweep_accepted(taken, notes), 202, {"Location": paths.sweep(taken.sweep.sweep_id), **replayed})
        view = accepted(taken.job, _QUEUED, notes)
        return json_response(view, 202, {"Location": paths.job(taken.job.job_id), **replayed})

    @router.get("/jobs", responses={200: {"model": JobPage}, **problems(422, 503)}, dependencies=[needs(services, Action.READ)])
    def jobs(
        request: Request,
        status: JobStatus | None = None,
        reason: Annotated[
            Reason | None,
            Query(description="Only jobs with this reason; waiting jobs have waiting_for_capacity, whatever their page says."),
        ] = None,
        model_name: str | None = None,
        experiment_name: str | None = None,
        owner: Annotated[str | None, Query(description="Only jobs that named this owner.")] = None,
        tag: Annotated[str | None, Query(description="A tag's name, or name=value (or name:value).")] = None,
        sweep_id: Annotated[str | None, Query(description="Only the jobs of this sweep.")] = None,
        schedule: Annotated[str | None, Query(description="Only jobs that the schedule of this name made.")] = None,
        q: Annotated[
            str | None,
            Query(max_length=200, description="Text in the id, or in the name of the model, experiment or owner."),
        ] = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List jobs, newest first, a page at a time."""
        workspace = principal_of(request).visible_workspace
        tagged = _tag(tag) if tag else None
        wanted = JobFilter(
            status,
            model_name,
            experiment_name,
            tagged,
            sweep_id=sweep_id,
            schedule=schedule,
            owner=owner,
            workspace=workspace,
            reason=reason,
            text=q or None,
        )
        page = training.page(wanted, limit=limit, cursor=cursor or None)
        now = datetime.now(UTC)
        places = training.places(page.jobs)
        jobs = [job_summary(job, now, places.get(job.job_id)) for job in page.jobs]
        lasting(request, is_lasting=_are_over(page.jobs))
        return json_response(JobPage(jobs=jobs, next_cursor=page.next_cursor))

    @router.get(
        "/jobs/{job_id}",
        responses={200: {"model": JobView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def job(request: Request, job_id: str) -> Response:
        """Show one job, with the end of its output."""
        details = training.details(job_id)
        lasting(request, is_lasting=details.is_over)
        return json_response(job_view(details, datetime.now(UTC)))

    @router.delete(
        "/jobs/{job_id}",
        status_code=204,
        responses=problems(404, 409, 503),
        dependencies=[needs(services, Action.SUBMIT, "job.delete", of=Kind.JOB)],
    )
    def delete(job_id: str) -> Response:
        """Delete a finished job with its events and its log. Its MLflow runs and model versions stay."""
        training.delete(job_id)
        return Response(status_code=204)

    @router.get(
        "/jobs/{job_id}/events",
        responses={200: {"model": EventList}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def events(request: Request, job_id: str) -> Response:
        """List every transition of the job, with its time and reason, and the caller of those that a user made."""
        lasting(request)
        job, canceller = training.get(job_id), services.audit.author("job.cancel", job_id)
        found = [event_view(event, job, canceller) for event in training.events(job_id)]
        return json_response(EventList(job_id=job_id, events=found))

    @router.post(
        "/jobs/{job_id}/cancel",
        status_code=202,
        responses={202: {"model": JobView}, 200: {"model": JobView, "description": "It had ended."}, **problems(404, 503)},
        dependencies=[needs(services, Action.SUBMIT, "job.cancel", of=Kind.JOB)],
    )
    def cancel(job_id: str) -> Response:
        """Request that a job stops. Idempotent; a job that has ended stays as it is."""
        found = training.cancel(job_id)
        view = job_view(training.details(job_id), datetime.now(UTC))
        return json_response(view, 200 if found.is_final else 202)

    @router.post(
        "/jobs/{job_id}/rerun",
        status_code=202,
        responses={202: {"model": JobAccepted}, **problems(400, 404, 413, 415, 422, 429, 503)},
        openapi_extra={"requestBody": {**json_body(RerunRequest), "required": False}},
        dependencies=[needs(services, Action.SUBMIT, "job.rerun", of=Kind.JOB)],
    )
    async def rerun(request: Request, job_id: str) -> Response:
        """Run a job again with the same script and locked requirements, and with the changes in the body, if there is one.

        Its version is deployed. It answers requests that name only the model where ``take_traffic`` is set.
        """
        asked = await read_model(request, RerunRequest, max_bytes=_MAX_RERUN_BYTES, optional=True)
        by = None if visit_of(request.scope).is_local else principal_of(request).name
        changes = _changes(asked)
        former = (await run_in_threadpool(training.get, job_id)).spec
        require_rights_of_job(changes.isolation or former.isolation, former.promote, principal_of(request))
        again = await run_in_threadpool(training.rerun, job_id, changes, owner=by)
        return json_response(accepted(again, _RERUN), 202, {"Location": paths.job(again.job_id)})

    return router


def _submit(services: Services, read: ReadUpload, asked: Request) -> tuple[Submission | AddedSweep, Sequence[str]]:
    checked = _checked(services, read, asked)
    key = asked.headers.get(IDEMPOTENCY_KEY)
    if key and not visit_of(asked.scope).is_local:
        key = f"{principal_of(asked).workspace}/{key}"  # Workspaces do not share keys.
    body_sha256 = read.fingerprint(checked.spec.project_sha256) if key is not None else ""
    if checked.sweep is not None:
        return services.sweeps.submit(checked.sweep, checked, key=key, body_sha256=body_sha256), checked.notes
    return services.training.submit(checked, key=key, body_sha256=body_sha256), checked.notes


def _are_over(jobs: Iterable[Job]) -> bool:
    return all(job.is_final for job in jobs)


def _dry_run(services: Services, read: ReadUpload, asked: Request) -> DryRun:
    return services.dry_runs.of(_checked(services, read, asked))


def _checked(services: Services, read: ReadUpload, asked: Request) -> CheckedUpload:
    caller = principal_of(asked)
    owner = asked.headers.get(OWNER_HEADER) if visit_of(asked.scope).is_local else caller.name
    request = upload_request(read.upload, project=read.project, owner=owner, workspace=caller.workspace)
    require_rights_of_job(request.isolation, request.promote, caller)
    return services.uploads.check(request)


def _changes(asked: RerunRequest) -> RerunChanges:
    wanted = asked.resources
    return RerunChanges(
        args=asked.args,
        environment=asked.environment,
        data=asked.data,
        secrets=asked.secrets,
        params=texts_of(asked.params),
        cpus=wanted.cpus,
        memory_bytes=None if wanted.memory is None else parse_bytes(wanted.memory),
        gpus=wanted.gpus,
        workers=workers_of(wanted.workers),
        deploy=asked.deploy,
        after=asked.after,
        take_traffic=asked.take_traffic,
        isolation=Isolation(asked.isolation) if asked.isolation else None,
        network=Network(asked.network) if asked.network else None,
        output=asked.output,
    )


def _tag(text: str) -> tuple[str, str | None]:
    separator = "=" if "=" in text else ":"
    name, found, value = text.partition(separator)
    return (name, value) if found else (text, None)
