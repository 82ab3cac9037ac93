"""``raylift models alias``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.traffic import AliasView
from raylift.cli.names import ModelArgument
from raylift.cli.printing import print_table, say
from raylift.cli.session import Session, command

app = typer.Typer(help="MLflow aliases, which requests and traffic tables may name.", no_args_is_help=True)

Alias = Annotated[str, typer.Argument(help="The alias, e.g. champion.", show_default=False)]


@command(app, "list")
def list_aliases(session: Session, name: ModelArgument) -> None:
    """List a model's aliases and their versions."""
    aliases = session.client.models.aliases(name)
    session.print(aliases, lambda: print_table(("alias", "version"), sorted(aliases.items())))


def _print(moved: AliasView) -> None:
    say(f"{moved.alias} of {moved.model_name} was {moved.previous_version or 'none'}, and is {moved.version or 'none'}")


@command(app, "set", AliasView, _print)
def set_alias(
    session: Session,
    name: ModelArgument,
    alias: Alias,
    version: Annotated[str, typer.Argument(help="The version to point to.", show_default=False)],
) -> Any:
    """Point an alias to a version, at once for all requests."""
    return session.client.request("PUT", paths.alias(name, alias), json={"version": version})


@command(app, "rm", AliasView, _print)
def remove(session: Session, name: ModelArgument, alias: Alias) -> Any:
    """Delete an alias."""
    return session.client.request("DELETE", paths.alias(name, alias))
