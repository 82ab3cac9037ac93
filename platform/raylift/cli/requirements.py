"""The options that say what to install, as jobs and environments take them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

RequirementsOption = Annotated[
    list[str] | None, typer.Option("--requirements", help="A PEP 508 requirement; may be repeated.", metavar="PACKAGE")
]
RequirementsFileOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--requirements-file",
        "-r",
        metavar="FILE",
        help="A requirements.txt; may be repeated.",
        exists=True,
        dir_okay=False,
    ),
]

TorchBackendOption = Annotated[
    str | None,
    typer.Option(help="Which build of PyTorch: cpu, cu128, …, or auto: the platform's package index decides.", metavar="BUILD"),
]
