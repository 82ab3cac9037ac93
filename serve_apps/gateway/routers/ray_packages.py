"""``/api/packages``: uploads of a working_dir by Ray's clients, before they submit a job."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response

from raylift.domain.errors import NotFound
from raylift.services.container import Services
from serve_apps.gateway.http.bodies import read_body
from serve_apps.gateway.http.responses import plain_errors
from serve_apps.gateway.uploads.threads import run_in_project_thread


def ray_packages_router(services: Services) -> APIRouter:
    router = APIRouter(prefix="/api/packages", tags=["Ray Jobs"])
    packages = services.ray_packages

    @router.get("/{protocol}/{package_name}", responses=plain_errors(400, 404, 503))
    def exists(protocol: str, package_name: str) -> Response:
        """Check that a package is stored and need not be uploaded."""
        if not packages.exists(protocol, package_name):
            raise NotFound(f"Package {protocol}://{package_name} does not exist")
        return Response()

    @router.put("/{protocol}/{package_name}", responses=plain_errors(400, 413, 503))
    async def upload(protocol: str, package_name: str, request: Request) -> Response:
        """Upload a package: a .zip, checked as a project is."""
        content = await read_body(request, max_bytes=services.settings.gateway.max_body_bytes)
        await run_in_project_thread(packages.put, protocol, package_name, content)
        return Response()

    return router
