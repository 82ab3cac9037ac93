"""HAProxy rules for all requests: hosts, headers of proxies, slow clients, connections of one address.

They precede the rules for predictions (haproxy_config.py), so they also hold for routes that pass the gateway by.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from raylift.api import headers
from raylift.ingress.allowed_hosts import ANY_HOST, HOST_REFUSED
from raylift.ingress.problems import PROBLEM_JSON, problem_document

_TUNNEL_SECONDS: Final = 3600
"""Longest silence on a WebSocket, on which the log of a quiet job is followed."""
_REFUSAL: Final = (
    "The platform does not answer for the host of this request. Add its name to gateway.allowed_hosts, or start with: "
    "raylift up --allowed-host NAME"
)
_LOOPBACK: Final = ("127.0.0.0/8", "::1")


@dataclass(frozen=True, slots=True)
class Guard:
    """Limits of all clients."""

    hosts: frozenset[str]
    """Names that requests may have in ``Host``, without ports; ``*`` allows every name."""
    proxies: tuple[str, ...] = ()
    """Addresses and networks of proxies, whose ``X-Forwarded-*`` and ``Forwarded`` are kept."""
    head_seconds: int = 20
    """Time for the head of a request."""
    silence_seconds: int = 60
    """Longest pause of a client that has to send or to read. Waiting for an answer does not count."""
    connections: int = 1000
    """Connections that one address may have at a time. A quarter of HAProxy's own limit."""
    unlimited: tuple[str, ...] = _LOOPBACK
    """Addresses without that limit, in addition to ``proxies``: a proxy on this machine speaks for many clients."""


def guard_rules(guard: Guard, *, token: str) -> Iterator[str]:
    """Yield the lines for HAProxy's ``http_frontend``. Requests of the gateway carry ``token``."""
    yield f"timeout http-request {guard.head_seconds}s"
    # Browsers open connections in advance: such ones are closed without an error.
    yield "option http-ignore-probes"
    yield f"timeout client {guard.silence_seconds}s"
    yield "stick-table type ipv6 size 100k expire 1m store conn_cur,gpc0,gpc0_rate(60s)"
    yield f"tcp-request connection track-sc0 src unless {{ src {_listed([*guard.unlimited, *guard.proxies])} }}"
    yield f"tcp-request connection reject if {{ sc0_conn_cur gt {guard.connections} }}"
    if ANY_HOST not in guard.hosts:
        problem = json.dumps(problem_document(HOST_REFUSED, 403, _REFUSAL, {"error": _REFUSAL}))
        yield (
            f"http-request return status 403 content-type {PROBLEM_JSON} string '{problem}'"
            f" unless {{ req.fhdr_cnt(host) eq 1 }} {{ req.fhdr(host),host_only,lower -m str {_listed(guard.hosts)} }}"
        )
    foreign = f"if !{{ req.fhdr({headers.INGRESS}) -m str {token} }}"
    if guard.proxies:
        foreign += f" !{{ src {_listed(guard.proxies)} }}"
    yield f"http-request del-header X-Forwarded- -m beg {foreign}"
    yield f"http-request del-header Forwarded {foreign}"


def tunnel_rules() -> str:
    """Return the line for HAProxy's ``defaults`` that keeps silent WebSockets open."""
    return f"    timeout tunnel {_TUNNEL_SECONDS}s\n"


def _listed(values: Iterable[str]) -> str:
    return " ".join(sorted(values))
