"""How the command line ends: exit codes, and errors as sentences."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from raylift.api.problems import ProblemField
from raylift.client import (
    APIError,
    ConnectionFailed,
    InvalidRequest,
    JobWaitTimeout,
    NotFound,
    RayliftError,
    TooLarge,
    Unavailable,
)
from raylift.client.http.errors import described


class ExitCode(IntEnum):
    """Fixed: scripts branch on them. docs/reference/cli.md lists them."""

    OK = 0
    FAILED = 1
    """What was asked for was done and failed: the job failed, a running job cannot be deleted, the platform broke."""
    USAGE = 2
    """The command line or the request is wrong."""
    NOT_FOUND = 3
    UNAVAILABLE = 4
    """The platform cannot be reached, or says "not now"."""
    TIMEOUT = 5
    INTERRUPTED = 130


def code_of(error: RayliftError) -> ExitCode:
    """The exit code that an error ends with."""
    match error:
        case InvalidRequest() | TooLarge():
            return ExitCode.USAGE
        case NotFound():
            return ExitCode.NOT_FOUND
        case ConnectionFailed(timed_out=True) | JobWaitTimeout():
            return ExitCode.TIMEOUT
        case ConnectionFailed() | Unavailable():
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.FAILED


def sentences(error: RayliftError, *, script: str | None = None) -> str:
    """What went wrong, for people. With the path of the uploaded ``script``, its errors name file, line and column."""
    if not isinstance(error, APIError):
        return f"Error: {error}"
    lines = [f"Error: {error.detail}"]
    lines += [f"  {_located(field, script)}" for field in error.errors if not _is_said(field, error)]
    if error.retry_after is not None:
        lines.append(f"  Try again in {error.retry_after:g} s.")
    return "\n".join(lines)


def _is_said(field: ProblemField, error: APIError) -> bool:
    """Whether the one thing that is wrong is the sentence itself."""
    return len(error.errors) == 1 and field.line is None and field.detail in error.detail


def _located(field: ProblemField, script: str | None) -> str:
    if script is None or field.line is None:
        return described(field)
    column = f":{field.column}" if field.column is not None else ""
    return f"{script}:{field.line}{column}: {field.detail}"


def stop(message: str, code: ExitCode) -> typer.Exit:
    """Say why on stderr; the caller raises what is returned."""
    typer.echo(message, err=True)
    return typer.Exit(code)


def wrong_usage(what: str, message: str) -> typer.Exit:
    """End for an option's or argument's sake, in the same plain words as every other error."""
    return stop(f"Error: {what}: {message}", ExitCode.USAGE)


class PlatformGroup(TyperGroup):
    """The root of the commands: no error of the platform reaches people as a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RayliftError as error:
            raise stop(sentences(error), code_of(error)) from error
        except KeyboardInterrupt:
            raise stop("Interrupted.", ExitCode.INTERRUPTED) from None
