"""HAProxy rules that send requests for a model directly to the version that answers for it.

A map (route_map.py) replaces the request's path by that of the model's version; Ray's own rules then
find the replicas. Unusual requests are left unchanged and go to the gateway, which handles all cases. So a rule may be too
strict, but never too lax. The replica checks the rest that both could read differently, such as duplicate keys in a body
(codecs/raylift.py).
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from raylift.api import headers
from raylift.api.paths import INFERENCE, V1_MODELS, V2_MODELS
from raylift.ingress.cors import cors_rules
from raylift.ingress.engine_pages import page_rules
from raylift.ingress.guard import Guard, guard_rules, tunnel_rules
from raylift.ingress.keys import KeyMaps, key_rules, mark_inside, token_rules
from raylift.ingress.limits import Limits, limit_rules
from raylift.ingress.problems import PROBLEM_JSON, problem_document
from raylift.ingress.tls import https_rules

_BODY_SECONDS: Final = 10
"""Timeout for a body that the ingress reads; answered with 408."""
_SILENCE_SECONDS: Final = 5
"""A machine whose kernel confirms nothing for so long is taken for off. A replica that computes is not silent in this sense."""
_HEADROOM_BYTES: Final = 16 * 1024
"""Part of HAProxy's buffer for headers and HAProxy's own reserve."""

_NAME: Final = "[A-Za-z0-9._-]+"


@dataclass(frozen=True, slots=True)
class ByNameRoute:
    """A route whose path names only a model."""

    methods: str
    path: str
    """Regular expression."""
    name: str
    """HAProxy converters that extract the model's name from the path."""
    beneath: str
    """HAProxy sample of the path below the version's route."""


_AFTER_NAME: Final = f"path,regsub(^{V2_MODELS}/[^/]+,)"
BY_NAME_ROUTES: Final = (
    ByNameRoute("POST", f"^{V2_MODELS}/{_NAME}/(infer|invocations)$", "field(4,/)", _AFTER_NAME),
    ByNameRoute("GET HEAD", f"^{V2_MODELS}/{_NAME}(/(ready|ping|health|version|openapi[.]json))?$", "field(4,/)", _AFTER_NAME),
    ByNameRoute("POST", f"^{V1_MODELS}/{_NAME}:predict$", "field(4,/),field(1,:)", "str(/v1:predict)"),
)


@dataclass(frozen=True, slots=True)
class _Failure:
    name: str
    status: int
    code: str
    detail: str

    def problem(self, **members: str) -> str:
        return json.dumps(problem_document(self.code, self.status, self.detail, members))


_QUEUE_FULL: Final = _Failure(headers.QUEUE_FULL, 429, "queue_full", "Too many requests wait for this version already.")
_TOO_MUCH: Final = _Failure(headers.QUEUE_FULL, 429, "queue_full", "Too many requests wait for the platform. Try again.")
_NOT_REACHED: Final = _Failure(
    headers.NOT_REACHED, 503, "deployment_not_ready", "No replica of this version answers now. Try again."
)
_BROKEN_OFF: Final = _Failure(headers.BROKEN_OFF, 502, "replica_failed", "The process that worked on the request broke off.")
_BODY_LATE: Final = _Failure("body-late", 408, "body_late", f"The body did not arrive within {_BODY_SECONDS} seconds.")


def largest_body(buffer_bytes: int) -> int:
    """Return the size of the largest body that the ingress reads, in bytes."""
    return max(0, buffer_bytes - _HEADROOM_BYTES)


