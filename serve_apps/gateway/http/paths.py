"""Links in the gateway's answers."""

from __future__ import annotations

from urllib.parse import quote

from raylift.api import paths


def job_links(job_id: str) -> dict[str, str]:
    return {
        "self": paths.job(job_id),
        **{name: paths.job(job_id, name) for name in ("logs", "script", "events", "cancel", "rerun")},
    }


def sweep_links(sweep_id: str) -> dict[str, str]:
    return {
        "self": paths.sweep(sweep_id),
        "cancel": paths.sweep(sweep_id, "cancel"),
        "jobs": f"{paths.JOBS}?sweep_id={quote(sweep_id, safe='')}",
    }


def route_path(model_name: str, version: str) -> str:
    """Return the version's own route, quoted for a URL."""
    return quote(paths.version_route(model_name, version))
