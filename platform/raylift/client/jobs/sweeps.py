"""Sweeps: the handle of one, and the collection of all."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any, Literal

from raylift.api import paths
from raylift.api.sweeps import SweepAccepted, SweepPage, SweepRow, SweepSummary, SweepView
from raylift.client.http.connection import Connection
from raylift.client.http.errors import RayliftError
from raylift.client.jobs.job import Job
from raylift.client.jobs.waiting import watch_until_final
from raylift.domain.job import JobStatus
from raylift.domain.sweep import SweepRegistration

SweepValues = Mapping[str, Iterable[bool | int | float | str]]
"""Values by parameter: ``{"lr": [0.01, 0.1], "depth": [3, 5]}``."""
SweepReport = Callable[[SweepView | None, RayliftError | None], None]
"""Told of every look at the sweep: what was seen, or why nothing was."""


class Sweep:
    """A handle of one sweep. Its attributes are those of the last look at it, as with a job."""

    def __init__(
        self,
        connection: Connection,
        sweep_id: str,
        *,
        seen: SweepView | SweepSummary | None = None,
        acknowledgement: dict[str, Any] | None = None,
    ) -> None:
        self._connection = connection
        self._sweep_id = sweep_id
        self._view = seen if isinstance(seen, SweepView) else None
        self._seen = seen
        self.acknowledgement = acknowledgement
        """The platform's answer to the upload that made this handle, as it came; else None."""

    def __repr__(self) -> str:
        return f"<Sweep {self._sweep_id} {self._seen.status}>" if self._seen else f"<Sweep {self._sweep_id}>"

    @property
    def sweep_id(self) -> str:
        return self._sweep_id

    @property
    def view(self) -> SweepView:
        """All that the platform says of the sweep, as it was seen last."""
        return self._view or self._look()

    @property
    def summary(self) -> SweepSummary:
        """What a list says of it; costs no request for a sweep from ``client.sweeps.list()``."""
        return self._seen or self.view

    @property
    def status(self) -> JobStatus:
        """completed: all jobs have ended, some completed, and the best is registered where that was asked."""
        return JobStatus(self.summary.status)

    @property
    def message(self) -> str | None:
        return self.summary.message

    @property
    def created_at(self) -> datetime:
        return self.summary.created_at

    def refresh(self) -> Sweep:
        """Look again."""
        self._look()
        return self

    def jobs(self) -> list[Job]:
        """Handles of its jobs, in the order of the parameters."""
        return [Job(self._connection, row.job_id) for row in self.view.jobs]

    def table(self) -> list[dict[str, Any]]:
        """A row a job, as it was seen last: job_id, status, the parameters, the metrics, model_version.

        By the metric the best first, where the sweep names one; jobs that cannot win, not completed or without it, last.
        It makes a ``pandas.DataFrame``.
        """
        return [_cells(row) for row in by_metric(self.view)]

    def best(self) -> SweepRow | None:
        """The best of the jobs that had completed when it was seen last; None while there is none, or without a metric."""
        return self.view.best

    def wait(
        self,
        timeout: float | None = None,
        *,
        report: SweepReport | None = None,
        poll: float = 1.0,
        raise_on_failure: bool = True,
    ) -> Sweep:
        """Wait until all jobs have ended and the best is registered, where asked for. Jobs that fail do not make it fail.

        Args:
            timeout: Seconds to wait; None: as long as it takes.
            report: Told of every look.
            poll: Seconds between two looks.
            raise_on_failure: False: return the sweep however it ended.

        Raises:
            SweepFailed: It failed, or was cancelled.
            SweepWaitTimeout: It has not ended in time, and goes on.
        """
        view, final = watch_until_final(
            self._connection, self._look, timeout=timeout, poll=poll, report=report or (lambda _view, _error: None)
        )
        if not final:
            raise SweepWaitTimeout(self, view, timeout or 0.0)
        if raise_on_failure and self.status is not JobStatus.COMPLETED:
            raise SweepFailed(self, self.view)
        return self

    def cancel(self) -> Sweep:
        """Ask all its jobs to stop. Returns at once: ``wait`` says when they have. A sweep that has ended stays as it is."""
        self._connection.json("POST", paths.sweep(self._sweep_id, "cancel"), resend=True)
        return self.refresh()

    def delete(self) -> None:
        """Forget the sweep, its jobs and their logs. Their runs and model versions stay.

        Raises:
            Conflict: It has not ended yet.
        """
        self._connection.send("DELETE", paths.sweep(self._sweep_id))

    def _look(self) -> SweepView:
        self._view = self._seen = self._connection.view(SweepView, "GET", paths.sweep(self._sweep_id))
        return self._view


class Sweeps:
    """``client.sweeps``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, sweep_id: str) -> Sweep:
        """One sweep.

        Raises:
            NotFound: There is none of that id.
        """
        return Sweep(self._connection, sweep_id).refresh()

    def list(self, *, page_size: int = 50) -> Iterator[Sweep]:
        """Sweeps, newest first, fetched page by page as they are asked for."""
        cursor: str | None = None
        while True:
            page = self._connection.view(SweepPage, "GET", paths.SWEEPS, params={"limit": page_size, "cursor": cursor})
            yield from (Sweep(self._connection, seen.sweep_id, seen=seen) for seen in page.sweeps)
            cursor = page.next_cursor
            if cursor is None:
                return


def sweep_body(
    parameters: SweepValues,
    passed_as: Literal["environment", "arguments"],
    *,
    metric: str | None,
    mode: Literal["max", "min"],
    register_best: bool,
    max_parallel: int | None,
) -> dict[str, Any]:
    """The ``sweep`` field of an upload."""
    return {
        "parameters": {name: list(values) for name, values in parameters.items()},
        "as": passed_as,
        "metric": metric,
        "mode": mode,
        "register": (SweepRegistration.BEST if register_best else SweepRegistration.ALL).value,
        "max_parallel": max_parallel,
    }


def accepted_sweep(connection: Connection, answer: Any) -> Sweep:
    """The handle of a sweep that the platform has just taken."""
    taken = connection.parse(SweepAccepted, answer, "POST", paths.UPLOAD)
    return Sweep(connection, taken.sweep_id, acknowledgement=answer)


def by_metric(view: SweepView) -> list[SweepRow]:
    """The rows, the best first. Those that cannot win, not completed or without the metric, keep their order at the end."""
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
    """A sweep that was waited for failed or was cancelled."""

    def __init__(self, sweep: Sweep, view: SweepView) -> None:
        super().__init__(f"{view.sweep_id} {view.status}{f': {view.message}' if view.message else ''}")
        self.sweep = sweep
        self.view = view


class SweepWaitTimeout(RayliftError):
    """A sweep took longer than was waited for it. It goes on."""

    def __init__(self, sweep: Sweep, view: SweepView | None, timeout: float) -> None:
        state = f"is still {view.status}" if view is not None else "has not been seen"
        super().__init__(f"{sweep.sweep_id} {state} after {timeout:g} s")
        self.sweep = sweep
        self.view = view
        """As it was seen last; None when the platform never answered."""
