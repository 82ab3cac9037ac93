"""Prints what an upload would do: ``raylift train --dry-run`` and ``--check``."""

from __future__ import annotations

from raylift.api.training import UploadCheck
from raylift.cli.exits import ExitCode, code_of, sentences, stop
from raylift.cli.printing import echo, print_facts, say
from raylift.client import InvalidRequest


def print_check(found: UploadCheck) -> None:
    """Print warnings about the script alone."""
    for note in found.notes:
        echo(note)
    if not found.notes:
        say(f"{found.script_name}: no warnings")


def print_dry_run(found: UploadCheck) -> None:
    wanted = found.resources
    print_facts(
        [
            ("would make", "1 job" if found.jobs == 1 else f"{found.jobs} jobs of one sweep"),
            ("script", found.entrypoint or found.script_name),
            ("experiment", found.experiment_name),
            ("model", found.model_name or "none is registered"),
            ("requirements", ", ".join(found.requirements) or "none beyond the platform's own packages"),
            ("from", found.requirements_source),
            ("asks for", f"{wanted!s}, {found.timeout_seconds} s at most"),
            ("data", ", ".join(f"{alias}={named}" for alias, named in found.data.items())),
            ("makes dataset", found.output_dataset),
            ("comes after", ", ".join(found.after)),
            ("fits", ", ".join(found.nodes) or "no node is known now"),
            ("place", found.queue_position),
            ("waits for", found.waits_for or "nothing: it would start now"),
            ("isolation", f"{found.isolation}, network {found.network}"),
            ("owner", found.owner),
        ]
    )
    for note in found.notes:
        say(f"Note: {note}")
    say("Nothing was stored.")


def refused(error: InvalidRequest, script: str, *, is_check: bool) -> Exception:
    """Return the exception for the caller to raise: of a check, an error in the script's source is a failed check."""
    is_syntax = any(field.line is not None for field in error.errors)
    return stop(sentences(error, script=script), ExitCode.FAILED if is_check and is_syntax else code_of(error))
