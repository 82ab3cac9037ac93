"""``raylift secrets``. Values come from a prompt, standard input or a file: other users can read command lines."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.secrets import SecretList, SecretView
from raylift.cli.exits import wrong_usage
from raylift.cli.printing import cell, print_table, say
from raylift.cli.session import Session, command

app = typer.Typer(help="Values that only scripts read: passwords, tokens, keys.", no_args_is_help=True)

Name = Annotated[str, typer.Argument(help="The secret.", show_default=False)]


def _print_list(found: SecretList) -> None:
    rows = [(each.name, ", ".join(each.variables), cell(each.updated_at), each.updated_by) for each in found.secrets]
    print_table(("name", "variables", "updated", "by"), rows)


@command(app, "list", SecretList, _print_list)
def list_secrets(session: Session) -> Any:
    """List all secrets with their variables. Values are never shown."""
    return session.client.request("GET", paths.SECRETS)


def _print(secret: SecretView) -> None:
    say(f"{secret.name} is stored: {', '.join(secret.variables)}. Jobs get it with: raylift train --secret {secret.name}")


@command(app, "set", SecretView, _print)
def set_secret(
    session: Session,
    name: Name,
    key: Annotated[
        list[str] | None,
        typer.Option("--key", metavar="VARIABLE", help="Variable, in place of one with the secret's name; may be repeated."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", help="File whose text is the value.", exists=True, dir_okay=False)
    ] = None,
    env_file: Annotated[
        Path | None, typer.Option("--env-file", help="File of lines VARIABLE=VALUE.", exists=True, dir_okay=False)
    ] = None,
) -> Any:
    """Store a secret, or replace all values of an existing one.

    The value is asked for; if standard input is no terminal, all of it is the value, without the line's end. A secret has one
    variable with its own name, or those of --key or --env-file.
    """
    if sum(each is not None for each in (key or None, file, env_file)) > 1:
        raise wrong_usage("--key, --file, --env-file", "only one of them can be given")
    if len(key or ()) > 1 and not sys.stdin.isatty():
        raise wrong_usage("--key", "several values can be asked for on a terminal only; use --env-file /dev/stdin")
    try:
        variables = read_env_file(env_file) if env_file else {one: _value(one, file) for one in key or [name]}
    except (OSError, ValueError) as error:
        raise wrong_usage(str(env_file or file or "standard input"), str(error)) from error
    return session.client.request("PUT", paths.secret(name), json={"variables": variables})


@command(app, "rm")
def remove(session: Session, name: Name) -> None:
    """Delete a secret. A job that names it and has not started yet will fail."""
    session.client.secrets.delete(name)
    say(f"{name} is deleted")


def _value(variable: str, file: Path | None) -> str:
    if file is not None:
        return file.read_text(encoding="utf-8").removesuffix("\n")
    if sys.stdin.isatty():
        return typer.prompt(f"Value of {variable}", hide_input=True, err=True)
    return sys.stdin.read().removesuffix("\n")


def read_env_file(file: Path) -> dict[str, str]:
    """Read lines ``VARIABLE=VALUE``, with comments, ``export`` and values in quotes. Nothing is expanded.

    Raises:
        ValueError: a line has another form; the message does not repeat it.
    """
    variables: dict[str, str] = {}
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip().removeprefix("export ").strip()
        if not text or text.startswith("#"):
            continue
        name, equals, value = text.partition("=")
        if not equals or not name.strip():
            raise ValueError(f"line {number} is not of the form VARIABLE=VALUE")
        variables[name.strip()] = _unquoted(value.strip())
    return variables


def _unquoted(value: str) -> str:
    return value[1:-1] if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'" else value
