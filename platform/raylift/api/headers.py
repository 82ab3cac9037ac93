"""Names of HTTP headers. The ingress removes a client's own headers of the internal names."""

from __future__ import annotations

from typing import Final

# Between clients and the platform.
OWNER_HEADER: Final = "X-Raylift-Owner"
"""Owner of an upload or a change. Not authenticated: a client may name any owner."""
MODEL_VERSION: Final = "X-Raylift-Model-Version"
"""In a response: the version that answered."""
SCALE_UP_TIMEOUT: Final = "X-Scale-Up-Timeout"
"""Seconds to wait for a version without a ready replica."""
ROWS: Final = "X-Raylift-Rows"
"""In the response to a prediction: the rows of the request."""
REQUEST_ID: Final = "X-Request-ID"
TRACEPARENT: Final = "traceparent"
IDEMPOTENCY_KEY: Final = "Idempotency-Key"
IF_MATCH: Final = "If-Match"

CONSOLE: Final = "X-Raylift-Console"
"""Sent by the console. Its 401 asks no browser for a password."""
SESSION_COOKIE: Final = "raylift_session"
"""Cookie of a browser that has signed in: a key."""

# Inside the platform.
REQUEST_TIMEOUT: Final = "X-Request-Timeout-Seconds"
"""Changes Ray Serve's timeout. Not forwarded from clients."""
INGRESS: Final = "X-Raylift-Ingress"
"""Token that replicas require: proof that a request came through the ingress."""
NAMED: Final = "X-Raylift-Named"
"""Set where the ingress read the model's name from the body. The replica checks the name again."""
CHECKED: Final = "X-Raylift-Checked"
"""Set by the ingress: it has checked the key of this prediction. Removed from requests of others."""
ADDRESS: Final = "X-Raylift-Address"
"""Set by the ingress: the client's address."""
FORWARDED: Final = "X-Raylift-Forwarded"
"""Set by the gateway. A marked request that returns to it has no route in Ray Serve and is not forwarded again."""
NO_ROUTE: Final = "X-Raylift-No-Route"
"""In the gateway's response to a marked request that returned to it."""
PREDICTION_ID: Final = "X-Raylift-Request"
"""Identifies a prediction over all attempts at different processes."""
TRACED: Final = "X-Raylift-Traced"
"""Set where the client sent X-Request-ID or traceparent. The replica then logs the request."""
SHADOW: Final = "X-Raylift-Shadow"
"""Marks a copy of a request for a shadow version. Its response is discarded."""
FAILURE: Final = "X-Raylift-Ingress-Failure"
"""In a response that the ingress gives instead of a replica: one of the values below."""

QUEUE_FULL: Final = "queue-full"
NOT_REACHED: Final = "not-reached"
"""The request was not processed, or may be processed twice."""
BROKEN_OFF: Final = "broken-off"


def raw(name: str) -> bytes:
    """Return a header's name as ASGI has it."""
    return name.lower().encode("ascii")
