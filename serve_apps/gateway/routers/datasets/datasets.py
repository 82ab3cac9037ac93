"""``/mlops/datasets``: named data in versions by content."""

from __future__ import annotations

from typing import Annotated, Final
from urllib.parse import quote

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import StreamingResponse

from raylift.api import paths
from raylift.api.datasets.datasets import (
    DatasetList,
    DatasetRequest,
    DatasetVersionView,
    DatasetView,
    FileUploadView,
)
from raylift.api.headers import OWNER_HEADER
from raylift.domain.datasets.dataset import DatasetVersion
from raylift.domain.errors import FieldError, InvalidRequest
from raylift.services.container import Services
from raylift.services.datasets.uploads import UploadState
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.bodies import read_body, read_model
from serve_apps.gateway.http.responses import header, json_body, json_response, problems
from serve_apps.gateway.http.visit import owner_of, principal_of
from serve_apps.gateway.views.datasets import dataset_summary, dataset_view, version_view

_MAX_BODY_BYTES: Final = 16 * 1024**2
_OCTETS: Final = "application/octet-stream"
_OWNER: Final = header(OWNER_HEADER, "Shown as `created_by`. It does not authenticate. Absent: local.")
_BYTES: Final = {"required": True, "content": {_OCTETS: {"schema": {"type": "string", "format": "binary"}}}}
_Number = Annotated[int, Path(ge=1, le=2**31 - 1)]


def datasets_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.DATASETS, tags=["datasets"])
    datasets = services.datasets

    @router.get("", responses={200: {"model": DatasetList}, **problems(503)}, dependencies=[needs(services, Action.READ)])
    def list_datasets(request: Request) -> Response:
        """List the datasets of your workspace by name, each with its newest version."""
        found = datasets.list(_workspace(request))
        return json_response(DatasetList(datasets=[dataset_summary(each) for each in found]))

    @router.post(
        "",
        status_code=201,
        responses={
            200: {"model": DatasetVersionView, "description": "A version has this content already."},
            201: {"model": DatasetVersionView},
            **problems(400, 403, 413, 415, 422, 503),
        },
        openapi_extra={"requestBody": json_body(DatasetRequest), "parameters": [_OWNER]},
        dependencies=[needs(services, Action.SUBMIT, "dataset.add")],
    )
    async def add(request: Request) -> Response:
        """Add a version: of files that you have sent, or of files that stay where they are."""
        asked = await read_model(request, DatasetRequest, max_bytes=_MAX_BODY_BYTES)
        workspace, by = _workspace(request), owner_of(request)
        if (asked.files is None) == (asked.uri is None):
            raise InvalidRequest.of(FieldError("files", "or uri is required, and not both"))
        if asked.uri is not None:
            made, is_new = await run_in_threadpool(datasets.register, workspace, asked.name, asked.uri, by=by)
        else:
            files = [(each.path, each.sha256) for each in asked.files or ()]
            is_folder = len(files) > 1 if asked.folder is None else asked.folder
            made, is_new = await run_in_threadpool(datasets.add, workspace, asked.name, files, is_folder=is_folder, by=by)
        view = await run_in_threadpool(_view, services, made)
        return json_response(view, 201 if is_new else 200, {"Location": paths.dataset_version(made.name, made.version)})

    @router.get(
        "/{dataset_name}",
        responses={200: {"model": DatasetView}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.DATASET)],
    )
    def dataset(request: Request, dataset_name: str) -> Response:
        """Show a dataset: its versions, and the jobs that got it."""
        workspace = _workspace(request)
        versions = datasets.versions(workspace, dataset_name)
        return json_response(dataset_view(dataset_name, versions, datasets.uses(workspace, dataset_name)))

    @router.delete(
        "/{dataset_name}",
        status_code=204,
        response_class=Response,
        responses=problems(403, 404, 409, 503),
        dependencies=[needs(services, Action.SUBMIT, "dataset.delete", of=Kind.DATASET)],
    )
    def delete(request: Request, dataset_name: str) -> Response:
        """Delete all versions of a dataset. Refused while a job that has not ended gets one."""
        datasets.delete(_workspace(request), dataset_name)
        return Response(status_code=204)

    return router


