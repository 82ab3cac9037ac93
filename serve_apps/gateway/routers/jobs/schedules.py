"""``/mlops/schedules``: jobs at the moments of a cron expression."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from fastapi.concurrency import run_in_threadpool

from raylift.api import paths
from raylift.api.headers import OWNER_HEADER
from raylift.api.jobs.schedules import (
    ScheduleCheck,
    ScheduleList,
    SchedulePatch,
    ScheduleRequest,
    ScheduleRunPage,
    ScheduleView,
)
from raylift.api.training import JobAccepted
from raylift.domain.batches.batch import SCRIPT
from raylift.domain.errors import FieldError, InvalidRequest, JobNotFound
from raylift.domain.schedules.schedule import Overlap, Schedule, TemplateKind, Timetable
from raylift.services.access.submitting import require_rights_of_job
from raylift.services.container import Services
from raylift.services.jobs.training import MAX_PAGE
from raylift.services.schedules.schedules import ScheduleChanges, Template
from serve_apps.gateway.access.permissions import Action, Kind, needs, require_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import owner_of, principal_of, visit_of
from serve_apps.gateway.uploads.batch_bodies import batch_of
from serve_apps.gateway.uploads.bodies import ReadUpload
from serve_apps.gateway.uploads.forms import FORM_SCHEMA, MULTIPART, SCHEDULE
from serve_apps.gateway.uploads.schedule_bodies import read_schedule
from serve_apps.gateway.uploads.threads import run_in_project_thread, run_in_upload_thread
from serve_apps.gateway.uploads.wire_upload import upload_request
from serve_apps.gateway.views.jobs import accepted
from serve_apps.gateway.views.schedules import schedule_check, schedule_run_view, schedule_summary, schedule_view

_LISTED: Final = 3
"""Next moments of each schedule in a list."""
_SHOWN: Final = 10
_RUN: Final = "The job is queued; follow it at links.self."
_OWNER: Final = header(OWNER_HEADER, "Owner of the schedule and its jobs. It does not authenticate. Absent: local.")
_Found = tuple[Template | None, Sequence[str]]


def schedules_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.SCHEDULES, tags=["schedules"])
    schedules = services.schedules

    @router.get("", responses={200: {"model": ScheduleList}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    def list_schedules(request: Request) -> Response:
        """List schedules by name, each with its next moments and its newest one. Admins see those of all workspaces."""
        found = schedules.list(principal_of(request).visible_workspace)
        shown = [schedule_summary(each, last, schedules.next_moments(each, _LISTED)) for each, last in found]
        return json_response(ScheduleList(schedules=shown))

    @router.post(
        "",
        status_code=201,
        responses={
            201: {"model": ScheduleView},
            200: {"model": ScheduleCheck, "description": "With dry_run: what would be stored."},
            **problems(400, 404, 409, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": _body(ScheduleRequest), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "schedule.create")],
    )
    async def create(
        request: Request,
        dry_run: Annotated[bool, Query(description="Only check the schedule and tell its next moments.")] = False,
    ) -> Response:
        """Create a schedule of an upload, of a batch, or of reruns of a job. Its jobs have your rights at each run.

        With ``dry_run`` nothing is stored, and ``train``, ``rerun`` and ``batch`` may all be absent.
        """
        asked, read = await _read(services, request, ScheduleRequest)
        run = run_in_upload_thread if read is None or read.project is None else run_in_project_thread
        if dry_run:
            visit_of(request.scope).act = None  # It changes nothing, so the audit has no entry.
            return json_response(await run(_check, services, request, asked, read))
        schedule, notes = await run(_create, services, request, asked, read)
        view = schedule_view(schedule, None, schedules.next_moments(schedule, _SHOWN), notes)
        return json_response(view, 201, {"Location": paths.schedule(schedule.name)})

    @router.get(
        "/{schedule_name}",
        responses={200: {"model": ScheduleView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.SCHEDULE)],
    )
    def schedule(request: Request, schedule_name: str) -> Response:
        """Show one schedule, by its name in your workspace, or by its id."""
        return json_response(_view(services, _found(services, request, schedule_name)))

    @router.patch(
        "/{schedule_name}",
        responses={200: {"model": ScheduleView}, **problems(400, 404, 409, 413, 415, 422, 503)},
        openapi_extra={"requestBody": _body(SchedulePatch), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "schedule.update", of=Kind.SCHEDULE)],
    )
    async def update(request: Request, schedule_name: str) -> Response:
        """Change a schedule, pause or resume it, replace its template, or become its owner."""
        asked, read = await _read(services, request, SchedulePatch)
        run = run_in_upload_thread if read is None or read.project is None else run_in_project_thread
        schedule, notes = await run(_update, services, request, schedule_name, asked, read)
        return json_response(await run_in_threadpool(_view, services, schedule, notes))

    @router.delete(
        "/{schedule_name}",
        status_code=204,
        responses=problems(404, 503),
        dependencies=[needs(services, Action.SUBMIT, "schedule.delete", of=Kind.SCHEDULE)],
    )
    def delete(request: Request, schedule_name: str) -> Response:
        """Delete a schedule with its history. Its jobs stay, and go on."""
        schedules.delete(_found(services, request, schedule_name))
        return Response(status_code=204)

    @router.post(
        "/{schedule_name}/run",
        status_code=202,
        responses={202: {"model": JobAccepted}, **problems(403, 404, 422, 429, 503)},
        dependencies=[needs(services, Action.SUBMIT, "schedule.run", of=Kind.SCHEDULE)],
    )
    def run(request: Request, schedule_name: str) -> Response:
        """Make a job at once, in the name of the owner, also while the schedule is paused or a job of it runs."""
        schedule = _found(services, request, schedule_name)
        require_rights_of_job(schedule.template.isolation, schedule.template.promote, principal_of(request))
        job = schedules.run_now(schedule)
        return json_response(accepted(job, _RUN), 202, {"Location": paths.job(job.job_id)})

    @router.get(
        "/{schedule_name}/runs",
        responses={200: {"model": ScheduleRunPage}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.SCHEDULE)],
    )
    def runs(
        request: Request,
        schedule_name: str,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List the moments of a schedule, newest first: the jobs that they made, and why others made none."""
        schedule = _found(services, request, schedule_name)
        page = schedules.runs(schedule, limit=limit, cursor=cursor or None)
        shown = [schedule_run_view(schedule, run) for run in page.runs]
        return json_response(ScheduleRunPage(runs=shown, next_cursor=page.next_cursor))

    return router


