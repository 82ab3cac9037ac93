"""HTTP requests to addresses that users choose, without letting them reach the platform's own network.

The name is resolved once, each of its addresses is checked, and the connection goes to exactly that address, with the name for
TLS and ``Host``. Redirects and proxies are not followed, so no other address is asked.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import httpcore
import httpx

from raylift.access_settings import WebhookSettings
from raylift.domain.webhooks.addresses import Network, in_allowed_network, is_allowed
from raylift.domain.webhooks.delivery import MAX_ANSWER, Answer

Resolve = Callable[[str, int], Sequence[str]]
"""Returns the addresses of a host."""

_MAX_READ: Final = 4 * MAX_ANSWER
_REDIRECTS: Final = range(300, 400)


class AddressRefused(Exception):
    """The receiver's address is none that the platform may ask."""


def resolve(host: str, port: int) -> Sequence[str]:
    """Return the addresses of a host, in the system's order. It understands every form of an address, such as ``0x7f.1``."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


class HttpSender:
    """Sends requests, each over a connection of its own.

    Args:
        settings: networks that are allowed, and the time for an attempt.
        resolve: looks a name up.
    """

    def __init__(self, settings: WebhookSettings, resolve: Resolve = resolve) -> None:
        self._settings = settings
        self._resolve = resolve
        self._ssl = httpx.create_ssl_context()
        if settings.ca_file is not None:
            self._ssl.load_verify_locations(settings.ca_file)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request and return the answer. An attempt takes at most the time of the settings."""
        deadline = time.monotonic() + self._settings.timeout_seconds
        try:
            return self._post(httpx.URL(url), headers, body, deadline)
        except AddressRefused as error:
            return Answer(error=str(error))
        except httpcore.TimeoutException:
            return Answer(error=f"No answer within {self._settings.timeout_seconds:g} s.")
        except (httpx.InvalidURL, httpcore.UnsupportedProtocol) as error:
            return Answer(error=f"The address is invalid: {error}")
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
            return Answer(error=f"No connection, or a broken one: {error or type(error).__name__}")

    def _post(self, url: httpx.URL, headers: Mapping[str, str], body: bytes, deadline: float) -> Answer:
        network = _CheckedNetwork(url.scheme, self._settings.allowed_networks, self._resolve, deadline)
        target = httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path)
        sent = {"Host": url.netloc.decode("ascii"), "Content-Length": str(len(body)), "Connection": "close", **headers}
        with (
            httpcore.ConnectionPool(ssl_context=self._ssl, network_backend=network, max_connections=1) as pool,
            pool.stream("POST", target, headers=list(sent.items()), content=body) as response,
        ):
            text = _begin_of(response.iter_stream()).decode("utf-8", "replace")
            told = {name.lower(): value for name, value in response.headers}
            return _answer(response.status, text, told.get(b"retry-after", b"").decode("latin-1"))


def _answer(status_code: int, text: str, retry_after: str) -> Answer:
    if 200 <= status_code < 300:
        return Answer(status_code, None, text)
    error = f"The receiver answered with {status_code}."
    if status_code in _REDIRECTS:
        error = f"The receiver answered with {status_code}: redirects are not followed. Give the webhook the new address."
    seconds = float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None
    return Answer(status_code, error, text, seconds)


def _begin_of(parts: Iterable[bytes]) -> bytes:
    """Read the begin of a body. The rest is not read: the connection is closed."""
    read = b""
    for part in parts:
        read += part
        if len(read) >= _MAX_READ:
            break
    return read[:_MAX_READ]


class _CheckedNetwork(httpcore.NetworkBackend):
    """Connects to checked addresses only, and never later than a deadline."""

    def __init__(self, scheme: str, allowed: Sequence[Network], resolve: Resolve, deadline: float) -> None:
        self._scheme = scheme
        self._allowed = allowed
        self._resolve = resolve
        self._deadline = deadline
        self._backend = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        address = self._checked(host, port)
        stream = self._backend.connect_tcp(address, port, _left(self._deadline), local_address, socket_options)
        return _TimedStream(stream, self._deadline)

    def _checked(self, host: str, port: int) -> str:
        try:
            addresses = self._resolve(host, port)
        except (OSError, UnicodeError) as error:
            raise httpcore.ConnectError(f"{host} has no address: {error}") from error
        if not addresses:
            raise httpcore.ConnectError(f"{host} has no address")
        # All of them: a name that has a public and a private address is not to be trusted.
        for address in addresses:
            if not is_allowed(address, self._allowed):
                raise AddressRefused(
                    f"{host} is {address}, which is no public address. An administrator can allow its network: "
                    "webhooks.allowed_networks."
                )
            if self._scheme != "https" and not in_allowed_network(address, self._allowed):
                raise AddressRefused(f"{host} is {address}: public addresses need https.")
        return addresses[0]


class _TimedStream(httpcore.NetworkStream):
    """A stream whose reads and writes end at a deadline together: a receiver that sends single bytes cannot hold it."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _TimedStream(stream, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left
