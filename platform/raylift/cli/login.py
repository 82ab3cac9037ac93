"""``raylift login``, ``logout`` and ``whoami``."""

from __future__ import annotations

import os
import sys
import webbrowser
from typing import Annotated, Any

import typer

from raylift.api import paths
from raylift.api.access import WhoAmI
from raylift.api.security.logins import DeviceLoginView
from raylift.cli.exits import wrong_usage
from raylift.cli.printing import print_facts, say
from raylift.cli.session import Session, command
from raylift.client import RayliftError
from raylift.client.credentials import keep_key, kept_key
from raylift.client.login import sign_in_by_browser, sign_in_by_device, ways_in


def register(root: typer.Typer) -> None:
    """Add ``login``, ``logout`` and ``whoami``."""
    command(root, "login")(login)
    command(root, "logout")(logout)
    command(root, "whoami", WhoAmI, _print_me)(whoami)


def login(
    session: Session,
    key: Annotated[
        str | None,
        typer.Option(
            "--key",
            help="A key, in place of a sign-in. Without an identity provider it is asked for, or read from standard input.",
            show_default=False,
        ),
    ] = None,
    device: Annotated[bool, typer.Option("--device", help="Sign in on another device: this one has no browser.")] = False,
    workspace: Annotated[
        str | None, typer.Option(help="One of your workspaces. Default: that of your first group.", show_default=False)
    ] = None,
    port: Annotated[int, typer.Option(help="Port on loopback to which the provider leads back. 0: any.", min=0, max=65535)] = 0,
) -> None:
    """Sign in at `--url`, or keep a key for it. Later commands and the SDK send the key to that address only."""
    token = key.strip() if key is not None else _token(session, device=device, workspace=workspace, port=port)
    if not token:
        raise wrong_usage("--key", "is empty")
    with session.client.with_key(token) as client:
        me = client.whoami()
    path = keep_key(session.client.base_url, token, os.environ)  # noqa: TID251 - the CLI is a root
    say(f"{me.name}, {me.role} in the workspace {me.workspace}, at {session.client.base_url}. The key is in {path}.")


def _token(session: Session, *, device: bool, workspace: str | None, port: int) -> str:
    if device:
        return sign_in_by_device(session.client, _show_device, workspace=workspace).key
    if not sys.stdin.isatty():
        return sys.stdin.readline().strip()
    if ways_in(session.client).provider is None:
        return str(typer.prompt("Key", hide_input=True)).strip()
    return sign_in_by_browser(session.client, _open, workspace=workspace, port=port).key


def _open(url: str) -> None:
    say(f"Sign in at:\n{url}")
    webbrowser.open(url)


def _show_device(begun: DeviceLoginView) -> None:
    say(f"Open {begun.verification_uri} on any device, and enter the code {begun.user_code}.")
    if begun.verification_uri_complete:
        say(f"Or open {begun.verification_uri_complete}")


def logout(session: Session) -> None:
    """Forget the key that is kept for a platform. That of a sign-in ends; others stay valid until `raylift keys revoke`."""
    env = os.environ  # noqa: TID251 - the CLI is a root
    url = session.client.base_url
    token = kept_key(url, env)
    path = keep_key(url, None, env)
    if token is not None:
        try:
            with session.client.with_key(token) as client:
                client.request("DELETE", paths.AUTH_SESSION)
        except RayliftError as error:
            say(f"The platform did not end the session, which ends by itself: {error}")
    say(f"No key for {url} is left in {path}.")


def _print_me(me: WhoAmI) -> None:
    print_facts(
        [
            ("name", me.name),
            ("role", me.role),
            ("workspace", me.workspace),
            ("key", me.key_id),
            ("models", ", ".join(me.models or ())),
            ("may", ", ".join(me.actions)),
            ("auth", me.auth),
        ]
    )


def whoami(session: Session) -> Any:
    """Show who the platform takes you for."""
    return session.client.request("GET", paths.WHOAMI)
