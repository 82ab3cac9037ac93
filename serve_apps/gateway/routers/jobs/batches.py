"""``/mlops/batches``: predictions for files. A batch is a job, whose routes have its logs, events and cancellation."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from starlette.responses import StreamingResponse

from raylift.api import paths
from raylift.api.headers import IDEMPOTENCY_KEY, OWNER_HEADER
from raylift.api.jobs.batches import BatchAccepted, BatchPage, BatchRequest, BatchView
from raylift.domain.job import JobStatus
from raylift.domain.jobs_order import job_of_reference
from raylift.engines.batches.directory import OpenFile
from raylift.services.container import Services
from raylift.services.jobs.training import MAX_KEY_LENGTH, MAX_PAGE, Submission
from serve_apps.gateway.access.permissions import Action, Kind, needs, require_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import owner_of, principal_of, visit_of
from serve_apps.gateway.uploads.batch_bodies import FORM_SCHEMA, ReadBatch, batch_of, read_batch
from serve_apps.gateway.uploads.forms import MULTIPART
from serve_apps.gateway.uploads.threads import run_in_upload_thread
from serve_apps.gateway.views.batches import batch_accepted, batch_summary, batch_view

_BODY: Final[dict[str, Any]] = json_body(BatchRequest)
_BODY["content"][MULTIPART] = {"schema": FORM_SCHEMA}
_KEY: Final = header(
    IDEMPOTENCY_KEY,
    "Makes it safe to repeat the request for 24 hours: the same key and body get the first answer again.",
    minLength=1,
    maxLength=MAX_KEY_LENGTH,
)
_OWNER: Final = header(OWNER_HEADER, "Owner of the batch. It does not authenticate. Absent: local.")
_FILE: Final[dict[int | str, dict[str, Any]]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}}
}


def batches_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.BATCHES, tags=["batches"])
    batches = services.batches

    @router.post(
        "",
        status_code=202,
        responses={202: {"model": BatchAccepted}, **problems(400, 404, 413, 415, 422, 429, 503)},
        openapi_extra={"requestBody": _BODY, "parameters": [_KEY, _OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "batch.submit")],
    )
    async def submit(request: Request) -> Response:
        """Predict for all rows of files. After the answer the batch is stored and will end in exactly one final state.

        An alias names its version now, once: the answer has it. Files are uploaded as parts of a form, up to
        ``gateway.max_body_bytes`` together; larger ones are read where they lie.
        """
        read = await read_batch(request, max_bytes=services.settings.gateway.max_body_bytes)
        try:
            if job_of_reference(read.asked.model_version or "") is None:  # Else the job says whose model it is.
                await require_model(services, request, read.asked.model_name)
            taken = await run_in_upload_thread(_submit, services, request, read)
        finally:
            await read.close()
        spec = taken.job.spec.batch
        assert spec is not None  # noqa: S101 - of a batch
        view = batch_accepted(taken.job, spec)
        replayed = {"Idempotency-Replayed": "true"} if taken.repeated else {}
        return json_response(view, 202, {"Location": paths.batch(taken.job.job_id), **replayed})

    @router.get("", responses={200: {"model": BatchPage}, **problems(422, 503)}, dependencies=[needs(services, Action.READ)])
    def list_batches(
        request: Request,
        model_name: str | None = None,
        status: JobStatus | None = None,
        limit: Annotated[int, Query(ge=1, le=MAX_PAGE)] = 50,
        cursor: Annotated[str | None, Query(description="next_cursor of the page before.")] = None,
    ) -> Response:
        """List batches, newest first, a page at a time."""
        page = batches.page(
            model_name=model_name,
            status=status,
            workspace=principal_of(request).visible_workspace,
            limit=limit,
            cursor=cursor or None,
        )
        now = datetime.now(UTC)
        shown = [batch_summary(batch, now) for batch in page.batches]
        return json_response(BatchPage(batches=shown, next_cursor=page.next_cursor))

    @router.get(
        "/{batch_id}",
        responses={200: {"model": BatchView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.BATCH)],
    )
    def batch(batch_id: str) -> Response:
        """Show one batch with its progress, or its result."""
        return json_response(batch_view(batches.get(batch_id), datetime.now(UTC)))

    @router.get(
        "/{batch_id}/output",
        responses={**_FILE, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.BATCH)],
    )
    def output(batch_id: str) -> Response:
        """Download the output of a batch that names none."""
        return _download(batches.output(batch_id))

    @router.get(
        "/{batch_id}/rejected",
        responses={**_FILE, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.BATCH)],
    )
    def rejected(batch_id: str) -> Response:
        """Download the rejected rows, as JSON lines: file, row, error, inputs."""
        return _download(batches.rejected(batch_id))

    return router


def _submit(services: Services, request: Request, read: ReadBatch) -> Submission:
    caller, asked = principal_of(request), read.asked
    key = request.headers.get(IDEMPOTENCY_KEY)
    if key and not visit_of(request.scope).is_local:
        key = f"{caller.workspace}/{key}"  # Workspaces do not share keys.
    wanted = batch_of(asked, tuple(read.files), owner=owner_of(request), workspace=caller.workspace)
    return services.batches.submit(wanted, key=key, body_sha256=read.fingerprint() if key is not None else "")


def _download(file: OpenFile) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{file.name}"', "Content-Length": str(file.size)}
    return StreamingResponse(file.pieces(), 200, headers, "application/octet-stream")
