"""``raylift batch`` and ``raylift batches``: predictions for files."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Annotated, Any, Final, Literal, cast

import typer

from raylift.api import paths
from raylift.api.jobs.batches import BatchPage, BatchProgressView, BatchSummary, BatchView
from raylift.cli.exits import wrong_usage
from raylift.cli.jobs.following import detaching
from raylift.cli.options import AfterOption, CursorOption, LimitOption
from raylift.cli.printing import age, cell, echo, print_facts, print_json, print_table, say, say_next_page
from raylift.cli.session import Session, command
from raylift.client.http.errors import RayliftError
from raylift.client.jobs.batch_files import is_remote
from raylift.client.jobs.batches import Batch, download_all, new_output
from raylift.domain.batches.batch import Format, OnError, format_of
from raylift.domain.job import JobStatus

app = typer.Typer(help="Batches, which predict for files: list, show, download.", no_args_is_help=True)

BatchId = Annotated[str, typer.Argument(metavar="BATCH", help="Id of the batch.", show_default=False)]
_LINE_SECONDS: Final = 10.0

InputHelp = "File, folder or pattern here, which is uploaded; file:///… on the platform's machine; or s3://…."
OutputHelp = "File here; or file:///… or s3://…: a file, or a folder of parts. Without it the platform keeps the file."


def batch(
    session: Session,
    model: Annotated[str, typer.Argument(metavar="MODEL", help="Registered model.", show_default=False)],
    input_: Annotated[str, typer.Option("--input", metavar="PATH", help=InputHelp, show_default=False)],
    output: Annotated[str | None, typer.Option("--output", metavar="PATH", help=OutputHelp)] = None,
    version: Annotated[str | None, typer.Option(help="Version, or job:ID for that of a job. Default: the newest.")] = None,
    after: AfterOption = None,
    alias: Annotated[str | None, typer.Option(help="An MLflow alias; the version that it names now is kept.")] = None,
    input_format: Annotated[Format | None, typer.Option(help="Default: by the names of the files.")] = None,
    output_format: Annotated[Format | None, typer.Option(help="Default: by the output's name, else parquet.")] = None,
    column: Annotated[list[str] | None, typer.Option(help="Column for the model; repeatable. Default: by name.")] = None,
    keep: Annotated[list[str] | None, typer.Option(help="Column of the input to write, too; repeatable. Default: all.")] = None,
    keep_none: Annotated[bool, typer.Option("--keep-none", help="Write the predictions only.")] = False,
    proba: Annotated[bool, typer.Option("--proba", help="Write a column for each class's probability.")] = False,
    on_error: Annotated[
        OnError, typer.Option(help="For a row that the model does not take: fail, skip the row, or write null.")
    ] = OnError.FAIL,
    stamp: Annotated[bool, typer.Option("--stamp", help="Write model_version and scored_at, too.")] = False,
    params: Annotated[str | None, typer.Option(metavar="JSON", help="Inference parameters.")] = None,
    secret: Annotated[list[str] | None, typer.Option(help="Secret whose variables it gets; repeatable.")] = None,
    cpus: Annotated[float, typer.Option(help="CPUs; a process predicts for each whole one.")] = 1.0,
    memory: Annotated[str, typer.Option(help="Memory, such as 4GiB.")] = "2GiB",
    gpus: Annotated[float, typer.Option(help="GPUs.")] = 0.0,
    timeout: Annotated[int, typer.Option(metavar="SECONDS", help="Time limit of one attempt.")] = 86_400,
    max_retries: Annotated[int, typer.Option(help="Retries after a failure; they go on where it was.")] = 0,
    priority: Annotated[int, typer.Option(help="0 to 100, higher first.")] = 50,
    no_wait: Annotated[bool, typer.Option("--no-wait", help="Print the id, and do not wait for the end.")] = False,
) -> None:
    """Predict for all rows of files: raylift batch churn --input data.parquet --output scored.parquet.

    Parquet, CSV and JSON lines. Ctrl-C only detaches; raylift jobs cancel ends it. Exit code 1 if it failed.
    """
    is_here = output is not None and not is_remote(output)
    try:
        target = new_output(output, output_format) if is_here and output is not None else None
        if target is not None and no_wait:
            raise wrong_usage(
                "--no-wait", "the output comes here after the end: leave it out, and use raylift batches download"
            )
        made = session.client.batches.create(
            model,
            input_,
            output=None if is_here else output,
            **batch_options(
                output_format=output_format or (None if target is None else format_of(target.name)),
                version=version,
                alias=alias,
                after=after,
                input_format=input_format,
                column=column,
                keep=keep,
                keep_none=keep_none,
                proba=proba,
                on_error=on_error,
                stamp=stamp,
                params=params,
                secret=secret,
                cpus=cpus,
                memory=memory,
                gpus=gpus,
                timeout=timeout,
                max_retries=max_retries,
                priority=priority,
            ),
        )
    except (ValueError, OSError) as error:
        raise wrong_usage("--output" if is_here and "exists" in str(error) else "--input", str(error)) from error
    if no_wait:
        session.print(made.view.model_dump(mode="json"), lambda: echo(made.batch_id))
        return
    _follow(session, made, target)


def batch_options(
    *,
    input_format: Format | None,
    output_format: Format | None,
    column: list[str] | None,
    keep: list[str] | None,
    keep_none: bool,
    on_error: OnError,
    params: str | None,
    secret: list[str] | None,
    after: list[str] | None,
    **others: Any,
) -> dict[str, Any]:
    """Return the options of ``raylift batch`` as those of ``client.batches.create``."""
    return {
        "input_format": _name(input_format),
        "output_format": _name(output_format),
        "columns": column,
        "keep": [] if keep_none else keep,
        "on_error": _ON_ERROR[on_error],
        "params": _object(params),
        "secrets": secret or (),
        "after": after or (),
        **others,
    }


def register(root: typer.Typer) -> None:
    """Add ``raylift batch``. Its ``--output`` is a file, so the format of its answers is set before the command."""
    command(root, "batch", takes_owner=True, takes_output=False)(batch)


_ON_ERROR: Final[dict[OnError, Literal["fail", "skip", "null"]]] = {
    OnError.FAIL: "fail",
    OnError.SKIP: "skip",
    OnError.NULL: "null",
}


def _name(form: Format | None) -> Any:
    return None if form is None else form.value


def _object(text: str | None) -> dict[str, Any]:
    try:
        value: Any = json.loads(text or "{}")
    except ValueError as error:
        raise wrong_usage("--params", f"is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise wrong_usage("--params", "is not a JSON object")
    return cast("dict[str, Any]", value)


def _follow(session: Session, made: Batch, target: Path | None) -> None:
    if not session.as_json:
        say(f"{made.batch_id} predicts with {made.view.model_name} version {made.model_version}")
    with detaching(made.job):
        made.wait(report=_Reporter())
    if target is not None:
        download_all(made, target)
    if session.as_json:
        print_json(made.view.model_dump(mode="json"))
        return
    say(made.message or "Done.")
    result = made.view.result
    if result is not None and result.rejected:
        say(f"{result.rejected} rows were rejected: {_rejected_at(made, target)} says why")
    echo(str(target) if target is not None else made.view.output or made.batch_id)


def _rejected_at(made: Batch, target: Path | None) -> str:
    result = made.view.result
    if target is not None:
        return f"{target}.rejected.jsonl"
    return (result and result.rejected_output) or f"raylift batches download {made.batch_id} --rejected FILE"


class _Reporter:
    """Prints the progress on stderr: in one line on a terminal, every ten seconds elsewhere."""

    def __init__(self) -> None:
        self._next = 0.0
        self._status = ""

    def __call__(self, view: BatchView | None, error: RayliftError | None) -> None:
        text = f"trying again: {error}" if view is None else _progress_line(view)
        is_new = (view.status if view is not None else "") != self._status
        self._status = view.status if view is not None else ""
        if sys.stderr.isatty():
            echo(f"\r\033[K{text}", err=True, nl=view is not None and view.finished_at is not None)
        elif is_new or time.monotonic() >= self._next:
            self._next = time.monotonic() + _LINE_SECONDS
            say(text)


def _progress_line(view: BatchView) -> str:
    return f"{view.status} {_progress(view.progress)}" if view.progress is not None else view.status


def _progress(progress: BatchProgressView) -> str:
    of = f" of {progress.rows_total:,}" if progress.rows_total is not None else ""
    rate = f", {progress.rows_per_second:,.0f} rows/s" if progress.rows_per_second is not None else ""
    left = f", {progress.eta_seconds:.0f} s left" if progress.eta_seconds is not None else ""
    return f"{progress.rows:,}{of} rows{rate}{left}"


def _rows(batch: BatchSummary) -> str:
    if batch.result is not None:
        return f"{batch.result.rows:,}"
    return "-" if batch.progress is None else _progress(batch.progress)


def _print_list(page: BatchPage) -> None:
    rows = [
        (each.batch_id, each.status, f"{each.model_name}/{each.model_version}", _rows(each), age(each.created_at), each.owner)
        for each in page.batches
    ]
    print_table(("batch", "status", "version", "rows", "age", "owner"), rows)
    say_next_page(page.next_cursor)


@command(app, "list", BatchPage, _print_list)
def list_batches(
    session: Session,
    model: Annotated[str | None, typer.Option(help="Only batches of this model.")] = None,
    status: Annotated[JobStatus | None, typer.Option(help="Only batches of this status.")] = None,
    limit: LimitOption = 20,
    cursor: CursorOption = None,
) -> Any:
    """List batches, newest first."""
    wanted = {"model_name": model, "status": None if status is None else status.value, "limit": limit, "cursor": cursor}
    return session.client.request("GET", paths.BATCHES, params=wanted)


def _print(view: BatchView) -> None:
    result = view.result
    print_facts(
        [
            ("batch", view.batch_id),
            ("status", view.status),
            ("reason", view.reason),
            ("message", view.message),
            ("version", f"{view.model_name} {view.model_version}{f' ({view.alias})' if view.alias else ''}"),
            ("input", view.input or ", ".join(view.uploads)),
            ("output", (result and result.output) or view.output),
            ("format", view.output_format),
            ("rows", _rows(view)),
            ("written", result and result.rows_written),
            ("rejected", result and result.rejected),
            ("rejected rows", result and result.rejected_output),
            ("attempt", view.attempt),
            ("owner", view.owner),
            ("created", view.created_at),
            ("seconds", cell(view.duration_seconds) if view.duration_seconds is not None else None),
        ]
    )


@command(app, "show", BatchView, _print)
def show(session: Session, batch: BatchId) -> Any:
    """Show a batch with its progress or its result. raylift jobs logs and cancel take its id, too."""
    return session.client.request("GET", paths.batch(batch))


@command(app, "download", takes_output=False)
def download(
    session: Session,
    batch: BatchId,
    output: Annotated[Path | None, typer.Option("--output", metavar="FILE", help="File for the output.")] = None,
    rejected: Annotated[Path | None, typer.Option(metavar="FILE", help="File for the rejected rows.")] = None,
) -> None:
    """Download the output of a batch that the platform keeps."""
    if output is None and rejected is None:
        raise wrong_usage("--output", "give a file for the output, or --rejected one for the rejected rows")
    found = session.client.batches.get(batch)
    for target, save in ((output, found.download), (rejected, found.download_rejected)):
        if target is not None:
            if target.exists():
                raise wrong_usage(str(target), "exists already: remove it, or choose another name")
            save(target)
            say(f"{target} is written")
