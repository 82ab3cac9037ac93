"""``raylift models alias``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.traffic import AliasView
from raylift.cli.printing import print_json, print_table, say
from raylift.cli.session import KeyOption, OutputOption, UrlOption, session

app = typer.Typer(help="MLflow aliases, which requests and traffic tables may name.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The model.", show_default=False)]
Alias = Annotated[str, typer.Argument(help="The alias, e.g. champion.", show_default=False)]


@app.command("list")
def list_aliases(
    ctx: typer.Context, name: Name, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """List a model's aliases, with the versions that they stand for."""
    with session(ctx, url, api_key, output) as here:
        aliases = here.client.models.aliases(name)
        if here.as_json:
            print_json(aliases)
        else:
            print_table(("alias", "version"), sorted(aliases.items()))


@app.command("set")
def set_alias(
    ctx: typer.Context,
    name: Name,
    alias: Alias,
    version: Annotated[str, typer.Argument(help="The version that it stands for.", show_default=False)],
    url: UrlOption = None,
    api_key: KeyOption = None,
    output: OutputOption = None,
) -> None:
    """Let an alias stand for a version. Requests follow at once."""
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("PUT", paths.alias(name, alias), json={"version": version}), here.as_json)


@app.command("rm")
def remove(
    ctx: typer.Context, name: Name, alias: Alias, url: UrlOption = None, api_key: KeyOption = None, output: OutputOption = None
) -> None:
    """Take an alias away."""
    with session(ctx, url, api_key, output) as here:
        _print(here.client.request("DELETE", paths.alias(name, alias)), here.as_json)


def _print(answer: Any, as_json: bool) -> None:
    if as_json:
        print_json(answer)
        return
    moved = AliasView.model_validate(answer)
    say(f"{moved.alias} of {moved.model_name} was {moved.previous_version or 'none'}, and is {moved.version or 'none'}")
