"""Ids of jobs and names of models on the command line: their completion, and ``@last``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Final

import typer
from typer.models import ArgumentInfo, OptionInfo

from raylift.api import paths
from raylift.api.models import ModelList
from raylift.api.training import JobPage
from raylift.cli.exits import ExitCode, stop
from raylift.client import Client, RayliftError

LAST: Final = "@last"
"""Names the newest job of the caller."""
_SHOWN: Final = 50
_SECONDS: Final = 2.0
"""A shell waits for completions."""


def complete_job(incomplete: str) -> list[tuple[str, str]]:
    """Return ids of the newest jobs, with their status and model."""

    def read(client: Client) -> list[tuple[str, str]]:
        page = JobPage.model_validate(client.request("GET", paths.JOBS, params={"limit": _SHOWN}))
        found = [(job.job_id, f"{job.status} {job.model_name or job.experiment_name}") for job in page.jobs]
        return [(LAST, "the newest job"), *found]

    return _completions(incomplete, read)


def complete_model(incomplete: str) -> list[tuple[str, str]]:
    """Return names of the registered models."""

    def read(client: Client) -> list[tuple[str, str]]:
        found = ModelList.model_validate(client.request("GET", paths.MODELS)).models
        return [(model.model_name, f"version {model.latest_version}") for model in found]

    return _completions(incomplete, read)


def _completions(incomplete: str, read: Callable[[Client], list[tuple[str, str]]]) -> list[tuple[str, str]]:
    try:
        with Client(timeout=_SECONDS) as client:
            found = read(client)
    except (RayliftError, ValueError):  # A shell cannot show an error between two keystrokes.
        return []
    return [(name, described) for name, described in found if name.startswith(incomplete)]


JobArgument = Annotated[
    str,
    typer.Argument(
        metavar="JOB", help="Id of the job, or @last for the newest.", show_default=False, autocompletion=complete_job
    ),
]
ModelArgument = Annotated[str, typer.Argument(help="The model.", show_default=False, autocompletion=complete_model)]


def takes_job(annotation: Any) -> bool:
    """Return True for the annotation of an argument or option that is a job's id."""
    declared = [part for part in getattr(annotation, "__metadata__", ()) if isinstance(part, ArgumentInfo | OptionInfo)]
    return any(part.autocompletion is complete_job for part in declared)


def resolve_last(client: Client, values: Mapping[str, Any], jobs: frozenset[str]) -> dict[str, Any]:
    """Replace ``@last`` in the values of the parameters ``jobs``."""
    wanted = {name for name in jobs if values.get(name) == LAST}
    return {**values, **dict.fromkeys(wanted, last_job(client))} if wanted else dict(values)


def last_job(client: Client) -> str:
    """Return the id of the newest job: of the client's owner if it names one, with a key of the key's name."""
    owner = client.owner
    page = JobPage.model_validate(client.request("GET", paths.JOBS, params={"owner": owner, "limit": 1}))
    if not page.jobs:
        raise stop(f"Error: {LAST}: {f'{owner} has' if owner else 'there is'} no job", ExitCode.NOT_FOUND)
    return page.jobs[0].job_id