def frontend_rules(
    names: Path,
    *,
    token: str,
    buffer_bytes: int,
    guard: Guard,
    origins: Collection[str] = (),
    limits: Limits | None = None,
    hsts_seconds: int = 0,
    keys: KeyMaps | None = None,
) -> str:
    """Return the lines for HAProxy's ``http_frontend``.

    Args:
        names: file that maps models to routes of versions, e.g. ``churn /v2/models/churn/versions/3``.
        token: required by replicas; letters and digits.
        buffer_bytes: HAProxy's ``tune.bufsize``.
        guard: limits of all clients.
        origins: pages of other sites that may ask for predictions.
        limits: limits of each client. None: no limits.
        hsts_seconds: time for which browsers use https only, once they did. 0: no limit, or no TLS.
        keys: maps of keys; None: requests need none.
    """
    by_protocol = f"{{ path_beg {V1_MODELS}/ {V2_MODELS}/ }}"
    routed = "if { var(txn.raylift_route) -m found }"
    lines = [
        *guard_rules(guard, token=token),
        *https_rules(hsts_seconds),
        *_page_rules(),
        *cors_rules(origins, token=token),
        *token_rules(),
        *limit_rules(limits or Limits(), token=token),
        *mark_inside(token, guard.proxies),
        "# Only requests from the gateway have the token; it forwards the one that it received.",
        f"http-request del-header {headers.FORWARDED} unless {{ req.fhdr({headers.INGRESS}) -m str {token} }}",
        f"http-request set-header {headers.INGRESS} {token}",
        f"http-request del-header {headers.NAMED}",
        *_traced(),
        "# Only predictions may be sent again when a replica breaks off, because they change nothing.",
        f"http-request set-var(txn.raylift_family) str(problem) if {{ path {INFERENCE} }}",
        f"http-request set-var(txn.raylift_family) str(protocol) if {by_protocol}",
        # The platform's own protocol, also below a version's route.
        f"http-request set-var(txn.raylift_words) str(problem) if {{ path {INFERENCE} }} or {{ path_beg {V2_MODELS}/ }}"
        " { path_end /predict }",
        f"http-request set-var(txn.raylift_words) str(protocol) if {by_protocol} !{{ var(txn.raylift_words) -m found }}",
        "http-request disable-l7-retry unless { method GET HEAD } or METH_POST { var(txn.raylift_family) -m found }",
        # Processes recognize a request that has crashed others by this id. The gateway forwards it.
        f"http-request set-header {headers.PREDICTION_ID} %[uuid()] if METH_POST {{ var(txn.raylift_family) -m found }}"
        f" !{{ req.fhdr({headers.FORWARDED}) -m found }}",
        # HAProxy can send again only a request that it has received completely.
        "http-request set-var(txn.raylift_body) bool(true) if METH_POST { var(txn.raylift_family) -m found }"
        " !{ req.hdr(transfer-encoding) -m found } { req.body_size gt 0 }"
        f" {{ req.body_size le {largest_body(buffer_bytes)} }}",
        f"http-request wait-for-body time {_BODY_SECONDS}s if {{ var(txn.raylift_body) -m found }}",
        *_candidates(),
        *_doubts(),
        *_names_in_bodies(),
        f"http-request set-var(txn.raylift_route) var(txn.raylift_name),map_str({names})"
        " if { var(txn.raylift_beneath) -m found }",
        *(key_rules(keys) if keys else ()),
        f"http-request set-header {headers.NAMED} 1 {routed} {{ path {INFERENCE} }}",
        f"http-request del-header {headers.REQUEST_TIMEOUT} {routed}",
        f"http-request set-path %[var(txn.raylift_route)]%[var(txn.raylift_beneath)] {routed}",
        # The rules behind this one, ours of pages and Ray's of health checks (one for each version), are not for predictions.
        "http-request allow if { var(txn.raylift_family) -m found }",
        f"http-response set-header X-Content-Type-Options nosniff {routed}",
        *_failures(),
        *(page_rules(keys) if keys else ()),
    ]
    return "".join(f"    {line}\n" for line in lines)


def _page_rules() -> Iterator[str]:
    """Forbid browsers to guess types and to show pages of the platform in frames of other sites. Predictions are no pages."""
    for name, value in (("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY"), ("Referrer-Policy", "same-origin")):
        yield f"http-after-response set-header {name} {value} unless {{ var(txn.raylift_family) -m found }}"


def _traced() -> Iterator[str]:
    """Mark requests with an id from the client. The gateway adds ids to all and sets the mark itself."""
    first = f"!{{ req.fhdr({headers.FORWARDED}) -m found }}"
    yield f"http-request del-header {headers.TRACED} if {first}"
    for header in (headers.REQUEST_ID, headers.TRACEPARENT):
        yield f"http-request set-header {headers.TRACED} 1 if {first} {{ req.fhdr({header}) -m found }}"


def _candidates() -> Iterator[str]:
    """Set ``raylift_beneath`` for requests that may skip the gateway, and ``raylift_name`` where the path has it."""
    for route in BY_NAME_ROUTES:
        condition = f"{{ method {route.methods} }} {{ var(txn.raylift_family) -m str protocol }} {{ path_reg {route.path} }}"
        yield f"http-request set-var(txn.raylift_name) path,{route.name} if {condition}"
        yield f"http-request set-var(txn.raylift_beneath) {route.beneath} if {condition}"
    yield (
        "http-request set-var(txn.raylift_beneath) str(/predict) if { var(txn.raylift_body) -m found }"
        " { var(txn.raylift_family) -m str problem }"
    )


