"""Exit codes of the command line, and error messages."""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any

import typer
from typer.core import TyperGroup

from raylift.api.problems import ProblemField
from raylift.cli.printing import echo
from raylift.client import (
    APIError,
    ConnectionFailed,
    InvalidRequest,
    JobWaitTimeout,
    NotFound,
    RayliftError,
    RolloutWaitTimeout,
    TooLarge,
    Unavailable,
)
from raylift.client.http.errors import described


class ExitCode(IntEnum):
    """Stable codes: scripts branch on them. docs/reference/cli.md lists them."""

    OK = 0
    FAILED = 1
    """The operation failed: the job failed, a running job cannot be deleted, the platform has a defect."""
    USAGE = 2
    """The command line or the request is wrong."""
    NOT_FOUND = 3
    UNAVAILABLE = 4
    """The platform cannot be reached, or cannot answer now."""
    TIMEOUT = 5
    INTERRUPTED = 130


def code_of(error: RayliftError) -> ExitCode:
    match error:
        case InvalidRequest() | TooLarge():
            return ExitCode.USAGE
        case NotFound():
            return ExitCode.NOT_FOUND
        case ConnectionFailed(timed_out=True) | JobWaitTimeout() | RolloutWaitTimeout():
            return ExitCode.TIMEOUT
        case ConnectionFailed() | Unavailable():
            return ExitCode.UNAVAILABLE
        case _:
            return ExitCode.FAILED


def sentences(error: RayliftError, *, script: str | None = None) -> str:
    """Error message for people. With the path of the uploaded ``script``, errors in it name file, line and column."""
    if not isinstance(error, APIError):
        return f"Error: {error}"
    lines = [f"Error: {error.detail}"]
    lines += [f"  {_located(field, script)}" for field in error.errors if not _repeats_detail(field, error)]
    if error.retry_after is not None:
        lines.append(f"  Try again in {error.retry_after:g} s.")
    return "\n".join(lines)


def _repeats_detail(field: ProblemField, error: APIError) -> bool:
    return len(error.errors) == 1 and field.line is None and field.detail in error.detail


def _located(field: ProblemField, script: str | None) -> str:
    if script is None or field.line is None:
        return described(field)
    column = f":{field.column}" if field.column is not None else ""
    return f"{script}:{field.line}{column}: {field.detail}"


def stop(message: str, code: ExitCode) -> typer.Exit:
    """Print a message on stderr and return the exception for the caller to raise."""
    echo(message, err=True)
    return typer.Exit(code)


def stop_as_json(error: RayliftError) -> typer.Exit:
    """Print an error on stderr as a problem document, and return the exception for the caller to raise."""
    return stop(json.dumps(problem_of(error), indent=2, ensure_ascii=False), code_of(error))


def problem_of(error: RayliftError) -> dict[str, Any]:
    """The error as a problem document. One without an answer of the platform has the status 0."""
    if not isinstance(error, APIError):
        code = "connection_failed" if isinstance(error, ConnectionFailed) else "failed"
        return {"status": 0, "code": code, "detail": str(error)}
    document = {"status": error.status, "code": error.code, "detail": error.detail}
    return {**error.problem, **document}


def wrong_usage(what: str, message: str) -> typer.Exit:
    """Like ``stop``, for a wrong option or argument ``what``."""
    return stop(f"Error: {what}: {message}", ExitCode.USAGE)


class PlatformGroup(TyperGroup):
    """Root of all commands. Turns errors of the platform into messages and exit codes, without a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except RayliftError as error:
            raise stop(sentences(error), code_of(error)) from error
        except KeyboardInterrupt:
            raise stop("Interrupted.", ExitCode.INTERRUPTED) from None
