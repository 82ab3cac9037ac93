"""``raylift keys``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.access import KeyList, KeyView, NewKeyView
from raylift.cli.printing import age, echo, print_facts, print_table, say
from raylift.cli.session import Session, command
from raylift.domain.access import Role
from raylift.domain.identifiers import DEFAULT_WORKSPACE

app = typer.Typer(help="Keys of users and programs. Needs the role admin.", no_args_is_help=True)

KeyArgument = Annotated[str, typer.Argument(metavar="KEY_ID", help="The visible part of the key.", show_default=False)]


def _print_new(created: NewKeyView) -> None:
    _print_key(created)
    say("The key, which is shown this once:")
    echo(created.key)


def _print_key(key: KeyView) -> None:
    print_facts(
        [
            ("id", key.key_id),
            ("name", key.name),
            ("role", key.role),
            ("workspace", key.workspace),
            ("models", ", ".join(key.models)),
            ("expires", key.expires_at),
            ("revoked", key.revoked_at),
        ]
    )


def _print_list(found: KeyList) -> None:
    columns = ("id", "name", "role", "workspace", "models", "state", "last used")
    print_table(
        columns,
        ((k.key_id, k.name, k.role, k.workspace, ", ".join(k.models), _state(k), _age(k)) for k in found.keys),
    )


def _age(key: KeyView) -> str:
    return "never" if key.last_used_at is None else age(key.last_used_at)


def _state(key: KeyView) -> str:
    if key.revoked_at is not None:
        return "revoked"
    return "valid" if key.expires_at is None else f"until {key.expires_at:%Y-%m-%d %H:%M}"


@command(app, "create", NewKeyView, _print_new)
def create(
    session: Session,
    name: Annotated[str, typer.Argument(help="Name of the user or program.", show_default=False)],
    role: Annotated[Role, typer.Option(help="Each role may do what those before it may.")] = Role.VIEWER,
    workspace: Annotated[str, typer.Option(help="Workspace whose jobs and models it sees.")] = DEFAULT_WORKSPACE,
    model: Annotated[list[str] | None, typer.Option(help="Only predict with this model; may be repeated.")] = None,
    expires_days: Annotated[float | None, typer.Option(help="Days until it expires. Default: never.")] = None,
) -> Any:
    """Create a key, and show it once."""
    body = {"name": name, "role": role, "workspace": workspace, "models": model or [], "expires_days": expires_days}
    return session.client.request("POST", paths.KEYS, json=body)


@command(app, "list", KeyList, _print_list)
def list_keys(session: Session) -> Any:
    """List all keys, without their secrets."""
    return session.client.request("GET", paths.KEYS)


@command(app, "revoke", KeyView, _print_key)
def revoke(session: Session, key_id: KeyArgument) -> Any:
    """Revoke a key. It stops within five seconds, everywhere."""
    return session.client.request("DELETE", paths.key(key_id))


@command(app, "rotate", NewKeyView, _print_new)
def rotate(
    session: Session,
    key_id: KeyArgument,
    grace_hours: Annotated[float, typer.Option(help="Hours for which the former key still works.", min=0, max=720)] = 24.0,
) -> Any:
    """Create a key of the same rights in place of another."""
    return session.client.request("POST", paths.key_rotation(key_id), json={"grace_hours": grace_hours})
