"""The handle of one sweep, and the collection of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from raylift.api import paths
from raylift.api.sweeps import SweepAccepted, SweepPage, SweepRow, SweepSummary, SweepView
from raylift.client.http.connection import Connection
from raylift.client.http.errors import RayliftError
from raylift.client.http.part import Part
from raylift.client.jobs.job import Job
from raylift.client.jobs.waiting import wait_until_final
from raylift.client.notebook.html import sweep_html
from raylift.client.notebook.widgets import WidgetDisplay, has_widgets
from raylift.domain.job import JobStatus
from raylift.domain.sweep import SweepRegistration

SweepValues = Mapping[str, Iterable[bool | int | float | str]]
"""Values by parameter: ``{"lr": [0.01, 0.1], "depth": [3, 5]}``."""
SweepReport = Callable[[SweepView | None, RayliftError | None], None]
"""Called with each fetched view, or with the error of a failed fetch."""


class Sweep:
    """A handle of one sweep. Its attributes come from the last fetch, as with a job."""

    def __init__(
        self,
        connection: Connection,
        sweep_id: str,
        *,
        fetched: SweepView | SweepSummary | None = None,
        acknowledgement: dict[str, Any] | None = None,
    ) -> None:
        self._connection = connection
        self._sweep_id = sweep_id
        self._view = fetched if isinstance(fetched, SweepView) else None
        self._summary = fetched
        self.acknowledgement = acknowledgement
        """JSON answer to the upload that made this handle; else None."""

    def __repr__(self) -> str:
        return f"<Sweep {self._sweep_id} {self._summary.status}>" if self._summary else f"<Sweep {self._sweep_id}>"

    def _repr_html_(self) -> str:
        return sweep_html(self.view, by_metric(self.view), self._connection.base_url)

    @property
    def base_url(self) -> str:
        """Address of its platform."""
        return self._connection.base_url

    @property
    def sweep_id(self) -> str:
        return self._sweep_id

    @property
    def view(self) -> SweepView:
        """The whole sweep as of the last fetch."""
        return self._view or self._fetch()

    @property
    def summary(self) -> SweepSummary:
        """The sweep as in a list. Needs no request for a sweep from ``client.sweeps.list()``."""
        return self._summary or self.view

    @property
    def status(self) -> JobStatus:
        """``completed``: all jobs have ended, at least one completed, and the best is registered if requested."""
        return JobStatus(self.summary.status)

    @property
    def message(self) -> str | None:
        return self.summary.message

    @property
    def created_at(self) -> datetime:
        return self.summary.created_at

    def refresh(self) -> Sweep:
        """Fetch the sweep again."""
        self._fetch()
        return self

    def jobs(self) -> list[Job]:
        """Handles of the jobs, in the order of the parameters."""
        return [Job(self._connection, row.job_id) for row in self.view.jobs]

    def table(self) -> list[dict[str, Any]]:
        """One row per job as of the last fetch: job_id, status, the parameters, the metrics, model_version.

        Rows are sorted by the sweep's metric, if it has one: best first, then jobs that did not complete or lack the metric.
        ``pandas.DataFrame`` takes the list.
        """
        return [_cells(row) for row in by_metric(self.view)]

    def best(self) -> SweepRow | None:
        """The best completed job as of the last fetch; None if none completed, or without a metric."""
        return self.view.best

    def wait(
        self,
        timeout: float | None = None,
        *,
        report: SweepReport | None = None,
        poll: float = 1.0,
        raise_on_failure: bool = True,
    ) -> Sweep:
        """Wait until all jobs have ended and the best is registered, if requested. Failed jobs do not fail the sweep.

        Args:
            timeout: Seconds to wait. None: no limit.
            report: Called with each fetched view or error. None: shows the table in a notebook with ipywidgets.
            poll: Seconds between two fetches.
            raise_on_failure: False returns the sweep also when it failed or was cancelled.

        Raises:
            SweepFailed: The sweep failed or was cancelled.
            SweepWaitTimeout: The sweep has not ended in time. It continues.
        """
        clock = self._connection.clock
        if report is None and has_widgets():
            with WidgetDisplay(self._sweep_id, self._connection.base_url) as display:
                return self.wait(timeout, report=display, poll=poll, raise_on_failure=raise_on_failure)
        view, final = wait_until_final(clock, self._fetch, timeout=timeout, poll=poll, report=report)
        if not final:
            raise SweepWaitTimeout(self, view, timeout or 0.0)
        if raise_on_failure and self.status is not JobStatus.COMPLETED:
            raise SweepFailed(self, self.view)
        return self

    def cancel(self) -> Sweep:
        """Ask all jobs to stop and return at once; ``wait`` for the end. A sweep that has ended does not change."""
        self._connection.json("POST", paths.sweep(self._sweep_id, "cancel"), resend=True)
        return self.refresh()

    def delete(self) -> None:
        """Delete the sweep, its jobs and their logs. Their runs and model versions stay.

        Raises:
            Conflict: The sweep has not ended yet.
        """
        self._connection.send("DELETE", paths.sweep(self._sweep_id))

    def _fetch(self) -> SweepView:
        self._view = self._summary = self._connection.view(SweepView, "GET", paths.sweep(self._sweep_id))
        return self._view


class Sweeps(Part):
    """``client.sweeps``."""

    def get(self, sweep_id: str) -> Sweep:
        """One sweep.

        Raises:
            NotFound: No sweep has this id.
        """
        return Sweep(self._connection, sweep_id).refresh()

    def list(self, *, page_size: int = 50) -> Iterator[Sweep]:
        """Iterate over sweeps, newest first. Pages are fetched when needed."""
        for page in self._connection.pages(SweepPage, paths.SWEEPS, {"limit": page_size}):
            yield from (Sweep(self._connection, summary.sweep_id, fetched=summary) for summary in page.sweeps)


def sweep_body(
    parameters: SweepValues | None,
    passed_as: Literal["environment", "arguments"],
    *,
    metric: str | None,
    mode: Literal["max", "min"],
    register_best: bool,
    max_parallel: int | None,
) -> dict[str, Any] | None:
    """The ``sweep`` field of an upload; None without ``parameters``."""
    if parameters is None:
        if metric is not None or register_best or max_parallel is not None:
            raise ValueError("metric, register_best and max_parallel are a sweep's: give sweep, too")
        return None
    return {
        "parameters": {name: list(values) for name, values in parameters.items()},
        "as": passed_as,
        "metric": metric,
        "mode": mode,
        "register": (SweepRegistration.BEST if register_best else SweepRegistration.ALL).value,
        "max_parallel": max_parallel,
    }


def accepted_sweep(connection: Connection, answer: Any) -> Sweep:
    """The handle of an accepted upload."""
    sweep_id = connection.parse(SweepAccepted, answer, "POST", paths.UPLOAD).sweep_id
    return Sweep(connection, sweep_id, acknowledgement=answer)


def by_metric(view: SweepView) -> list[SweepRow]:
    """The rows, best first. Jobs that did not complete or lack the metric keep their order at the end."""
    metric, sign = view.metric, -1 if view.mode == "max" else 1
    if metric is None:
        return view.jobs

    def rank(row: SweepRow) -> tuple[bool, float]:
        value = row.metrics.get(metric) if row.status == JobStatus.COMPLETED else None
        return (True, 0.0) if value is None else (False, sign * value)

    return sorted(view.jobs, key=rank)


def _cells(row: SweepRow) -> dict[str, Any]:
    return {"job_id": row.job_id, "status": row.status, **row.parameters, **row.metrics, "model_version": row.model_version}


class SweepFailed(RayliftError):
    """``Sweep.wait``: the sweep failed or was cancelled."""

    def __init__(self, sweep: Sweep, view: SweepView) -> None:
        super().__init__(f"{view.sweep_id} {view.status}{f': {view.message}' if view.message else ''}")
        self.sweep = sweep
        self.view = view


class SweepWaitTimeout(RayliftError):
    """``Sweep.wait``: the sweep has not ended in time. It continues."""

    def __init__(self, sweep: Sweep, view: SweepView | None, timeout: float) -> None:
        state = f"is still {view.status}" if view is not None else "has not been seen"
        super().__init__(f"{sweep.sweep_id} {state} after {timeout:g} s")
        self.sweep = sweep
        self.view = view
        """The last view; None if the platform never answered."""
