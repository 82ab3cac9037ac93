"""Links in the gateway's answers."""

from __future__ import annotations

from urllib.parse import quote

from raylift.api import paths
from raylift.domain.schedules.schedule import Schedule


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


def batch_links(batch_id: str, *, is_kept: bool, has_rejected: bool) -> dict[str, str]:
    """Links of a batch, to its files where the platform keeps them."""
    links = {"self": paths.batch(batch_id), "job": paths.job(batch_id)}
    links |= {name: paths.job(batch_id, name) for name in ("logs", "events", "cancel")}
    links |= {"output": paths.batch(batch_id, "output")} if is_kept else {}
    return links | ({"rejected": paths.batch(batch_id, "rejected")} if has_rejected else {})


def schedule_links(schedule: Schedule) -> dict[str, str]:
    of_it = schedule.schedule_id
    return {
        "self": paths.schedule(of_it),
        **{name: paths.schedule(of_it, name) for name in ("run", "runs")},
        "jobs": f"{paths.JOBS}?schedule={quote(schedule.name, safe='')}",
    }


def route_path(model_name: str, version: str) -> str:
    """Return the version's own route, quoted for a URL."""
    return quote(paths.version_route(model_name, version))
