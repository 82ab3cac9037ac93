"""What HAProxy is told beyond what Ray writes for it: which requests go straight to a version although they name only a model.

A request that names a model is looked up in a file of names (ingress/route_map.py keeps it) and its path becomes that of the
version that answers; Ray's own rules then find the replicas. Whatever is odd about a request leaves it as it is: then it goes
to the gateway, which understands everything. So a rule here may be too strict, and must never be too lax; what the two ways
could still see differently in a body (duplicate keys, above all) the replica checks (codecs/raylift.py).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from raylift.ingress import headers
from raylift.ingress.problems import PROBLEM_JSON, problem_document

_BODY_SECONDS: Final = 10
"""How long a client may take over a body that the ingress reads; after that it is answered 408."""
_HEADROOM_BYTES: Final = 16 * 1024
"""Of HAProxy's buffer: for the headers and for what HAProxy itself keeps free."""

_INFERENCE: Final = "/mlops/inference"
_NAME: Final = "[A-Za-z0-9._-]+"


@dataclass(frozen=True, slots=True)
class NameRoute:
    """A route whose path names only a model."""

    methods: str
    path: str
    """A regular expression."""
    name: str
    """Cuts the model's name out of the path: HAProxy's converters."""
    beneath: str
    """What follows the version's route: HAProxy's sample."""