def _body(model: type[ScheduleRequest | SchedulePatch]) -> dict[str, Any]:
    body: dict[str, Any] = json_body(model)
    part = {"type": "string", "description": f"JSON of {model.__name__}, without train."}
    form = {**FORM_SCHEMA, "required": [SCHEDULE], "properties": {**FORM_SCHEMA["properties"], SCHEDULE: part}}
    body["content"] = {**body["content"], MULTIPART: {"schema": form}}
    return body


async def _read(services: Services, request: Request, model: type[Any]) -> tuple[Any, ReadUpload | None]:
    asked, read = await read_schedule(request, model, services.settings.jobs, services.settings.environments.http_hosts)
    if asked.batch is not None:
        await require_model(services, request, asked.batch.model_name)
    return asked, read


def _found(services: Services, request: Request, name: str) -> Schedule:
    caller = principal_of(request)
    return services.schedules.find(name, workspace=caller.workspace, visible_workspace=caller.visible_workspace)


def _view(services: Services, schedule: Schedule, notes: Sequence[str] = ()) -> ScheduleView:
    page = services.schedules.runs(schedule, limit=1)
    last = page.runs[0] if page.runs else None
    return schedule_view(schedule, last, services.schedules.next_moments(schedule, _SHOWN), notes)


def _create(
    services: Services, request: Request, asked: ScheduleRequest, read: ReadUpload | None
) -> tuple[Schedule, Sequence[str]]:
    workspace = principal_of(request).workspace
    template, notes = _template(services, request, asked, read, workspace)
    if template is None:
        raise InvalidRequest.of(FieldError("train", "is required: the upload of the jobs; or give rerun or batch"))
    schedule = services.schedules.create(
        asked.name, _timetable(asked), template, owner=owner_of(request), workspace=workspace, paused=asked.paused
    )
    return schedule, notes


