"""The words after ``--`` of ``raylift schedule create``: a command that the schedule runs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, Final

import typer

from raylift.cli.exits import wrong_usage
from raylift.cli.jobs.batches import batch, batch_options
from raylift.cli.jobs.train import require_entrypoint, train, train_options

_OF_ONE_UPLOAD: Final = ("sweep", "sweep_as", "metric", "mode", "register_best", "max_parallel", "follow", "idempotency_key",
                         "dry_run", "check")  # fmt: skip
"""Options of ``raylift train`` that a schedule cannot have."""
_FORM: Final = "write it after --, e.g. raylift schedule create nightly --cron '0 3 * * *' -- train train.py --model churn"


@dataclass(frozen=True, slots=True)
class TemplateCommand:
    """A command as arguments of ``client.schedules.create``."""

    script: Path | None
    options: dict[str, Any]


def read_command(words: list[str]) -> TemplateCommand | None:
    """Return what the words say; None where there are none. Exits with code 2 for a wrong command."""
    if not words:
        return None
    name, *arguments = words
    if name not in _COMMANDS:
        raise wrong_usage("-- COMMAND", f"a schedule runs `train` or `batch`, not {name!r}: {_FORM}")
    command, read = _COMMANDS[name]
    try:
        values = _parser(command).main(arguments, prog_name=f"raylift schedule create … -- {name}", standalone_mode=False)
    except typer.TyperException as error:
        raise wrong_usage(f"-- {name}", error.format_message()) from error
    return read(values)


def _train(values: dict[str, Any]) -> TemplateCommand:
    script: Path = values.pop("script")
    for option in _OF_ONE_UPLOAD:
        if values.pop(option) != _DEFAULTS[option]:
            raise wrong_usage(f"--{option.replace('_', '-')}", "is not for a schedule, which makes one job at a time")
    require_entrypoint(script, values["entrypoint"])
    return TemplateCommand(script, train_options(**values))


def _batch(values: dict[str, Any]) -> TemplateCommand:
    if values.pop("no_wait"):
        raise wrong_usage("--no-wait", "is not for a schedule, which does not wait")
    own = {"model": values.pop("model"), "input": values.pop("input_"), "output": values.pop("output")}
    return TemplateCommand(None, {"batch": {**own, **batch_options(**values)}})


def _own(command: Callable[..., Any]) -> list[Parameter]:
    return list(signature(command, eval_str=True).parameters.values())[1:]


_DEFAULTS: Final = {parameter.name: parameter.default for parameter in _own(train)}
_COMMANDS: Final[dict[str, tuple[Callable[..., Any], Callable[[dict[str, Any]], TemplateCommand]]]] = {
    "train": (train, _train),
    "batch": (batch, _batch),
}


def _parser(command: Callable[..., Any]) -> Any:
    """Return a command of ``raylift`` that only reads its arguments."""

    def read(**values: Any) -> dict[str, Any]:
        return values

    read.__signature__ = Signature(_own(command))  # pyright: ignore[reportFunctionMemberAccess] # For Typer.
    app = typer.Typer(add_completion=False)
    app.command()(read)
    return typer.main.get_command(app)
