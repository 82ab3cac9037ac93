"""Hosts and origins of requests: which the gateway answers, and which come from a page of another site."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_address
from itertools import islice
from typing import Final, Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers
from starlette.types import Scope

from raylift.ingress.allowed_hosts import allowed_hosts, is_allowed
from raylift.settings import PlatformSettings
from serve_apps.gateway.http.errors import CrossOriginRefused, HostRefused

_SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_MAX_SHOWN: Final = 100


@dataclass(frozen=True, slots=True)
class Hosts:
    names: frozenset[str]
    """Allowed hosts (ingress/allowed_hosts.py)."""
    proxies: tuple[IPv4Network | IPv6Network, ...]
    """Proxies whose ``X-Forwarded-Host`` is believed."""
    behind_ingress: bool
    """True behind our ingress, which removes that header from requests of others. Its own address hides theirs."""
    has_tls: bool = False
    """True where the ingress has a certificate."""
    host_is_compared: bool = False
    """True where the ingress of each node has compared ``Host`` with its own names. Others do not reach the gateway."""

    @classmethod
    def of(cls, settings: PlatformSettings) -> Self:
        """Return the rules of a platform's settings."""
        gateway = settings.gateway
        is_behind_ingress = settings.ingress is not None
        compared = is_behind_ingress and settings.cluster is not None
        has_tls = gateway.tls.cert is not None
        return cls(allowed_hosts(settings), gateway.trusted_proxies, is_behind_ingress, has_tls, compared)

    def refusal(self, scope: Scope, headers: Headers) -> HostRefused | CrossOriginRefused | None:
        """Return the error for a request to a foreign host, or for a change that a page of another site asks for."""
        for host in islice(self._hosts(scope, headers), 1 if self.host_is_compared else 0, None):
            if not is_allowed(host, self.names):
                return HostRefused(
                    f"The platform does not answer for the host {host[:_MAX_SHOWN]!r}. Add its name to "
                    "gateway.allowed_hosts, or start with: raylift up --allowed-host NAME"
                )
        # Browsers let any page open a WebSocket, without a preflight request.
        may_change = scope["type"] == "websocket" or scope["method"] not in _SAFE_METHODS
        if may_change and self._is_cross_origin(scope, headers):
            return CrossOriginRefused("A page of another site may not do this.")
        return None

    def is_own_origin(self, scope: Scope, headers: Headers) -> bool:
        """Return True for a request of a page of the platform itself."""
        return not self._is_cross_origin(scope, headers)

    def origin(self, scope: Scope, headers: Headers) -> str:
        """Return scheme and host by which the browser knows the platform."""
        *_, host = self._hosts(scope, headers)
        return f"{'https' if self.is_secure(scope, headers) else 'http'}://{host}"

    def is_secure(self, scope: Scope, headers: Headers) -> bool:
        """Return True where the browser came by https, to the ingress or to a trusted proxy."""
        return self.has_tls or (headers.get("x-forwarded-proto") == "https" and self._is_from_proxy(scope))

    def _hosts(self, scope: Scope, headers: Headers) -> Iterator[str]:
        """Yield the hosts that the request names. A missing ``Host`` counts as an empty name."""
        yield headers.get("host", "")
        forwarded = headers.get("x-forwarded-host")
        if forwarded is not None and self._is_from_proxy(scope):
            yield forwarded

    def _is_cross_origin(self, scope: Scope, headers: Headers) -> bool:
        """Return True if a browser sends this for a page of another site, which must not upload code."""
        origin = headers.get("origin")
        if origin is None:
            return headers.get("sec-fetch-site") == "cross-site"
        return urlsplit(origin).netloc not in set(self._hosts(scope, headers))

    def _is_from_proxy(self, scope: Scope) -> bool:
        if not self.proxies or self.behind_ingress:
            return bool(self.proxies)
        try:
            client = ip_address(scope["client"][0])
        except (TypeError, ValueError):
            return False  # A Unix socket has no address.
        return any(client in network for network in self.proxies)
