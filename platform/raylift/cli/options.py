"""Options and arguments that several commands take."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from raylift.cli.exits import wrong_usage
from raylift.client.jobs.script import read_requirements

VersionArgument = Annotated[str, typer.Argument(help="The version of the model.", show_default=False)]

LimitOption = Annotated[int, typer.Option("--limit", "-n", help="Maximum length of the list.", min=1)]
CursorOption = Annotated[str | None, typer.Option(help="Continue behind the page that printed this cursor.")]

ParamOption = Annotated[
    list[str] | None,
    typer.Option(
        "--param",
        help="Parameter without secrets: environment variable of the script and MLflow param; may be repeated.",
        metavar="K=V",
    ),
]
DataOption = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        help="Dataset for the script, whose path is in RAYLIFT_DATA_ALIAS: NAME@3, NAME for the newest, or job:ID for what a "
        "job makes; may be repeated.",
        metavar="ALIAS=NAME[@N]",
    ),
]
AfterOption = Annotated[
    list[str] | None,
    typer.Option("--after", help="Job that has to complete before it starts; may be repeated.", metavar="JOB"),
]
OutputDatasetOption = Annotated[
    str | None,
    typer.Option(
        "--output-dataset",
        help="Dataset that gets a version of the files which the script writes to the folder RAYLIFT_OUTPUT.",
        metavar="NAME",
    ),
]
SecretOption = Annotated[
    list[str] | None,
    typer.Option("--secret", help="Secret whose variables the script gets; may be repeated.", metavar="NAME"),
]
RequirementsOption = Annotated[
    list[str] | None, typer.Option("--requirements", help="A PEP 508 requirement; may be repeated.", metavar="PACKAGE")
]
RequirementsFileOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--requirements-file", "-r", metavar="FILE", help="A requirements.txt; may be repeated.", exists=True, dir_okay=False
    ),
]
TorchBackendOption = Annotated[
    str | None,
    typer.Option(help="Build of PyTorch: cpu, cu128, … With auto the platform's package index decides.", metavar="BUILD"),
]


IsolationOption = Annotated[
    Literal["sandbox", "cluster"] | None,
    typer.Option(help="sandbox: its own work, its data and MLflow (default). cluster: also Ray."),
]
NetworkOption = Annotated[
    Literal["full", "mlflow-only", "none"] | None, typer.Option(help="Network of a sandboxed script; default: a setting.")
]


WorkersOption = Annotated[
    int | None, typer.Option(help="Ray workers that start together with the script or not at all.", min=1)
]
WorkerCpusOption = Annotated[float | None, typer.Option(help="Logical CPUs of each worker; default: 1.")]
WorkerMemoryOption = Annotated[str | None, typer.Option(help="Memory of each worker; default: 2GiB.")]
WorkerGpusOption = Annotated[float | None, typer.Option(help="Logical GPUs of each worker.")]
WorkerStrategyOption = Annotated[
    Literal["pack", "spread"] | None, typer.Option(help="Workers on as few nodes as possible (default), or on as many.")
]


def workers_of(
    count: int | None, cpus: float | None, memory: str | None, gpus: float | None, strategy: str | None
) -> dict[str, Any] | None:
    """Return the workers for ``Client.train``; None where there are none. Exits where only their amounts are given."""
    given = {"cpus": cpus, "memory": memory, "gpus": gpus, "strategy": strategy}
    amounts = {name: value for name, value in given.items() if value is not None}
    if count is None and amounts:
        raise wrong_usage(f"--worker-{min(amounts)}", "is for workers: say how many with --workers")
    return None if count is None else {"count": count, **amounts}


def assignments(texts: list[str] | None, option: str) -> dict[str, str]:
    """``["K=V"]`` as ``{"K": "V"}``."""
    parts = [text.partition("=") for text in texts or ()]
    wrong = [name for name, equals, _ in parts if not equals or not name]
    if wrong:
        raise wrong_usage(option, f"{wrong[0]!r} is not of the form NAME=VALUE")
    return {name: value for name, _, value in parts}


def all_requirements(lines: list[str] | None, files: list[Path] | None) -> list[str]:
    """The requirements of both options."""
    try:
        return [*(lines or ()), *(line for file in files or () for line in read_requirements(file))]
    except (ValueError, OSError) as error:
        raise wrong_usage("--requirements-file", str(error)) from error