def dataset_files_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.DATASETS, tags=["datasets"])
    datasets = services.datasets

    @router.get(
        "/files/{sha256}",
        responses={200: {"model": FileUploadView}, **problems(422, 503)},
        dependencies=[needs(services, Action.SUBMIT)],
    )
    def upload(request: Request, sha256: str) -> Response:
        """Tell how much of a file has come. A broken upload goes on there, for a day."""
        return json_response(_upload_view(sha256, datasets.uploads.state(_workspace(request), sha256)))

    @router.put(
        "/files/{sha256}",
        responses={200: {"model": FileUploadView}, **problems(403, 409, 413, 422, 503)},
        openapi_extra={"requestBody": _BYTES},
        # Without an audit entry for each part: that of the new version follows.
        dependencies=[needs(services, Action.SUBMIT)],
    )
    async def send(
        request: Request,
        sha256: str,
        offset: Annotated[int, Query(ge=0, description="Position in the file at which the body begins.")] = 0,
        total: Annotated[int | None, Query(ge=0, description="Size of the file. Absent: the body is all of it.")] = None,
    ) -> Response:
        """Send a file, or a part of it. Nothing refers to it yet: `POST /mlops/datasets` does."""
        body = await read_body(request, max_bytes=services.settings.gateway.max_body_bytes)
        whole = offset + len(body) if total is None else total
        state = await run_in_threadpool(datasets.uploads.take, _workspace(request), sha256, body, offset=offset, total=whole)
        return json_response(_upload_view(sha256, state))

    return router


def dataset_versions_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=paths.DATASETS, tags=["datasets"])
    datasets = services.datasets

    @router.get(
        "/{dataset_name}/versions/{version}",
        responses={200: {"model": DatasetVersionView}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.DATASET)],
    )
    def version(request: Request, dataset_name: str, version: _Number) -> Response:
        """Show a version: files, schema, profile, and the jobs that got it."""
        return json_response(_view(services, datasets.get(_workspace(request), dataset_name, version)))

    @router.get(
        "/{dataset_name}/versions/{version}/file",
        response_class=StreamingResponse,
        responses={200: {"content": {_OCTETS: {}}}, **problems(404, 422, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.DATASET)],
    )
    def file(
        request: Request,
        dataset_name: str,
        version: _Number,
        path: Annotated[str | None, Query(description="The file's path in the dataset. Absent: the only file.")] = None,
    ) -> Response:
        """Download a file of a version."""
        found = datasets.get(_workspace(request), dataset_name, version)
        if path is None:
            if found.file_count > 1:
                detail = f"is required: {found.reference} has {found.file_count} files"
                raise InvalidRequest.of(FieldError("path", detail))
            path = datasets.files(found)[0].path
        known, content = datasets.content(found, path)
        named = quote(known.path.rpartition("/")[2])
        headers = {"Content-Length": str(known.size_bytes), "Content-Disposition": f"attachment; filename*=UTF-8''{named}"}
        return StreamingResponse(content, media_type=_OCTETS, headers=headers)

    @router.delete(
        "/{dataset_name}/versions/{version}",
        status_code=204,
        response_class=Response,
        responses=problems(403, 404, 409, 422, 503),
        dependencies=[needs(services, Action.SUBMIT, "dataset.delete", of=Kind.DATASET)],
    )
    def delete_version(request: Request, dataset_name: str, version: _Number) -> Response:
        """Delete a version. Refused while a job that has not ended gets it."""
        datasets.delete(_workspace(request), dataset_name, version)
        return Response(status_code=204)

    return router


def _workspace(request: Request) -> str:
    return principal_of(request).workspace


def _view(services: Services, version: DatasetVersion) -> DatasetVersionView:
    uses = services.datasets.uses(version.workspace, version.name, version.version)
    return version_view(version, services.datasets.files(version), uses)


def _upload_view(sha256: str, state: UploadState) -> FileUploadView:
    return FileUploadView(sha256=sha256, have=state.have, complete=state.complete)
