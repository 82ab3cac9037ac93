"""Rules of the platform's ingresses: the same on the head and on every other node, which gets them with the node document."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Self

from pydantic import TypeAdapter

from raylift.ingress.engine_pages import EnginePages
from raylift.ingress.guard import Guard
from raylift.ingress.limits import Limits


@dataclass(frozen=True, slots=True)
class Tls:
    """TLS of the API's port. The platform's own processes use a second port, on loopback, without it."""

    pem: str = field(repr=False)
    """Key and certificates, as HAProxy reads them."""
    plain_port: int
    hsts_seconds: int


@dataclass(frozen=True, slots=True)
class IngressSpec:
    """Rules of one start of the platform."""

    port: int
    token: str = field(repr=False)
    """Token that replicas require of requests; letters and digits."""
    guard: Guard
    origins: tuple[str, ...] = ()
    """Pages of other sites that may ask for predictions."""
    limits: Limits | None = None
    """Limits of each client. None: no limits."""
    tls: Tls | None = None
    pages: EnginePages | None = None
    """With them, requests need keys."""

    def on_node(self, address: str, head_url: str) -> Self:
        """Return the rules of a joined node: it answers for its own address, too, and leaves Ray's dashboard to the head."""
        guard = replace(self.guard, hosts=self.guard.hosts | {address})
        pages = replace(self.pages, ray_url=head_url) if self.pages else None
        return replace(self, guard=guard, pages=pages)

    def as_json(self) -> dict[str, Any]:
        """Return the content of a node document, secrets included: the same text for the same rules."""
        content: dict[str, Any] = _ADAPTER.dump_python(self, mode="json")
        content["guard"]["hosts"].sort()
        return content

    @classmethod
    def of_json(cls, content: dict[str, Any]) -> IngressSpec:
        """Raises pydantic.ValidationError."""
        return _ADAPTER.validate_python(content)


_ADAPTER: TypeAdapter[IngressSpec] = TypeAdapter(IngressSpec)
