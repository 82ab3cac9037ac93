"""Schedules: jobs at the moments of a cron expression."""

from __future__ import annotations

import builtins
from collections.abc import Iterator, Mapping
from itertools import islice
from os import PathLike
from typing import Any, Literal, Unpack

from raylift.api import paths
from raylift.api.jobs.schedules import ScheduleList, ScheduleRunPage, ScheduleRunView, ScheduleSummary, ScheduleView
from raylift.client.http.part import Part
from raylift.client.jobs.batch_fields import batch_fields
from raylift.client.jobs.batch_files import is_remote, without_scheme
from raylift.client.jobs.job import Job, accepted
from raylift.client.jobs.script import Project, read_upload
from raylift.client.jobs.upload import TrainOptions, training_fields, upload_body

Overlap = Literal["skip", "queue", "cancel_previous"]


class Schedules(Part):
    """``client.schedules``. A schedule is named by its name, or by its id."""

    def create(
        self,
        name: str,
        script: str | PathLike[str] | None = None,
        *,
        cron: str,
        timezone: str = "UTC",
        overlap: Overlap = "skip",
        catch_up_seconds: int = 86_400,
        jitter_seconds: int = 0,
        paused: bool = False,
        rerun: str | Job | None = None,
        batch: Mapping[str, Any] | None = None,
        **options: Unpack[TrainOptions],
    ) -> ScheduleView:
        """Create a schedule of an upload, of a batch, or of reruns of a job. Its jobs have your rights at each run.

        Args:
            name: Name, unique in the workspace.
            script: Script or project, as for ``client.train``, whose options follow.
            cron: Five fields as in crontab, or @hourly, @daily, @weekly, @monthly, @yearly.
            timezone: IANA time zone in which the expression is read.
            overlap: While a job of it has not ended: "skip" makes none, "queue" lets one moment wait for the end,
                "cancel_previous" cancels the job and makes the new one.
            catch_up_seconds: Age at which a due moment is missed, for instance because the platform did not run.
            jitter_seconds: Make jobs up to this much after their moment, by a fixed amount for each moment.
            paused: Make no jobs until it is resumed.
            rerun: In place of a script: a job to run again each time, with its locked requirements.
            batch: In place of a script: arguments of ``client.batches.create``. The input is on the platform or in S3.
                ``{date}`` and ``{time}`` in a path are those of the moment, and the output needs one of them.
            options: Options of ``client.train`` for one job.

        Raises:
            InvalidRequest: E.g. the expression or the time zone is wrong, or the script does not compile.
            Conflict: The workspace has a schedule of this name.
        """
        settings: dict[str, Any] = {
            "name": name,
            "cron": cron,
            "timezone": timezone,
            "overlap": overlap,
            "catch_up_seconds": catch_up_seconds,
            "jitter_seconds": jitter_seconds,
            "paused": paused,
        }
        body = _body(settings, script, rerun, batch, options, needs_template=True)
        return self._connection.view(ScheduleView, "POST", paths.SCHEDULES, **body)

    def update(
        self,
        name: str,
        script: str | PathLike[str] | None = None,
        *,
        cron: str | None = None,
        timezone: str | None = None,
        overlap: Overlap | None = None,
        catch_up_seconds: int | None = None,
        jitter_seconds: int | None = None,
        rerun: str | Job | None = None,
        batch: Mapping[str, Any] | None = None,
        take_over: bool = False,
        **options: Unpack[TrainOptions],
    ) -> ScheduleView:
        """Change a schedule. Arguments that are None stay as they are.

        With a new script or job, and with ``take_over``, you become the owner: the jobs have your rights from then on.

        Raises:
            NotFound: There is no such schedule.
            Conflict: It was changed at the same time.
        """
        settings: dict[str, Any] = {
            "cron": cron,
            "timezone": timezone,
            "overlap": overlap,
            "catch_up_seconds": catch_up_seconds,
            "jitter_seconds": jitter_seconds,
            "take_over": take_over or None,
        }
        asked = {field: value for field, value in settings.items() if value is not None}
        body = _body(asked, script, rerun, batch, options, needs_template=False)
        return self._connection.view(ScheduleView, "PATCH", paths.schedule(name), **body)

    def list(self) -> builtins.list[ScheduleSummary]:
        """All schedules by name, each with its next moments and its newest one."""
        return self._connection.view(ScheduleList, "GET", paths.SCHEDULES).schedules

    def get(self, name: str) -> ScheduleView:
        """One schedule. Raises NotFound."""
        return self._connection.view(ScheduleView, "GET", paths.schedule(name))

    def pause(self, name: str) -> ScheduleView:
        """Make no jobs until it is resumed. Jobs that it has made go on."""
        return self._connection.view(ScheduleView, "PATCH", paths.schedule(name), json={"paused": True}, resend=True)

    def resume(self, name: str) -> ScheduleView:
        """Go on with the next moment. Those of the pause do not come again."""
        return self._connection.view(ScheduleView, "PATCH", paths.schedule(name), json={"paused": False}, resend=True)

    def run(self, name: str) -> Job:
        """Make a job at once, in the name of the owner.

        Raises:
            Forbidden: The owner may not run it any more.
        """
        return accepted(self._connection, self._connection.json("POST", paths.schedule(name, "run")))

    def runs(self, name: str, *, limit: int | None = None, page_size: int = 50) -> Iterator[ScheduleRunView]:
        """Iterate over the moments of a schedule, newest first: the jobs that they made, and why others made none.

        Args:
            name: The schedule.
            limit: Number of moments at most. None: all.
            page_size: Moments per request.
        """
        size = page_size if limit is None else min(page_size, limit)
        pages = self._connection.pages(ScheduleRunPage, paths.schedule(name, "runs"), {"limit": size})
        return islice((run for page in pages for run in page.runs), limit)

    def delete(self, name: str) -> None:
        """Delete a schedule with its history. Its jobs stay, and go on. Raises NotFound."""
        self._connection.json("DELETE", paths.schedule(name))


def _body(
    settings: dict[str, Any],
    script: str | PathLike[str] | None,
    rerun: str | Job | None,
    batch: Mapping[str, Any] | None,
    options: TrainOptions,
    *,
    needs_template: bool,
) -> dict[str, Any]:
    """The body as keyword arguments of ``Connection.send``."""
    given: dict[str, Any] = dict(options)
    if rerun is not None or batch is not None:
        if script is not None or given or (rerun is not None and batch is not None):
            raise ValueError("give a script with its options, or rerun, or batch: a schedule has one template")
        if batch is not None:
            return {"json": {**settings, "batch": _batch(**batch)}}
        return {"json": {**settings, "rerun": rerun.job_id if isinstance(rerun, Job) else rerun}}
    content, script_name = given.pop("script_content", None), given.pop("script_name", None)
    if script is None and content is None and not needs_template:
        if given:
            raise ValueError(f"{', '.join(sorted(given))}: give the script, too; a new template replaces the old one whole")
        return {"json": settings}
    source = read_upload(script, content, script_name, given.pop("entrypoint", None))
    fields = training_fields(source, **given)
    if isinstance(source, Project):
        return upload_body(source, {**fields, "schedule": settings})
    return {"json": {**settings, "train": upload_body(source, fields)["json"]}}


def _batch(model: str, input: str, **options: Any) -> dict[str, Any]:  # noqa: A002 - the API's word
    if not is_remote(input):
        raise ValueError(f"{input} is on this machine, which a schedule does not see: write file:///… or s3://…")
    return {**batch_fields(model, **options), "input": without_scheme(input)}
