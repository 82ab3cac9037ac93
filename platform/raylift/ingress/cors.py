"""HAProxy rules for requests of web pages: which pages of other sites may ask for predictions (CORS), and nothing else.

These rules decide alone, for every prediction route: also for those that pass the gateway by. An allowed request loses its
``Origin``, so that no later rule takes it for a foreign page's. They precede rules that ask who calls: browsers send their
preflight requests without keys.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator
from typing import Final

from raylift.api import headers
from raylift.api.paths import INFERENCE, V1_MODELS, V2_MODELS
from raylift.ingress.problems import PROBLEM_JSON, problem_document

ANY_ORIGIN: Final = "*"
CROSS_ORIGIN_REFUSED: Final = "cross_origin_refused"
_REFUSAL: Final = (
    "A page of another site may not do this. For predictions, add its origin to gateway.allowed_origins, or start with: "
    "raylift up --allowed-origin https://HOST"
)
_PREDICTIONS: Final = (
    f"^({INFERENCE}|{V2_MODELS}/[^/]+(/versions/[^/]+)?/(infer|invocations|predict|v1:predict)|{V1_MODELS}/[^/:]+:predict)$"
)
_SENT: Final = (
    "Accept", "Authorization", "Content-Type", headers.REQUEST_ID, headers.SCALE_UP_TIMEOUT, headers.TRACEPARENT,
    "Inference-Header-Content-Length",
)  # fmt: skip
"""Headers of requests that pages may set."""
_SHOWN: Final = (
    headers.MODEL_VERSION, headers.REQUEST_ID, "Retry-After", "RateLimit", "RateLimit-Policy",
    "Inference-Header-Content-Length",
)  # fmt: skip
"""Headers of answers that pages may read."""
_PREFLIGHT_SECONDS: Final = 600
"""Time for which browsers need not ask again."""
_ALLOWED: Final = "{ var(txn.raylift_origin) -m found }"


def cors_rules(origins: Collection[str], *, token: str) -> Iterator[str]:
    """Yield lines for the frontend. Requests of the gateway carry ``token``.

    Args:
        origins: pages that may ask for predictions, such as ``https://app.example``; ``*`` allows every page.
        token: the ingress token.
    """
    yield f"acl raylift_predicts path_reg {_PREDICTIONS}"
    yield "acl raylift_preflight req.fhdr(access-control-request-method) -m found"
    if origins:
        known = "-m found" if ANY_ORIGIN in origins else f"-m str {_listed(origins)}"
        yield (
            "http-request set-var(txn.raylift_origin) req.fhdr(origin) if raylift_predicts"
            f" {{ req.fhdr_cnt(origin) eq 1 }} {{ req.fhdr(origin) {known} }}"
        )
        yield "http-request set-var(txn.raylift_varies) bool(true) if raylift_predicts"
        yield (
            f"http-request return status 204 hdr Access-Control-Allow-Methods POST"
            f' hdr Access-Control-Allow-Headers "{", ".join(_SENT)}" hdr Access-Control-Max-Age {_PREFLIGHT_SECONDS}'
            f" if METH_OPTIONS raylift_preflight {_ALLOWED}"
        )
        for name in ("Origin", "Sec-Fetch-Site"):
            yield f"http-request del-header {name} if {_ALLOWED}"
        yield f"http-after-response set-header Access-Control-Allow-Origin %[var(txn.raylift_origin)] if {_ALLOWED}"
        yield f'http-after-response set-header Access-Control-Expose-Headers "{", ".join(_SHOWN)}" if {_ALLOWED}'
        # Caches must not give one page the answer for another.
        yield "http-after-response add-header Vary Origin if { var(txn.raylift_varies) -m found }"
    yield from _refusals(token)


def _refusals(token: str) -> Iterator[str]:
    """Refuse preflight requests and changes of all other foreign pages, as the gateway does (http/hosts.py)."""
    problem = json.dumps(problem_document(CROSS_ORIGIN_REFUSED, 403, _REFUSAL, {"error": _REFUSAL}))
    refuse = f"http-request return status 403 content-type {PROBLEM_JSON} string '{problem}' if"
    theirs = f"!{{ req.fhdr({headers.INGRESS}) -m str {token} }}"
    yield "http-request set-var(txn.raylift_host) req.fhdr(host),lower"
    yield "http-request set-var(txn.raylift_public_host) req.fhdr(x-forwarded-host),lower"
    yield "http-request set-var(txn.raylift_page) req.fhdr(origin),lower,regsub(^https?://,) if { req.fhdr(origin) -m found }"
    yield "acl raylift_own_page var(txn.raylift_page),strcmp(txn.raylift_host) eq 0"
    # The rules of proxies (guard.py) have removed this header from requests of others.
    yield "acl raylift_own_page var(txn.raylift_page),strcmp(txn.raylift_public_host) eq 0"
    yield "acl raylift_safe method GET HEAD OPTIONS"
    yield f"{refuse} METH_OPTIONS raylift_preflight {theirs}"
    yield f"{refuse} !raylift_safe {{ var(txn.raylift_page) -m found }} !raylift_own_page {theirs}"
    without = "!{ var(txn.raylift_page) -m found } { req.fhdr(sec-fetch-site) -m str cross-site }"
    yield f"{refuse} !raylift_safe {without} {theirs}"


def _listed(origins: Collection[str]) -> str:
    return " ".join(sorted(origins))
