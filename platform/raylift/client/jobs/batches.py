"""The handle of one batch, and the collection of all: predictions for files."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal

from raylift.api import paths
from raylift.api.headers import IDEMPOTENCY_KEY
from raylift.api.jobs.batches import BatchAccepted, BatchPage, BatchSummary, BatchView
from raylift.client.http.connection import Connection, Form
from raylift.client.http.errors import RayliftError
from raylift.client.http.part import Part
from raylift.client.jobs.batch_fields import FileFormat, batch_fields
from raylift.client.jobs.batch_files import is_remote, local_files, save, without_scheme
from raylift.client.jobs.job import Job, JobCancelled, JobFailed, JobWaitTimeout
from raylift.client.jobs.waiting import wait_until_final
from raylift.domain.batches.batch import format_of
from raylift.domain.job import JobStatus

BatchReport = Callable[[BatchView | None, RayliftError | None], None]
"""Called with each fetched view, or with the error of a failed fetch."""
_UPLOAD_SECONDS: Final = 600.0


class Batch:
    """A handle of one batch. Its attributes come from the last fetch, as with a job."""

    def __init__(self, connection: Connection, batch_id: str, *, fetched: BatchView | BatchSummary | None = None) -> None:
        self._connection = connection
        self._batch_id = batch_id
        self._view = fetched if isinstance(fetched, BatchView) else None
        self._summary = fetched

    def __repr__(self) -> str:
        return f"<Batch {self._batch_id} {self._summary.status}>" if self._summary else f"<Batch {self._batch_id}>"

    @property
    def batch_id(self) -> str:
        """Also the id of its job."""
        return self._batch_id

    @property
    def job(self) -> Job:
        """Its job: logs, events, attempts, cancel, delete."""
        return Job(self._connection, self._batch_id)

    @property
    def view(self) -> BatchView:
        """The whole batch as of the last fetch."""
        return self._view or self._fetch()

    @property
    def summary(self) -> BatchSummary:
        """The batch as in a list."""
        return self._summary or self.view

    @property
    def status(self) -> JobStatus:
        return JobStatus(self.summary.status)

    @property
    def message(self) -> str | None:
        return self.summary.message

    @property
    def model_version(self) -> str:
        """The version that predicts."""
        return self.summary.model_version

    def refresh(self) -> Batch:
        """Fetch the batch again."""
        self._fetch()
        return self

    def wait(
        self,
        timeout: float | None = None,
        *,
        report: BatchReport | None = None,
        poll: float = 0.5,
        raise_on_failure: bool = True,
    ) -> Batch:
        """Wait until the batch has ended. The platform may be unavailable for up to a minute.

        Args:
            timeout: Seconds to wait. None: no limit.
            report: Called with each fetched view or error.
            poll: Seconds between two fetches.
            raise_on_failure: False returns the batch also when it failed or was cancelled.

        Raises:
            JobFailed: The batch failed; carries the reason, the message and the end of the output.
            JobCancelled: The batch was cancelled.
            JobWaitTimeout: The batch has not ended in time. It continues.
        """
        clock = self._connection.clock
        _, final = wait_until_final(clock, self._fetch, timeout=timeout, poll=poll, report=report)
        if not final:
            raise JobWaitTimeout(self.job, None, timeout or 0.0)
        if raise_on_failure and self.status is JobStatus.FAILED:
            raise JobFailed(self.job, self.job.view)
        if raise_on_failure and self.status is JobStatus.CANCELLED:
            raise JobCancelled(self.job, self.job.view)
        return self

    def cancel(self) -> None:
        """Ask the batch to stop. Its output does not appear. Idempotent."""
        self.job.cancel()

    def download(self, path: str | PathLike[str]) -> Path:
        """Write the output to a file on this machine, whole or not at all. Replaces it.

        Raises:
            NotFound: The batch has not completed, writes elsewhere, or its files were removed.
        """
        return save(self._connection, paths.batch(self._batch_id, "output"), Path(path))

    def download_rejected(self, path: str | PathLike[str]) -> Path:
        """Write the rejected rows to a file on this machine, as JSON lines. Raises NotFound if there are none."""
        return save(self._connection, paths.batch(self._batch_id, "rejected"), Path(path))

    def _fetch(self) -> BatchView:
        self._view = self._summary = self._connection.view(BatchView, "GET", paths.batch(self._batch_id))
        return self._view


class Batches(Part):
    """``client.batches``."""

    def create(
        self,
        model: str,
        input: str | PathLike[str],  # noqa: A002 - the API's word
        *,
        output: str | None = None,
        version: str | int | None = None,
        alias: str | None = None,
        after: Iterable[str] | str = (),
        input_format: FileFormat | None = None,
        output_format: FileFormat | None = None,
        columns: Iterable[str] | None = None,
        keep: Iterable[str] | None = None,
        proba: bool = False,
        on_error: Literal["fail", "skip", "null"] = "fail",
        stamp: bool = False,
        params: Mapping[str, Any] | None = None,
        secrets: Iterable[str] = (),
        cpus: float = 1.0,
        memory: int | str = "2GiB",
        gpus: float = 0.0,
        timeout: int = 86_400,
        max_retries: int = 0,
        priority: int = 50,
        tags: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Batch:
        """Predict for all rows of files. Returns when the platform has committed the batch to its store.

        Args:
            model: Registered model.
            input: A file, folder or pattern on this machine, which is uploaded; or ``file:///data/*.parquet`` on the
                platform's machine, or ``s3://bucket/key``. Parquet, CSV or JSON lines.
            output: ``file:///…`` or ``s3://…``: a file, or a folder of parts. None: the platform keeps one file for
                :meth:`Batch.download`.
            version: Version of the model; ``job:ID`` is the one that a job registers. None, and no alias: the newest that
                loads.
            alias: An MLflow alias. The batch keeps the version that it names now.
            after: Ids of jobs that have to complete before it starts.
            input_format: None: by the names of the files.
            output_format: None: by the name of the output, else Parquet.
            columns: Columns for the model, in this order. None: those that it knows by name, else all.
            keep: Columns of the input to write beside the predictions. None: all.
            proba: Write a column for the probability of each class.
            on_error: For a row that the model does not take: the batch fails, the row is left out, or its prediction is null.
            stamp: Write the columns model_version and scored_at, too.
            params: Inference parameters of the model.
            secrets: Names of secrets whose variables the batch gets, such as credentials for S3.
            cpus: Logical CPUs. A process predicts for each whole one.
            memory: Bytes, or a string such as "4GiB". Each process has the model in memory.
            gpus: Logical GPUs.
            timeout: Time limit of one attempt in seconds.
            max_retries: Retries after a failure. They go on where it was.
            priority: 0 to 100, higher first.
            tags: Tags of the batch.
            idempotency_key: Two requests with the same key make one batch. None: a new key.

        Raises:
            ValueError: The input does not exist here, or the output is a path on this machine (see :meth:`run`).
            InvalidRequest: E.g. a path that batches may not read, or an output that exists.
            NotFound: The model, version or alias does not exist.
        """
        fields = batch_fields(
            model,
            output=output,
            version=version,
            alias=alias,
            after=after,
            input_format=input_format,
            output_format=output_format,
            columns=columns,
            keep=keep,
            proba=proba,
            on_error=on_error,
            stamp=stamp,
            params=params,
            secrets=secrets,
            cpus=cpus,
            memory=memory,
            gpus=gpus,
            timeout=timeout,
            max_retries=max_retries,
            priority=priority,
            tags=tags,
        )
        how: dict[str, Any] = {"headers": {IDEMPOTENCY_KEY: idempotency_key or uuid.uuid4().hex}, "resend": True}
        if is_remote(str(input)):
            how["json"] = {**fields, "input": without_scheme(str(input))}
        else:
            files = local_files(Path(input))
            parts = {
                f"file{index}": (path.name, path.read_bytes(), "application/octet-stream") for index, path in enumerate(files)
            }
            how |= {"form": Form({"batch": json.dumps(fields)}, parts), "timeout": _UPLOAD_SECONDS}
        answer = self._connection.view(BatchAccepted, "POST", paths.BATCHES, **how)
        return Batch(self._connection, answer.batch_id)

    def run(
        self,
        model: str,
        input: str | PathLike[str],  # noqa: A002 - the API's word
        output: str | PathLike[str],
        *,
        report: BatchReport | None = None,
        **options: Any,
    ) -> Batch:
        """Predict for all rows of files, wait, and write the output to this machine, unless it is ``file://`` or ``s3://``.

        Args:
            model: Registered model.
            input: As in :meth:`create`.
            output: A file on this machine, which must not exist; or as in :meth:`create`. Rejected rows come beside it.
            report: Called with each fetched view or error.
            options: As in :meth:`create`.

        Raises:
            ValueError: The output exists, or its name has no known ending.
            JobFailed: The batch failed.
        """
        if is_remote(str(output)):
            return self.create(model, input, output=str(output), **options).wait(report=report)
        target = new_output(output, options.get("output_format"))
        options.setdefault("output_format", format_of(target.name))
        batch = self.create(model, input, **options).wait(report=report)
        download_all(batch, target)
        return batch

    def get(self, batch_id: str) -> Batch:
        """One batch.

        Raises:
            NotFound: No batch has this id.
        """
        return Batch(self._connection, batch_id).refresh()

    def list(
        self,
        *,
        model: str | None = None,
        status: JobStatus | str | None = None,
        limit: int | None = None,
        page_size: int = 50,
    ) -> Iterator[Batch]:
        """Iterate over batches, newest first. Pages are fetched when needed.

        Args:
            model: Only batches of this model.
            status: queued, running, completed, failed or cancelled.
            limit: Number of batches at most. None: all.
            page_size: Batches per request.
        """
        wanted = {"model_name": model, "status": None if status is None else str(status)}
        size = page_size if limit is None else min(page_size, limit)
        pages = self._connection.pages(BatchPage, paths.BATCHES, {**wanted, "limit": size})
        found = (Batch(self._connection, each.batch_id, fetched=each) for page in pages for each in page.batches)
        return islice(found, limit)


def new_output(output: str | PathLike[str], wanted: str | None) -> Path:
    """Return the path of an output on this machine.

    Raises:
        ValueError: It exists, its folder does not, or no format is known.
    """
    target = Path(output)
    if target.exists():
        raise ValueError(f"{target} exists already: remove it, or choose another name")
    if not target.parent.is_dir():
        raise ValueError(f"{target.parent} is no folder: make it first")
    if wanted is None and format_of(target.name) is None:
        raise ValueError(f"the name {target.name} says no format: end it in .parquet, .csv or .jsonl, or give the format")
    return target


def download_all(batch: Batch, target: Path) -> None:
    """Write the output of a completed batch, and its rejected rows beside it, if there are any."""
    result = batch.view.result
    if result is not None and result.rejected:
        batch.download_rejected(target.with_name(f"{target.name}.rejected.jsonl"))
    batch.download(target)
