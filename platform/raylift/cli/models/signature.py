"""``raylift models signature``."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.models import SignatureView
from raylift.cli.exits import ExitCode, stop
from raylift.cli.names import complete_model
from raylift.cli.printing import echo, print_table, say
from raylift.cli.session import Session, command

Reference = Annotated[
    str,
    typer.Argument(
        metavar="NAME[@VERSION]",
        help="The model, or one version of it; default: the newest.",
        show_default=False,
        autocompletion=complete_model,
    ),
]


def register(app: typer.Typer) -> None:
    command(app, "signature", SignatureView, _print)(signature)


def signature(session: Session, reference: Reference) -> Any:
    """Show the inputs of a version, with an example. Starts no process."""
    name, _, version = reference.partition("@")
    if not version:
        versions = session.client.request("GET", paths.model(name))["versions"]
        if not versions:
            raise stop(f"Error: {name} has no version", ExitCode.NOT_FOUND)
        version = str(versions[0]["model_version"])
    return session.client.request("GET", paths.signature(name, version))


def _print(found: SignatureView) -> None:
    say(f"{found.model_name} version {found.model_version}")
    if found.inputs:
        print_table(("column", "type", "required"), ((row.name, row.type, row.required) for row in found.inputs))
    if found.tensors:
        print_table(("tensor", "type", "shape"), ((row.name, row.dtype, row.shape) for row in found.tensors))
    if found.params:
        print_table(("parameter", "type", "default"), ((row.name, row.type, row.default) for row in found.params))
    if not (found.inputs or found.tensors):
        say("It was logged without a signature: it takes what its library takes.")
    if found.example is not None:
        echo("")
        echo(f"example: {json.dumps(found.example, ensure_ascii=False)}")
