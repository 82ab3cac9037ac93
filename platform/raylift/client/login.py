"""Signing in with the platform's identity provider: in a browser of this machine, or on another device."""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any, Final
from urllib.parse import parse_qs, urlsplit

from raylift.api.access import NewKeyView
from raylift.api.paths import AUTH, LOGIN, LOGIN_DEVICE, LOGIN_OF_DEVICE, LOGIN_PAGE
from raylift.api.security.logins import AuthView, DeviceLoginView, LoginPage
from raylift.client.client import Client
from raylift.client.http.errors import RayliftError

BROWSER_SECONDS: Final = 300.0
_PAGE: Final = (
    b'<!doctype html><meta charset="utf-8"><title>Raylift</title><p>The command line goes on. You may close this page.</p>'
)


class SignInFailed(RayliftError):
    """The person did not sign in."""


def ways_in(client: Client) -> AuthView:
    """Return whether the platform asks for keys, and its identity provider."""
    return AuthView.model_validate(client.request("GET", AUTH))


def sign_in_by_browser(
    client: Client,
    show: Callable[[str], None],
    *,
    workspace: str | None = None,
    port: int = 0,
    seconds: float = BROWSER_SECONDS,
) -> NewKeyView:
    """Wait until the provider sends the browser to a port of this machine, and return the key for it.

    Args:
        client: Of the platform. It needs no key.
        show: Called with the address of the provider's page.
        workspace: One of the person's workspaces; None: the first.
        port: Port on loopback, where the provider knows only one. 0: any.
        seconds: Time for the person.

    Raises:
        SignInFailed: the person refused, or did not come back in time.
        RayliftError: the platform refuses the person, or does not answer.
    """
    state, nonce, verifier = (secrets.token_urlsafe(size) for size in (24, 24, 48))
    challenge = base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()
    try:
        server = _Callback(port, state)
    except OSError as error:
        raise SignInFailed(f"Port {port} of this machine is not free: {error.strerror}.") from error
    with server:
        redirect_uri = f"http://127.0.0.1:{server.server_port}/"
        asked = {"redirect_uri": redirect_uri, "state": state, "nonce": nonce, "challenge": challenge}
        show(LoginPage.model_validate(client.request("POST", LOGIN_PAGE, json=asked)).url)
        code = server.wait(seconds)
    proof = {"code": code, "verifier": verifier, "redirect_uri": redirect_uri, "nonce": nonce, "workspace": workspace}
    return NewKeyView.model_validate(client.request("POST", LOGIN, json=proof))


def sign_in_by_device(
    client: Client,
    show: Callable[[DeviceLoginView], None],
    *,
    workspace: str | None = None,
    sleep: Callable[[float], None] = time.sleep,
) -> NewKeyView:
    """Wait until the person has confirmed on another device. Raises as ``sign_in_by_browser`` does."""
    begun = DeviceLoginView.model_validate(client.request("POST", LOGIN_DEVICE))
    show(begun)
    left = float(begun.expires_in)
    while left > 0:
        sleep(begun.interval)
        left -= max(begun.interval, 1)
        proof = {"device_code": begun.device_code, "workspace": workspace}
        answer: Any = client.request("POST", LOGIN_OF_DEVICE, json=proof)
        if "key" in answer:
            return NewKeyView.model_validate(answer)
    raise SignInFailed("Nobody confirmed in time. Sign in again.")


class _Callback(HTTPServer):
    """Loopback listener for one answer of the provider (RFC 8252)."""

    def __init__(self, port: int, state: str) -> None:
        self.state = state
        self.answer: dict[str, str] | None = None
        super().__init__(("127.0.0.1", port), _Handler)

    def wait(self, seconds: float) -> str:
        end = time.monotonic() + seconds
        while self.answer is None:
            self.timeout = end - time.monotonic()
            if self.timeout <= 0:
                raise SignInFailed(f"Nobody signed in within {seconds:.0f} seconds. Without a browser: raylift login --device")
            self.handle_request()
        if "code" not in self.answer:
            raise SignInFailed(f"The provider did not sign you in: {self.answer.get('error', 'it sent no code')[:100]}.")
        return self.answer["code"]


class _Handler(BaseHTTPRequestHandler):
    server: _Callback  # pyright: ignore[reportIncompatibleVariableOverride]
    timeout = 5

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        given = {name: values[0] for name, values in parse_qs(parts.query).items()}
        # Any page can call this port. Only the provider knows the state.
        is_ours = parts.path == "/" and hmac.compare_digest(given.get("state", "").encode(), self.server.state.encode())
        self.send_response(200 if is_ours else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(_PAGE) if is_ours else 0))
        self.send_header("Referrer-Policy", "no-referrer")
        self.end_headers()
        if is_ours:
            self.wfile.write(_PAGE)
            self.server.answer = given

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the name of the base class
        """Print nothing: the address has the code."""
