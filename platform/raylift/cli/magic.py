"""``%load_ext raylift``: the command line in a notebook, and the cell as a training script."""

from __future__ import annotations

import shlex
import tempfile
from pathlib import Path
from typing import Any, Final

import typer

from raylift.cli.app import app
from raylift.cli.printing import say
from raylift.client import Client, Job, Sweep

_SCRIPT: Final = "cell.py"
_USAGE_ERROR: Final[Any] = typer.BadParameter.__base__
"""Base class of usage errors: click's, which some releases of Typer carry inside."""


def register(shell: Any) -> None:
    shell.register_magic_function(raylift, "line_cell", "raylift")


def raylift(line: str, cell: str | None = None) -> Any:
    """Run a command of ``raylift``. With ``%%raylift train …``, the cell is the script; its job or sweep is the result.

    %raylift jobs list
    %%raylift train --model churn --requirements scikit-learn
    """
    words = shlex.split(line)
    if cell is None:
        return _run(words)
    if words[:1] != ["train"]:
        say("Error: a cell is a script: write %%raylift train --model NAME")
        return None
    with tempfile.TemporaryDirectory(prefix="raylift-cell-") as folder:
        script = Path(folder, _SCRIPT)
        script.write_text(cell, encoding="utf-8")
        return _run(["train", str(script), *words[1:]])


def _run(words: list[str]) -> Any:
    try:
        result = app(words, prog_name="raylift", standalone_mode=False)
    except _USAGE_ERROR as error:
        error.show()
        return None
    # Of a command that ends with an exit code, the message is all there is to show.
    return _reopened(result) if isinstance(result, Job | Sweep) else None


def _reopened(made: Job | Sweep) -> Job | Sweep:
    """Return a handle with a client of its own: that of the command is closed."""
    client = Client(made.base_url)
    return client.jobs.get(made.job_id) if isinstance(made, Job) else client.sweeps.get(made.sweep_id)
