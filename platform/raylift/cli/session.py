"""The platform that a command talks to, and the decorator that all those commands have."""

from __future__ import annotations

import os
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import Signature, signature
from typing import Annotated, Any, TypeVar

import typer
from pydantic import BaseModel

from raylift.cli.exits import ExitCode, stop, stop_as_json
from raylift.cli.names import resolve_last, takes_job
from raylift.cli.printing import Output, print_json
from raylift.client import Client, RayliftError

View = TypeVar("View", bound=BaseModel)
Function = TypeVar("Function", bound=Callable[..., Any])

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The platform (env RAYLIFT_URL, default http://127.0.0.1:8000).", show_default=False
    ),
]
KeyOption = Annotated[
    str | None, typer.Option("--api-key", metavar="KEY", help="API key (env RAYLIFT_API_KEY).", show_default=False)
]
CaOption = Annotated[
    str | None,
    typer.Option(
        "--ca", metavar="FILE", help="Certificates that the platform's is checked with (env RAYLIFT_CA).", show_default=False
    ),
]
OutputOption = Annotated[
    Output | None,
    typer.Option("--output", "-o", help="table (default), or json: the answer or the error of the API.", show_default=False),
]
OwnerOption = Annotated[str | None, typer.Option(help="Owner of the job (env RAYLIFT_OWNER, default local).")]


@dataclass(frozen=True, slots=True)
class Defaults:
    """Options given before the command: ``raylift --url … jobs list``."""

    url: str | None = None
    api_key: str | None = None
    ca: str | None = None
    output: Output | None = None


@dataclass(frozen=True, slots=True)
class Session:
    """The client and the output format of one command."""

    client: Client
    as_json: bool

    def print(self, answer: Any, show: Callable[[], None]) -> None:
        """Print an answer of the API: as JSON with ``--output json``, else by ``show``."""
        if self.as_json:
            print_json(answer)
        else:
            show()


def command(
    app: typer.Typer,
    name: str,
    view: type[View] | None = None,
    show: Callable[[View], None] | None = None,
    *,
    takes_owner: bool = False,
    takes_output: bool = True,
) -> Callable[[Function], Function]:
    """Register a command that talks to the platform.

    The command gets an open session as its first argument and returns the API's answer, which is printed: as JSON with
    ``--output json``, else as a ``view`` by ``show``. Without these two the command prints by itself. In an argument that is a
    job's id, ``@last`` is the newest job.

    The decorator adds ``--url``, ``--api-key``, ``--ca`` and ``--output``; with ``takes_owner`` also ``--owner``. A command
    whose own ``--output`` is a file gets none: its format is set before it (``raylift --output json batch …``). Errors of the
    platform become exit codes in ``PlatformGroup``.
    """

    def register(function: Function) -> Function:
        _, *own = signature(function, eval_str=True).parameters.values()
        context, owner, *shared = signature(open_session, eval_str=True).parameters.values()
        shared = shared if takes_output else [option for option in shared if option.name != "output"]
        added = [owner, *shared] if takes_owner else shared
        jobs = frozenset(parameter.name for parameter in own if takes_job(parameter.annotation))

        def run(ctx: typer.Context, **values: Any) -> Any:
            options = {option.name: values.pop(option.name) for option in added}
            with open_session(ctx, **options) as session:
                answer = function(session, **resolve_last(session.client, values, jobs))
                if view is None or show is None:
                    return answer
                if session.as_json:
                    print_json(answer)
                else:
                    show(view.model_validate(answer))
                return None

        run.__doc__ = function.__doc__
        run.__signature__ = Signature([context, *own, *added])  # pyright: ignore[reportFunctionMemberAccess] # For Typer.
        app.command(name)(run)
        return function

    return register


def certificates(ctx: typer.Context, ca: str | None) -> str | None:
    """Return the file that the platform's certificate is checked with, as the client finds it; None: the system's."""
    return ca or _defaults(ctx).ca or os.environ.get("RAYLIFT_CA") or None  # noqa: TID251


def output_format(ctx: typer.Context, output: Output | None) -> Output:
    return output or _defaults(ctx).output or Output.TABLE


@contextmanager
def open_session(
    ctx: typer.Context,
    owner: OwnerOption = None,
    url: UrlOption = None,
    api_key: KeyOption = None,
    ca: CaOption = None,
    output: OutputOption = None,
) -> Generator[Session]:
    """Session of one command. Options after the command override those before it."""
    defaults = _defaults(ctx)
    try:
        client = Client(url or defaults.url, api_key or defaults.api_key, owner=owner, ca=ca or defaults.ca)
    except ValueError as error:
        raise stop(f"Error: {error}", ExitCode.USAGE) from error
    as_json = output_format(ctx, output) is Output.JSON
    with client:
        try:
            yield Session(client, as_json=as_json)
        except RayliftError as error:
            if not as_json:
                raise
            raise stop_as_json(error) from error


def _defaults(ctx: typer.Context) -> Defaults:
    return ctx.find_object(Defaults) or Defaults()
