"""The words after ``--`` of ``raylift schedule create``: a command that the schedule runs."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, Final

import typer

from raylift.cli.exits import wrong_usage
from raylift.cli.jobs.train import require_entrypoint, train, train_options

_OF_ONE_UPLOAD: Final = ("sweep", "sweep_as", "metric", "mode", "register_best", "max_parallel", "follow", "idempotency_key",
                         "dry_run", "check")  # fmt: skip
"""Options of ``raylift train`` that a schedule cannot have."""
_FORM: Final = "write it after --, e.g. raylift schedule create nightly --cron '0 3 * * *' -- train train.py --model churn"


@dataclass(frozen=True, slots=True)
class TrainCommand:
    """A script and the options of ``Client.train``."""

    script: Path
    options: dict[str, Any]


def read_command(words: list[str]) -> TrainCommand | None:
    """Return what the words say; None where there are none. Exits with code 2 for a wrong command."""
    if not words:
        return None
    name, *arguments = words
    if name != "train":
        raise wrong_usage("-- COMMAND", f"a schedule runs `train`, not {name!r}: {_FORM}")
    try:
        values = _parser().main(arguments, prog_name="raylift schedule create … -- train", standalone_mode=False)
    except typer.TyperException as error:
        raise wrong_usage("-- train", error.format_message()) from error
    script: Path = values.pop("script")
    for option in _OF_ONE_UPLOAD:
        if values.pop(option) != _DEFAULTS[option]:
            raise wrong_usage(f"--{option.replace('_', '-')}", "is not for a schedule, which makes one job at a time")
    require_entrypoint(script, values["entrypoint"])
    return TrainCommand(script, train_options(**values))


_OWN: Final[list[Parameter]] = list(signature(train, eval_str=True).parameters.values())[1:]
_DEFAULTS: Final = {parameter.name: parameter.default for parameter in _OWN}


def _parser() -> Any:
    """Return ``raylift train`` as a command that only reads its arguments."""

    def read(**values: Any) -> dict[str, Any]:
        return values

    read.__signature__ = Signature(_OWN)  # pyright: ignore[reportFunctionMemberAccess] # For Typer.
    app = typer.Typer(add_completion=False)
    app.command()(read)
    return typer.main.get_command(app)
