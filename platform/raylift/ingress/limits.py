"""HAProxy rules that limit requests, rows, uploads and concurrency of each client, on every route.

A client is a key, by the hash of its bearer token, else an address. HAProxy counts what it lets through, in tables of its own
process: counts begin again where Ray Serve starts a new one, after a change of routes. Rows are known when a replica has read
the body: it names them in its answer, and a client over its rows is refused at its next request.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from raylift.api import headers
from raylift.api.paths import RAY_API, UPLOAD
from raylift.ingress.problems import PROBLEM_JSON, problem_document

RATE_LIMITED: Final = "rate_limited"
"""Error code of a request over a limit."""
_CLIENTS: Final = "raylift_clients"
_UPLOADS: Final = "raylift_uploads"
_ENTRIES: Final = "100k"
"""Clients that are counted at a time. The least recent one is forgotten first."""
_IS_UPLOAD: Final = f"{{ method POST }} {{ path {UPLOAD} {RAY_API}jobs/ {RAY_API}jobs }} !{{ query -m str dry_run=true }}"
"""A dry run stores nothing. Only this spelling is one: of two values the gateway would take the last."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of each client. None: no limit."""

    requests_per_minute: int | None = None
    rows_per_minute: int | None = None
    """Rows of predictions."""
    uploads_per_hour: int | None = None
    concurrent_requests: int | None = None
    address_requests_per_minute: int | None = None
    """Requests of one address with any key or none. Loopback and trusted proxies have no such limit (guard.py)."""


@dataclass(frozen=True, slots=True)
class _Rate:
    """Number of requests in a time. HAProxy counts with the stick counter ``counter``."""

    name: str
    counter: int
    quota: int
    seconds: int

    @property
    def used(self) -> str:
        return f"txn.raylift_used_{self.name}"

    def refusal(self, whose: str) -> str:
        """Return the rule that refuses, without its condition."""
        detail = f"{whose} may have {self.quota} {self.name} in {self.seconds} seconds, and had them. Try again later."
        # Seconds until the next one is free, where they came evenly.
        wait = max(1, math.ceil(self.seconds / self.quota))
        return _refuse(detail, wait, f'hdr RateLimit "{_quoted(self.name)};r=0;t={wait}" hdr RateLimit-Policy {self.policy}')

    @property
    def policy(self) -> str:
        return f'"{_quoted(self.name)};q={self.quota};w={self.seconds}"'

    def rules(self, whose: str, condition: str) -> Iterator[str]:
        """Yield lines that refuse what is over the quota, count the rest, and say in its answer what is left."""
        counter = self.counter
        yield f"http-request set-var({self.used}) sc{counter}_gpc0_rate if {condition}"
        yield f"{self.refusal(whose)} if {condition} {{ var({self.used}) -m int ge {self.quota} }}"
        yield f"http-request sc-inc-gpc0({counter}) if {condition}"
        known = f"{{ var({self.used}) -m found }}"
        left = f"%[int({self.quota - 1}),sub({self.used})]"
        # In the way of draft-ietf-httpapi-ratelimit-headers. Not where a refusal has said it already.
        for name, value in (
            ("RateLimit-Policy", self.policy),
            ("RateLimit", f'"{_quoted(self.name)};r={left};t={self.seconds}"'),
        ):
            yield f"http-after-response set-header {name} {value} if {known} !{{ status 429 }}"