def _check(services: Services, request: Request, asked: ScheduleRequest, read: ReadUpload | None) -> ScheduleCheck:
    workspace, timetable = principal_of(request).workspace, _timetable(asked)
    moments = services.schedules.check(asked.name, timetable, _SHOWN, workspace=workspace)
    template, notes = _template(services, request, asked, read, workspace)
    return schedule_check(timetable, moments, template.spec if template else None, notes)


def _timetable(asked: ScheduleRequest) -> Timetable:
    return Timetable(asked.cron, asked.timezone, Overlap(asked.overlap), asked.catch_up_seconds, asked.jitter_seconds)


def _update(
    services: Services, request: Request, name: str, asked: SchedulePatch, read: ReadUpload | None
) -> tuple[Schedule, Sequence[str]]:
    schedule = _found(services, request, name)
    template, notes = _template(services, request, asked, read, schedule.workspace)
    if asked.take_over or template is not None:
        _require_place_in(schedule, request)
        spec = schedule.template if template is None else template.spec
        require_rights_of_job(spec.isolation, spec.promote, principal_of(request))
    changes = ScheduleChanges(
        cron=asked.cron,
        timezone=asked.timezone,
        overlap=Overlap(asked.overlap) if asked.overlap else None,
        catch_up_seconds=asked.catch_up_seconds,
        jitter_seconds=asked.jitter_seconds,
        paused=asked.paused,
        template=template,
        take_over=asked.take_over,
    )
    return services.schedules.change(schedule, changes, by=owner_of(request)), notes


def _require_place_in(schedule: Schedule, request: Request) -> None:
    """Raise InvalidRequest for a new owner of another workspace: its key gives no rights in that of the schedule."""
    if principal_of(request).workspace != schedule.workspace:
        detail = f"needs a key of the workspace {schedule.workspace!r}: the jobs have the owner's rights there"
        raise InvalidRequest.of(FieldError("take_over", detail))


def _template(
    services: Services, request: Request, asked: ScheduleRequest | SchedulePatch, read: ReadUpload | None, workspace: str
) -> _Found:
    """Return the template that the request brings, and notes on its upload."""
    caller = principal_of(request)
    given = [name for name, value in (("train", read), ("rerun", asked.rerun), ("batch", asked.batch)) if value is not None]
    if len(given) > 1:
        raise InvalidRequest.of(FieldError(given[-1], f"cannot be given with {given[0]}: a schedule has one template"))
    if read is not None:
        wanted = upload_request(read.upload, project=read.project, owner=owner_of(request), workspace=workspace)
        require_rights_of_job(wanted.isolation, wanted.promote, caller)
        checked = services.uploads.check(wanted)
        return services.schedules.template_of(checked), checked.notes
    if asked.batch is not None:
        wanted_batch = batch_of(asked.batch, (), owner=owner_of(request), workspace=workspace)
        return Template(TemplateKind.BATCH, services.batches.template(wanted_batch), SCRIPT.encode()), ()
    if asked.rerun is None:
        return None, ()
    job = services.training.get(asked.rerun)
    if job.spec.workspace != workspace:
        raise JobNotFound(f"There is no job {asked.rerun} in the workspace {workspace!r}.", job_id=asked.rerun)
    require_rights_of_job(job.spec.isolation, job.spec.promote, caller)
    return services.schedules.template_of_job(job), ()
