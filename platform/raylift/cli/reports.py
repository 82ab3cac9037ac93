"""``raylift jobs reports`` and ``raylift models reports``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.security.reports import ReportList
from raylift.cli.jobs import commands as jobs
from raylift.cli.models import commands as models
from raylift.cli.printing import print_table, say
from raylift.cli.session import Session, command


def _print(found: ReportList) -> None:
    for report in found.reports:
        say(f"{report.subject}, {report.tool}: {report.state.replace('_', ' ')}{f'. {report.detail}' if report.detail else ''}")
    rows = [(r.subject, one.severity, one.where or "", one.what) for r in found.reports for one in r.findings]
    if rows:
        print_table(("subject", "severity", "where", "finding"), rows)


def register() -> None:
    """Add both commands."""
    command(jobs.app, "reports", ReportList, _print)(of_job)
    command(models.app, "reports", ReportList, _print)(of_version)


def of_job(session: Session, job_id: Annotated[str, typer.Argument(show_default=False)]) -> Any:
    """Scan a job's script with bandit and its packages with pip-audit. The scanners inform; they are no boundary."""
    return session.client.request("GET", paths.job(job_id, "reports"))


def of_version(
    session: Session,
    name: Annotated[str, typer.Argument(show_default=False)],
    version: Annotated[str, typer.Argument(show_default=False)],
) -> Any:
    """Scan the pickles of a model version with picklescan. The scanner informs; it is no boundary."""
    return session.client.request("GET", paths.reports_of_version(name, version))