def limit_rules(limits: Limits, *, token: str) -> Iterator[str]:
    """Yield lines for the frontend. Requests of the gateway carry ``token`` and were counted already."""
    theirs = f"!{{ req.fhdr({headers.INGRESS}) -m str {token} }}"
    if limits.address_requests_per_minute is not None:
        rate = _Rate("address", 0, limits.address_requests_per_minute, 60)
        yield f"http-request set-var(txn.raylift_busy) sc0_gpc0_rate if {theirs}"
        yield f"{rate.refusal('One address')} if {theirs} {{ var(txn.raylift_busy) -m int ge {rate.quota} }}"
        yield f"http-request sc-inc-gpc0(0) if {theirs} {{ sc0_tracked }}"
    own = (limits.concurrent_requests, limits.requests_per_minute, limits.rows_per_minute, limits.uploads_per_hour)
    if own == (None, None, None, None):
        return
    yield "http-request set-var(txn.raylift_client) src"
    # By its digest (keys.py), so that no token is in the tables.
    yield "http-request set-var(txn.raylift_client) var(txn.raylift_digest) if { var(txn.raylift_digest) -m found }"
    yield f"http-request track-sc1 var(txn.raylift_client) table {_CLIENTS} if {theirs}"
    if limits.concurrent_requests is not None:
        detail = f"A client may have {limits.concurrent_requests} requests in progress, and has them. Wait for one of them."
        yield f"{_refuse(detail, 1)} if {theirs} {{ sc1_conn_cur gt {limits.concurrent_requests} }}"
    if limits.requests_per_minute is not None:
        yield from _Rate("requests", 1, limits.requests_per_minute, 60).rules("A client", theirs)
    if limits.rows_per_minute is not None:
        yield from _row_rules(limits.rows_per_minute, theirs)
    if limits.uploads_per_hour is not None:
        yield f"http-request track-sc2 var(txn.raylift_client) table {_UPLOADS} if {theirs} {_IS_UPLOAD}"
        yield from _Rate("uploads", 2, limits.uploads_per_hour, 3600).rules("A client", f"{theirs} {_IS_UPLOAD}")


def _row_rules(quota: int, condition: str) -> Iterator[str]:
    """Yield lines that add up the rows that replicas name in their answers, in the second counter of a client."""
    seconds, policy = 60, f'"{_quoted("rows")};q={quota};w=60"'
    detail = f"A client may send {quota} rows for predictions in {seconds} seconds, and has sent them. Try again later."
    over = _refuse(detail, seconds, f'hdr RateLimit "{_quoted("rows")};r=0;t={seconds}" hdr RateLimit-Policy {policy}')
    yield f"{over} if {condition} {{ sc_gpc_rate(1,1) ge {quota} }}"
    # Answers to requests of the gateway are not tracked: it hands the header on.
    counted = f"{{ sc1_tracked }} {{ res.hdr({headers.ROWS}) -m found }}"
    yield f"http-response sc-add-gpc(1,1) res.hdr({headers.ROWS}) if {counted}"
    yield f"http-response set-var(txn.raylift_rows) sc_gpc_rate(1,1) if {counted}"
    known = "{ var(txn.raylift_rows) -m found }"
    yield f"http-after-response add-header RateLimit-Policy {policy} if {known}"
    for left, compared in ((f"%[int({quota}),sub(txn.raylift_rows)]", "lt"), ("0", "ge")):
        value, now = f'"{_quoted("rows")};r={left};t={seconds}"', f"{{ var(txn.raylift_rows) -m int {compared} {quota} }}"
        yield f"http-after-response add-header RateLimit {value} if {known} {now}"


def limit_tables() -> str:
    """Return sections with the tables of the counters, for the end of HAProxy's configuration."""
    form = f"stick-table type string len 64 size {_ENTRIES}"
    return (
        f"backend {_CLIENTS}\n    {form} expire 3m store gpc(2),gpc_rate(2,60s),conn_cur\n"
        f"backend {_UPLOADS}\n    {form} expire 1h store gpc0,gpc0_rate(3600s)\n"
    )


def _refuse(detail: str, wait: int, more: str = "") -> str:
    problem = json.dumps(problem_document(RATE_LIMITED, 429, detail, {"error": detail, "retry_after_seconds": wait}))
    return f"http-request return status 429 content-type {PROBLEM_JSON} hdr Retry-After {wait} {more} string '{problem}'"


def _quoted(name: str) -> str:
    """Return a string of HTTP's structured fields, escaped for HAProxy's configuration."""
    return f'\\"{name}\\"'
