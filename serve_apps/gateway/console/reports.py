"""``…/reports`` of jobs and of model versions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict

from fastapi import APIRouter, Response

from raylift.api.paths import MLOPS
from raylift.api.security.reports import FindingView, ReportList, ReportView
from raylift.domain.security.report import Report
from raylift.services.container import Services
from serve_apps.gateway.access.permissions import Action, Kind, needs
from serve_apps.gateway.http.responses import json_response, problems


def reports_router(services: Services) -> APIRouter:
    router = APIRouter(prefix=MLOPS)

    @router.get(
        "/training/jobs/{job_id}/reports",
        tags=["training"],
        responses={200: {"model": ReportList}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.JOB)],
    )
    def of_job(job_id: str) -> Response:
        """Scan the job's script with bandit and its packages with pip-audit. Takes seconds where that was not done lately."""
        return _answer(services.reports.of_job(job_id))

    @router.get(
        "/models/{name}/versions/{version}/reports",
        tags=["models"],
        responses={200: {"model": ReportList}, **problems(404, 503)},
        dependencies=[needs(services, Action.READ, of=Kind.MODEL)],
    )
    def of_version(name: str, version: str) -> Response:
        """Scan the version's pickles with picklescan. Takes seconds where that was not done lately."""
        return _answer(services.reports.of_version(name, version))

    return router


def _answer(reports: Sequence[Report]) -> Response:
    views = [
        ReportView(
            subject=report.subject,
            tool=report.tool,
            state=report.state,
            findings=[FindingView(**asdict(finding)) for finding in report.findings],
            detail=report.detail,
        )
        for report in reports
    ]
    return json_response(ReportList(reports=views))
