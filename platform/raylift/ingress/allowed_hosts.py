"""Host names that the platform answers for, checked by the ingress and by the gateway.

A web page can let its own name resolve to this machine (DNS rebinding). The browser then takes the platform for the page's own
site. Only the ``Host`` header tells.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from raylift.settings import PlatformSettings

LOOPBACK_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
ANY_HOST: Final = "*"
HOST_REFUSED: Final = "host_refused"
"""Error code of a request for another host."""


def allowed_hosts(settings: PlatformSettings) -> frozenset[str]:
    """Return loopback names, ``gateway.allowed_hosts``, and the host by which the platform calls itself; without ports."""
    own = urlsplit(settings.gateway_url).netloc
    return frozenset({*LOOPBACK_NAMES, host_name(own), *(name.lower() for name in settings.gateway.allowed_hosts)})


def host_name(header: str) -> str:
    """Return the name in a ``Host`` header, in lower case and without its port."""
    name = header.strip().lower()
    if name.startswith("["):
        return f"{name.partition(']')[0]}]"
    return name.partition(":")[0]


def is_allowed(header: str | None, names: frozenset[str]) -> bool:
    """Return True for a ``Host`` header with one of ``names``, and for every header where ``names`` has ``*``."""
    return ANY_HOST in names or (header is not None and host_name(header) in names)