NAME_ROUTES: Final = (
    NameRoute("POST", f"^/v2/models/{_NAME}/(infer|invocations)$", "field(4,/)", "path,regsub(^/v2/models/[^/]+,)"),
    NameRoute(
        "GET HEAD",
        f"^/v2/models/{_NAME}(/(ready|ping|health|version|openapi[.]json))?$",
        "field(4,/)",
        "path,regsub(^/v2/models/[^/]+,)",
    ),
    NameRoute("POST", f"^/v1/models/{_NAME}:predict$", "field(4,/),field(1,:)", "str(/v1:predict)"),
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
    """The largest body that the ingress reads, with a buffer of ``buffer_bytes``."""
    return max(0, buffer_bytes - _HEADROOM_BYTES)


def frontend_rules(names: Path, *, token: str, buffer_bytes: int) -> str:
    """The lines for HAProxy's ``http_frontend``.

    Args:
        names: the map from models to routes of versions, e.g. ``churn /v2/models/churn/versions/3``.
        token: what replicas ask for; letters and digits.
        buffer_bytes: HAProxy's ``tune.bufsize``.
    """
    routed = "if { var(txn.raylift_route) -m found }"
    lines = [
        "# What the gateway sends on has the token that it was asked with; no client has it.",
        f"http-request del-header {headers.FORWARDED} unless {{ req.fhdr({headers.INGRESS}) -m str {token} }}",
        f"http-request set-header {headers.INGRESS} {token}",
        f"http-request del-header {headers.NAMED}",
        *_traced(),
        "# Predictions change nothing, so they may be sent again when a replica breaks off; nothing else may.",
        f"http-request set-var(txn.raylift_family) str(problem) if {{ path {_INFERENCE} }}",
        "http-request set-var(txn.raylift_family) str(protocol) if { path_beg /v1/models/ /v2/models/ }",
        # The platform's own protocol, also where it is asked beneath a version's route.
        f"http-request set-var(txn.raylift_words) str(problem) if {{ path {_INFERENCE} }} or {{ path_beg /v2/models/ }}"
        " { path_end /predict }",
        "http-request set-var(txn.raylift_words) str(protocol) if { path_beg /v1/models/ /v2/models/ }"
        " !{ var(txn.raylift_words) -m found }",
        "http-request disable-l7-retry unless { method GET HEAD } or METH_POST { var(txn.raylift_family) -m found }",
        # By this name processes know a request again that others died over. What the gateway sends on has it already.
        f"http-request set-header {headers.REQUEST} %[uuid()] if METH_POST {{ var(txn.raylift_family) -m found }}"
        f" !{{ req.fhdr({headers.FORWARDED}) -m found }}",
        # HAProxy sends again only what it had whole before it sent any of it.
        "http-request set-var(txn.raylift_body) bool(true) if METH_POST { var(txn.raylift_family) -m found }"
        " !{ req.hdr(transfer-encoding) -m found } { req.body_size gt 0 }"
        f" {{ req.body_size le {largest_body(buffer_bytes)} }}",
        f"http-request wait-for-body time {_BODY_SECONDS}s if {{ var(txn.raylift_body) -m found }}",
        *_candidates(),
        *_doubts(),
        *_names_in_bodies(),
        f"http-request set-var(txn.raylift_route) var(txn.raylift_name),map_str({names})"
        " if { var(txn.raylift_beneath) -m found }",
        f"http-request set-header {headers.NAMED} 1 {routed} {{ path {_INFERENCE} }}",
        f"http-request del-header X-Request-Timeout-Seconds {routed}",
        f"http-request set-path %[var(txn.raylift_route)]%[var(txn.raylift_beneath)] {routed}",
        f"http-response set-header X-Content-Type-Options nosniff {routed}",
        *_failures(),
    ]
    return "".join(f"    {line}\n" for line in lines)


def _traced() -> Iterator[str]:
    """What the gateway sends on always has an id; it says itself whether that was the client's."""
    first = f"!{{ req.fhdr({headers.FORWARDED}) -m found }}"
    yield f"http-request del-header {headers.TRACED} if {first}"
    for header in ("x-request-id", "traceparent"):
        yield f"http-request set-header {headers.TRACED} 1 if {first} {{ req.fhdr({header}) -m found }}"


def _candidates() -> Iterator[str]:
    """``raylift_beneath`` for requests that may take the short way, and ``raylift_name`` where their path has it."""
    for route in NAME_ROUTES:
        condition = f"{{ method {route.methods} }} {{ var(txn.raylift_family) -m str protocol }} {{ path_reg {route.path} }}"
        yield f"http-request set-var(txn.raylift_name) path,{route.name} if {condition}"
        yield f"http-request set-var(txn.raylift_beneath) {route.beneath} if {condition}"
    yield (
        "http-request set-var(txn.raylift_beneath) str(/predict) if { var(txn.raylift_body) -m found }"
        " { var(txn.raylift_family) -m str problem }"
    )


def _doubts() -> Iterator[str]:
    """What only the gateway judges."""
    doubts = (
        # A worker that is being replaced no longer hears of changes to the map.
        "{ stopping }",
        # A page of another site may be asking.
        "{ req.fhdr(origin) -m found }",
        "{ req.fhdr(sec-fetch-site) -m found }",
        "{ req.fhdr(content-encoding) -m found }",
        # Of a CSV the query names the model.
        f"{{ path {_INFERENCE} }} {{ req.fhdr(content-type) -i -m beg text/csv }}",
        "{ query -m sub %00 }",
        r"{ req.fhdr(x-scale-up-timeout) -m found } !{ req.fhdr(x-scale-up-timeout) -m reg '^[0-9]{1,6}([.][0-9]{1,6})?$' }",
        "{ req.fhdr(x-request-id) -m found } !{ req.fhdr(x-request-id) -m reg '^[!-~]{1,128}$' }",
    )
    for doubt in doubts:
        yield f"http-request unset-var(txn.raylift_beneath) if {{ var(txn.raylift_beneath) -m found }} {doubt}"


def _names_in_bodies() -> Iterator[str]:
    read = "{ var(txn.raylift_beneath) -m found } { var(txn.raylift_family) -m str problem }"
    yield f"http-request set-var(txn.raylift_length) req.body_len if {read}"
    doubts = (
        "!{ req.body_size,sub(txn.raylift_length) eq 0 }",
        # A version or an alias is chosen; or an escape could hide the key; or the name is there twice.
        """{ req.body -m sub '"model_version"' '"alias"' '\\u' }""",
        """{ req.body -m reg '(?s)"model_name".*"model_name"' }""",
    )
    for doubt in doubts:
        yield f"http-request unset-var(txn.raylift_beneath) if {read} {doubt}"
    yield f"http-request set-var(txn.raylift_name) req.body,json_query('$.model_name') if {read}"


def _failures() -> Iterator[str]:
    """Ray Serve answers in plain text when a version's queue is full or nobody is there: say it as the gateway would."""
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


def error_rules() -> str:
    """The lines for HAProxy's ``defaults``, in place of Ray's page: what it says when it reaches nobody, or is cut off."""
    return "".join(
        f"    http-error status {failure.status} content-type {PROBLEM_JSON} hdr Retry-After 1"
        f" hdr {headers.FAILURE} {failure.name} string '{failure.problem(error=failure.detail)}'\n"
        for failure in (_BODY_LATE, _BROKEN_OFF, _NOT_REACHED)
    )
