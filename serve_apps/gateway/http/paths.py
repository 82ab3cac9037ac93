"""Addresses of the platform's resources."""

from __future__ import annotations

from urllib.parse import quote

from raylift.domain.identifiers import version_route


def job_path(job_id: str) -> str:
    return f"/mlops/training/jobs/{quote(job_id, safe='')}"


def job_links(job_id: str) -> dict[str, str]:
    path = job_path(job_id)
    return {"self": path, **{name: f"{path}/{name}" for name in ("logs", "script", "events", "cancel", "rerun")}}


def sweep_path(sweep_id: str) -> str:
    return f"/mlops/training/sweeps/{quote(sweep_id, safe='')}"


def sweep_links(sweep_id: str) -> dict[str, str]:
    path = sweep_path(sweep_id)
    return {"self": path, "cancel": f"{path}/cancel", "jobs": f"/mlops/training/jobs?sweep_id={quote(sweep_id, safe='')}"}


def version_path(model_name: str, version: str) -> str:
    return f"/mlops/models/{quote(model_name, safe='')}/versions/{quote(version, safe='')}"


def route_path(model_name: str, version: str) -> str:
    """The version's own route, as it is written in a URL."""
    return quote(version_route(model_name, version))
