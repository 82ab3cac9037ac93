"""Decision whether the API may listen on an address that other machines reach."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final

from raylift.launcher.errors import LauncherError
from raylift.launcher.run.config import LocalConfig
from raylift.settings import AuthMode

_EVERY_ADDRESS: Final = ("0.0.0.0", "::")  # noqa: S104 - compared, not bound


class OpenWithoutAuthentication(LauncherError):
    """The API would run code for every program that reaches its port."""


def require_authentication(config: LocalConfig) -> None:
    """Raise OpenWithoutAuthentication where other machines reach the API and nothing asks who they are."""
    if is_loopback(config.host) or has_authentication(config) or config.insecure_no_auth:
        return
    raise OpenWithoutAuthentication(
        f"host is {config.host}: everybody who reaches that address could run code as the platform's user, because the API "
        "does not ask who calls it.",
        hint="Require keys: raylift up --auth keys (docs/guides/access.md). If a firewall or a container keeps others away, "
        "insist: raylift up --insecure-no-auth (in a file: insecure_no_auth: true).",
    )


def require_node_address(config: LocalConfig) -> None:
    """Raise LauncherError where other machines may join, but ``host`` is no address at which they reach this one."""
    if not config.accept_nodes:
        return
    try:
        address = ip_address(config.host)
    except ValueError:
        address = None
    if address is None or address.is_loopback or address.is_unspecified:
        raise LauncherError(
            f"host is {config.host}: machines that join need the one address at which they reach this machine.",
            hint="Name it, e.g. raylift up --host 10.0.0.5 --accept-nodes --auth keys (docs/guides/nodes.md).",
        )


def has_authentication(config: LocalConfig) -> bool:
    """Return True where every request needs a key."""
    return config.auth is AuthMode.KEYS


def names_note(config: LocalConfig) -> str | None:
    """Return a sentence where other machines reach the API, but by no name that it answers for; else None."""
    if config.gateway.allowed_hosts or config.host not in _EVERY_ADDRESS:
        return None
    return "Other machines get 403 until you say by which names they call this one: raylift up --allowed-host NAME."


def is_loopback(host: str) -> bool:
    """Return True for an address or a name that only this machine reaches."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"
