"""Headers by which the ingress speaks to what stands behind it. It drops a client's own of these names."""

from __future__ import annotations

from typing import Final

INGRESS: Final = "X-Raylift-Ingress"
"""Carries the token that replicas ask for: proof that a request came through the ingress."""
NAMED: Final = "X-Raylift-Named"
"""Set where the ingress read the model's name from the body: the replica checks that it is its own."""
FORWARDED: Final = "X-Raylift-Forwarded"
"""Marks what the gateway sent: when it comes back, Ray Serve has no such route, and it goes no further."""
REQUEST: Final = "X-Raylift-Request"
"""Names a prediction for as long as it is tried: the same at each process that it is sent to."""
TRACED: Final = "X-Raylift-Traced"
"""Set where the client itself named the request, by X-Request-ID or traceparent: its replica writes a line about it."""
FAILURE: Final = "X-Raylift-Ingress-Failure"
"""Names the failure in an answer that the ingress gives in a replica's place; the values are below."""

QUEUE_FULL: Final = "queue-full"
NOT_REACHED: Final = "not-reached"
"""Nobody processed the request, or it was one that may be processed twice."""
BROKEN_OFF: Final = "broken-off"
