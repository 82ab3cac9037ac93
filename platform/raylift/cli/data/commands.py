"""``raylift data``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.datasets.datasets import ColumnProfile, DatasetList, DatasetUseView, DatasetVersionView, DatasetView
from raylift.cli.exits import ExitCode, stop, wrong_usage
from raylift.cli.printing import cell, echo, print_facts, print_table, say
from raylift.cli.session import Session, command
from raylift.domain.datasets.dataset import parse_reference
from raylift.domain.quantities import format_bytes

app = typer.Typer(help="Datasets for jobs: add, list, show, get, delete.", no_args_is_help=True)

Reference = Annotated[
    str, typer.Argument(metavar="NAME[@VERSION]", help="A version of a dataset, or the newest.", show_default=False)
]


def _print_list(found: DatasetList) -> None:
    rows = [
        (
            each.name,
            each.newest.version,
            format_bytes(each.newest.size_bytes),
            each.newest.rows,
            each.newest.format,
            each.newest.created_at,
            each.newest.created_by,
        )
        for each in found.datasets
    ]
    print_table(("name", "newest", "size", "rows", "format", "added", "by"), rows)


@command(app, "list", DatasetList, _print_list)
def list_datasets(session: Session) -> Any:
    """List the datasets of your workspace, each with its newest version."""
    return session.client.request("GET", paths.DATASETS)


@command(app, "add", takes_owner=True)
def add(
    session: Session,
    name: Annotated[str, typer.Argument(metavar="NAME", help="Name of the dataset.", show_default=False)],
    data: Annotated[
        str, typer.Argument(metavar="PATH|URI", help="File or folder to upload, or s3://… to register.", show_default=False)
    ],
    register: Annotated[
        bool, typer.Option("--register", help="PATH is on the platform's machine, and its files stay there.")
    ] = False,
) -> None:
    """Add a version of a dataset, and print it as NAME@VERSION. The same bytes are the same version."""
    try:
        made = session.client.datasets.add(name, data, register=register, progress=_progress())
    except OSError as error:
        raise wrong_usage("PATH", str(error)) from error
    session.print(made.model_dump(mode="json"), lambda: _announce(made))


def _announce(made: DatasetVersionView) -> None:
    echo(made.reference)
    rows = "" if made.rows is None else f", {made.rows} rows, {made.column_count} columns"
    say(f"{made.file_count} file{'s' if made.file_count > 1 else ''}, {format_bytes(made.size_bytes)}{rows}")
    if made.note:
        say(f"Note: {made.note}")
    say(f"raylift train … --data ALIAS={made.reference}   gives it to a job, which finds its path in RAYLIFT_DATA_ALIAS.")


def _progress() -> Any:
    """Show the share of the bytes that are sent, on a terminal."""
    if not sys.stderr.isatty():
        return None

    def show(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{format_bytes(done)} of {format_bytes(total)} sent{end}")
        sys.stderr.flush()

    return show


def _print_version(view: DatasetVersionView) -> None:
    print_facts(
        [
            ("dataset", view.reference),
            ("sha256", view.digest),
            ("size", format_bytes(view.size_bytes)),
            ("files", view.file_count),
            ("format", view.format),
            ("rows", view.rows),
            ("source", view.source),
            ("output of", view.job_id),
            ("added", f"{cell(view.created_at)} by {view.created_by}"),
            ("note", view.note),
        ]
    )
    if view.columns:
        echo(f"\nColumns of the first {view.profiled_rows} rows:")
        print_table(("column", "type", "missing", "values"), [_column(each) for each in view.columns])
    _print_uses(view.uses)


def _column(each: ColumnProfile) -> tuple[object, ...]:
    if each.top is not None:
        values = f"{each.distinct} different: " + ", ".join(f"{top.value} ({top.count})" for top in each.top)
    elif each.mean is not None:
        values = f"{cell(each.min)} to {cell(each.max)}, mean {cell(each.mean)}"
    else:
        values = "" if each.min is None else f"{each.min} to {each.max}"
    return each.name, each.type, each.missing, values


def _print_uses(uses: list[DatasetUseView]) -> None:
    if uses:
        echo("\nJobs that got it:")
        rows = [(each.job_id, f"@{each.version}", each.alias, each.status, _model(each), each.created_at) for each in uses]
        print_table(("job", "version", "as", "status", "model version", "created"), rows)


def _model(use: DatasetUseView) -> str | None:
    return None if use.model_version is None else f"{use.model_name} v{use.model_version}"


def _print_dataset(view: DatasetView) -> None:
    rows = [
        (f"@{each.version}", format_bytes(each.size_bytes), each.rows, each.created_at, each.created_by, each.digest[:12])
        for each in view.versions
    ]
    print_table(("version", "size", "rows", "added", "by", "sha256"), rows)
    _print_uses(view.uses)


@command(app, "show")
def show(session: Session, reference: Reference) -> None:
    """Show the versions of a dataset, or with @VERSION one of them: schema, profile, and jobs that got it."""
    parsed = parse_reference(reference)
    if parsed is not None and parsed[1] is None:
        dataset = session.client.datasets.versions(parsed[0])
        session.print(dataset.model_dump(mode="json"), lambda: _print_dataset(dataset))
        return
    version = session.client.datasets.get(reference)
    session.print(version.model_dump(mode="json"), lambda: _print_version(version))


@command(app, "get")
def get(
    session: Session,
    reference: Reference,
    target: Annotated[
        Path, typer.Argument(metavar="PATH", help="Existing folder, or path of the new file or folder.")
    ] = Path(),
) -> None:
    """Download a version, and check its bytes."""
    try:
        path = session.client.datasets.download(reference, target)
    except OSError as error:
        raise stop(f"Error: {error}", ExitCode.FAILED) from error
    session.print({"path": str(path)}, lambda: echo(str(path)))


@command(app, "delete")
def delete(
    session: Session,
    reference: Reference,
    all_versions: Annotated[bool, typer.Option("--all", help="Delete all versions of NAME.")] = False,
) -> None:
    """Delete a version, or with --all a dataset. Refused while a job that has not ended gets it."""
    parsed = parse_reference(reference)
    if parsed is None or (parsed[1] is None) != all_versions:
        raise wrong_usage("NAME", "write NAME@VERSION for one version, or NAME --all for every one")
    session.client.datasets.delete(reference)
    say(f"Deleted {reference}.")
