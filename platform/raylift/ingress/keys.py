"""Keys at the ingress: maps of keys and workspaces, and HAProxy's rules for predictions that pass the gateway by.

A version's own routes lead from HAProxy to its replicas. So HAProxy looks the key up itself: the SHA-256 of the token in one
map, the model's workspace in another. The supervisor keeps both maps; the gateway decides about everything else.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

from raylift.api import headers
from raylift.api.paths import V2_MODELS
from raylift.domain.access import AccessKey, Action, Principal, may
from raylift.domain.errors import ModelNotFound, Unauthenticated
from raylift.domain.identifiers import DEFAULT_WORKSPACE
from raylift.ingress.problems import PROBLEM_JSON, problem_document
from raylift.ingress.route_map import IngressMap

_KEYS_FILE: Final = "keys.map"
_WORKSPACES_FILE: Final = "workspaces.map"
_NEVER: Final = 99_999_999_999
"""Expiry of keys without one, in seconds since 1970."""
SEES_ALL: Final = "all"
_OWN: Final = "own"
_LIMITED: Final = "limited"

CHALLENGE: Final = 'Basic realm=\\"raylift\\", charset=\\"UTF-8\\"'
NO_KEY: Final = "The request has no key, or one that is unknown, revoked or expired. Send `Authorization: Bearer KEY`."
_NO_MODEL: Final = "No such model is registered."


@dataclass(frozen=True, slots=True)
class KeyMaps:
    """The maps of one HAProxy, in its directory."""

    directory: Path

    @property
    def keys(self) -> Path:
        return self.directory / _KEYS_FILE

    @property
    def workspaces(self) -> Path:
        return self.directory / _WORKSPACES_FILE

    def put(self, keys: Iterable[AccessKey], workspaces: Mapping[str, str], now: datetime) -> None:
        """Replace both maps. Raises EngineUnavailable: a running HAProxy did not accept them."""
        # First the workspaces: a new key must not see models that belong to another one.
        IngressMap(self.directory, _WORKSPACES_FILE).put(dict(sorted(workspaces.items())))
        IngressMap(self.directory, _KEYS_FILE).put(key_entries(keys, now))

    def has(self, sha256: str) -> bool:
        """Return whether HAProxy knows the key of this digest. Raises EngineUnavailable: it does not answer."""
        return IngressMap(self.directory, _KEYS_FILE).has(sha256)


def key_entries(keys: Iterable[AccessKey], now: datetime) -> dict[str, str]:
    """Return the map of keys: ``digest`` → ``expires:sees:workspace:limit:mlflow:ray``, and an entry for each allowed model."""
    valid = sorted((key for key in keys if key.is_valid(now)), key=lambda key: key.key_id)
    entries: dict[str, str] = {}
    for key in valid:
        principal = key.principal()
        expires = _NEVER if key.expires_at is None else int(key.expires_at.timestamp())
        sees = SEES_ALL if principal.visible_workspace is None else _OWN
        limit = _LIMITED if key.models else "none"
        ray = "yes" if may(principal, Action.ADMINISTER) else "no"
        entries[key.sha256] = f"{expires}:{sees}:{key.workspace}:{limit}:{_mlflow(principal)}:{ray}"
        entries |= {f"{key.sha256}/{model}": "1" for model in key.models}
    return entries


def _mlflow(principal: Principal) -> str:
    if not may(principal, Action.READ):
        return "no"
    return "write" if may(principal, Action.SUBMIT) else "read"


def token_rules() -> Iterator[str]:
    """Yield rules that set ``raylift_digest``, the SHA-256 of a bearer token, a session's cookie or a browser's password."""
    by_basic = "req.fhdr(authorization),word(2,\\ ),b64dec,regsub(^[^:]*:,)"
    yield "http-request set-var(txn.raylift_token) http_auth_bearer if { req.fhdr(authorization) -m found }"
    # A browser's session counts only for the platform's own pages, as in the gateway (access/session_cookie.py). cors.py has
    # named the page, and removed the origin of allowed foreign ones.
    cookie = f"!{{ req.fhdr(authorization) -m found }} {{ req.cook({headers.SESSION_COOKIE}) -m found }}"
    session = f"http-request set-var(txn.raylift_token) req.cook({headers.SESSION_COOKIE}) if {cookie}"
    unnamed = "!{ var(txn.raylift_origin) -m found } !{ var(txn.raylift_page) -m found } { method GET HEAD }"
    yield f"{session} {{ var(txn.raylift_page) -m found }} raylift_own_page"
    yield f"{session} {unnamed} !{{ req.fhdr(sec-fetch-site) -m found }}"
    yield f"{session} {unnamed} {{ req.fhdr(sec-fetch-site) -m str same-origin none }}"
    # Else the browser asks for a password itself.
    yield f"http-request set-var(txn.raylift_console) bool(true) if {{ req.fhdr({headers.CONSOLE}) -m found }}"
    yield "http-after-response set-header WWW-Authenticate Bearer if { var(txn.raylift_console) -m found } { status 401 }"
    yield f"http-request set-var(txn.raylift_token) {by_basic} if {{ req.fhdr(authorization) -i -m beg Basic\\  }}"
    yield (
        "http-request set-var(txn.raylift_digest) var(txn.raylift_token),sha2(256),hex,lower"
        " if { var(txn.raylift_token) -m found }"
    )


def mark_inside(token: str, proxies: Sequence[str] = ()) -> Iterator[str]:
    """Yield rules that recognize the platform's own requests, before the token is added to all.

    They also name the client's address, for the audit. ``proxies`` are believed in it.
    """
    inside = f"{{ req.fhdr({headers.INGRESS}) -m str {token} }}"
    yield f"http-request set-var(txn.raylift_inside) bool(true) if {inside}"
    yield f"http-request del-header {headers.CHECKED} unless {inside}"
    yield f"http-request set-header {headers.ADDRESS} %[src] unless {inside}"
    if proxies:
        behind = f"!{inside} {{ src {' '.join(proxies)} }} {{ req.hdr_ip(x-forwarded-for,-1) -m found }}"
        yield f"http-request set-header {headers.ADDRESS} %[req.hdr_ip(x-forwarded-for,-1)] if {behind}"


def key_rules(maps: KeyMaps) -> Iterator[str]:
    """Yield rules that check keys of predictions, once the version's route is known and before it replaces the path.

    ``raylift_good`` says that the key is valid, ``raylift_allowed`` that it may predict with the model. Each refusal looks at
    one of them first: HAProxy reads every rule of every request.
    """
    asks, good, allowed = (f"{{ var(txn.raylift_{name}) -m found }}" for name in ("asks", "good", "allowed"))
    yield f"http-request set-var(txn.raylift_model) path,field(4,/) if {{ path_reg ^{V2_MODELS}/[^/]+/versions/ }}"
    yield "http-request set-var(txn.raylift_model) var(txn.raylift_name) if { var(txn.raylift_route) -m found }"
    yield (
        "http-request set-var(txn.raylift_asks) bool(true)"
        " if { var(txn.raylift_model) -m found } !{ var(txn.raylift_inside) -m found }"
    )
    yield from look_up(maps, asks)
    yield (
        f"http-request set-var(txn.raylift_good) bool(true) if {asks} {{ var(txn.raylift_key) -m found }}"
        " { date,sub(txn.raylift_expires) lt 0 }"
    )
    yield f"http-request set-var(txn.raylift_own) var(txn.raylift_key),field(3,:) if {good}"
    workspace = f"var(txn.raylift_model),map_str({maps.workspaces},{DEFAULT_WORKSPACE})"
    yield f"http-request set-var(txn.raylift_workspace) {workspace} if {good}"
    for sees in (
        f"{{ var(txn.raylift_key),field(2,:) -m str {SEES_ALL} }}",
        "{ var(txn.raylift_own),strcmp(txn.raylift_workspace) eq 0 }",
    ):
        yield f"http-request set-var(txn.raylift_allowed) bool(true) if {good} {sees}"
    limited = f"{allowed} {{ var(txn.raylift_key),field(4,:) -m str {_LIMITED} }}"
    yield f"http-request set-var(txn.raylift_pair) var(txn.raylift_digest),concat(/,txn.raylift_model) if {limited}"
    unlisted = f"{{ var(txn.raylift_pair) -m found }} !{{ var(txn.raylift_pair),map_str({maps.keys}) -m found }}"
    yield f"http-request unset-var(txn.raylift_allowed) if {unlisted}"
    yield from answers(f"!{allowed} {asks} !{good}", 401, Unauthenticated.code, NO_KEY)
    yield from answers(f"!{allowed} {asks}", 404, ModelNotFound.code, _NO_MODEL)
    yield f"http-request set-header {headers.CHECKED} 1 if {asks}"
    # Replicas must not see keys.
    yield f"http-request del-header Authorization if {asks}"
    yield f"http-request del-header Cookie if {asks}"


def look_up(maps: KeyMaps, asks: str) -> Iterator[str]:
    """Set ``raylift_key`` and ``raylift_expires`` by the digest of the token."""
    yield (
        f"http-request set-var(txn.raylift_key) var(txn.raylift_digest),map_str({maps.keys})"
        f" if {asks} {{ var(txn.raylift_digest) -m found }}"
    )
    yield f"http-request set-var(txn.raylift_expires) var(txn.raylift_key),field(1,:),add(0) if {asks}"


def answers(condition: str, status: int, code: str, detail: str) -> Iterator[str]:
    """Yield the refusal in the words of both families. The backquotes and quotes of ``detail`` need no escape."""
    challenge = f' hdr WWW-Authenticate "{CHALLENGE}"' if status == 401 else ""
    problem = json.dumps(problem_document(code, status, detail, {}))
    protocol = "{ var(txn.raylift_words) -m str protocol }"
    for words, kind, body in (
        (f"!{protocol}", PROBLEM_JSON, problem),
        (protocol, "application/json", json.dumps({"error": detail})),
    ):
        yield f"http-request return status {status} content-type {kind}{challenge} string '{body}' if {condition} {words}"