def _doubts() -> Iterator[str]:
    """Leave requests to the gateway that only it can judge."""
    wait, name = f"req.fhdr({headers.SCALE_UP_TIMEOUT})", f"req.fhdr({headers.REQUEST_ID})"
    doubts = (
        # A process that is being replaced no longer receives changes of the map.
        "{ stopping }",
        "{ req.fhdr(content-encoding) -m found }",
        # For CSV the model's name is in the query.
        f"{{ path {INFERENCE} }} {{ req.fhdr(content-type) -i -m beg text/csv }}",
        "{ query -m sub %00 }",
        f"{{ {wait} -m found }} !{{ {wait} -m reg '^[0-9]{{1,6}}([.][0-9]{{1,6}})?$' }}",
        f"{{ {name} -m found }} !{{ {name} -m reg '^[!-~]{{1,128}}$' }}",
    )
    for doubt in doubts:
        yield f"http-request unset-var(txn.raylift_beneath) if {{ var(txn.raylift_beneath) -m found }} {doubt}"


def _names_in_bodies() -> Iterator[str]:
    read = "{ var(txn.raylift_beneath) -m found } { var(txn.raylift_family) -m str problem }"
    yield f"http-request set-var(txn.raylift_length) req.body_len if {read}"
    doubts = (
        "!{ req.body_size,sub(txn.raylift_length) eq 0 }",
        # The body has a version or an alias, an escape that could hide a key, or the name twice.
        """{ req.body -m sub '"model_version"' '"alias"' '\\u' }""",
        """{ req.body -m reg '(?s)"model_name".*"model_name"' }""",
    )
    for doubt in doubts:
        yield f"http-request unset-var(txn.raylift_beneath) if {read} {doubt}"
    yield f"http-request set-var(txn.raylift_name) req.body,json_query('$.model_name') if {read}"


def _failures() -> Iterator[str]:
    """Replace Serve's plain-text errors (full queue, no replica) by the gateway's."""
    text = "{ res.hdr(content-type) -m beg text/plain }"
    for failure, statuses in ((_QUEUE_FULL, "429"), (_NOT_REACHED, "404 408 500 502 503 504")):
        for words, kind, body in (
            ("problem", PROBLEM_JSON, failure.problem()),
            ("protocol", "application/json", json.dumps({"error": failure.detail})),
        ):
            yield (
                f"http-response return status {failure.status} content-type {kind} hdr Retry-After 1"
                f" hdr {headers.FAILURE} {failure.name} string '{body}'"
                f" if {{ var(txn.raylift_words) -m str {words} }} {{ status {statuses} }} {text}"
            )
    yield (
        f"http-response return status {_TOO_MUCH.status} content-type {PROBLEM_JSON} hdr Retry-After 1"
        f" string '{_TOO_MUCH.problem()}' if !{{ var(txn.raylift_words) -m found }} {{ status {_TOO_MUCH.status} }} {text}"
    )
    yield (
        f"http-after-response set-header Content-Type application/json if {{ var(txn.raylift_words) -m str protocol }}"
        f" {{ res.hdr({headers.FAILURE}) -m found }}"
    )


def defaults_rules(*, several_machines: bool = False) -> str:
    """Return the lines for HAProxy's ``defaults``: its errors when no replica answers, instead of Ray's page."""
    return (
        tunnel_rules()
        + (_silent_machines() if several_machines else "")
        + "".join(
            f"    http-error status {failure.status} content-type {PROBLEM_JSON} hdr Retry-After 1"
            f" hdr {headers.FAILURE} {failure.name} string '{failure.problem(error=failure.detail)}'\n"
            for failure in (_BODY_LATE, _BROKEN_OFF, _NOT_REACHED)
        )
    )


def _silent_machines() -> str:
    """Return lines that give up connections to machines without power. Their requests then go to other replicas."""
    lines = (
        f"default-server tcp-ut {_SILENCE_SECONDS}s",
        # Also where the request was confirmed, and only the answer is missing.
        "option srvtcpka",
        f"srvtcpka-idle {_SILENCE_SECONDS}s",
        "srvtcpka-intvl 1s",
        f"srvtcpka-cnt {_SILENCE_SECONDS}",
    )
    return "".join(f"    {line}\n" for line in lines)
