"""What every command shares: where the platform is, with which key, and how to print."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated

import typer

from raylift.cli.exits import ExitCode, stop
from raylift.cli.printing import Output
from raylift.client import Client

UrlOption = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The platform (env RAYLIFT_URL, default http://127.0.0.1:8000).", show_default=False
    ),
]
KeyOption = Annotated[
    str | None, typer.Option("--api-key", metavar="KEY", help="API key (env RAYLIFT_API_KEY).", show_default=False)
]
OutputOption = Annotated[
    Output | None, typer.Option("--output", "-o", help="table (default) or json, as the API gave it.", show_default=False)
]


@dataclass(frozen=True, slots=True)
class Defaults:
    """What was said before the command: ``raylift --url … jobs list``."""

    url: str | None = None
    api_key: str | None = None
    output: Output | None = None


@dataclass(frozen=True, slots=True)
class Session:
    client: Client
    output: Output

    @property
    def as_json(self) -> bool:
        return self.output is Output.JSON


@contextmanager
def session(
    ctx: typer.Context, url: str | None, api_key: str | None, output: Output | None, owner: str | None = None
) -> Generator[Session]:
    """A client for one command. What stands after the command wins over what stands before it."""
    defaults = ctx.find_object(Defaults) or Defaults()
    try:
        client = Client(url or defaults.url, api_key or defaults.api_key, owner=owner)
    except ValueError as error:
        raise stop(f"Error: {error}", ExitCode.USAGE) from error
    with client:
        yield Session(client, chosen(ctx, output))


def chosen(ctx: typer.Context, output: Output | None) -> Output:
    return output or (ctx.find_object(Defaults) or Defaults()).output or Output.TABLE
