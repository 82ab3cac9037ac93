"""Pages and APIs of MLflow and of Ray's dashboard behind the platform's address, in keys mode.

Both ask for a credential of the platform. HAProxy checks the caller's key and adds the credential.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from raylift.api import headers
from raylift.domain.errors import Forbidden, Unauthenticated
from raylift.domain.models.workspaces import PREFIX
from raylift.ingress.cors import CROSS_ORIGIN_REFUSED
from raylift.ingress.keys import NO_KEY, SEES_ALL, KeyMaps, answers, look_up

MLFLOW: Final = "/mlflow"
RAY: Final = "/ray"
_BACKENDS: Final = {MLFLOW: "raylift-mlflow", RAY: "raylift-dashboard"}
_IN_WORKSPACE: Final = (
    # The workspace of the key. Admins see all, and name one.
    f"    http-request set-path {PREFIX}/%[var(txn.raylift_key),field(3,:)]%[path]"
    f" unless {{ var(txn.raylift_key),field(2,:) -m str {SEES_ALL} }}",
)
_NOT_MLFLOW: Final = "This key may not do this in MLflow: a viewer only reads, and a key for predictions does not use it."
_NOT_RAY: Final = "The dashboard of Ray is for admins."
_OTHER_SITE: Final = "A page of another site may not do this."


@dataclass(frozen=True, slots=True)
class EnginePages:
    """Ports of the engines, and the credentials that they require."""

    mlflow_port: int
    mlflow_credential: str = field(repr=False)
    ray_port: int
    ray_credential: str = field(repr=False)
    mlflow_host: str = "127.0.0.1"
    ray_url: str | None = None
    """URL of the head, where the dashboard is on its loopback only. None: this is the head."""

    def backends(self) -> str:
        """Return HAProxy's sections."""
        mlflow = _backend(MLFLOW, self.mlflow_host, self.mlflow_port, self.mlflow_credential)
        if self.ray_url is not None:
            return mlflow + _elsewhere(self.ray_url)
        return mlflow + _backend(RAY, "127.0.0.1", self.ray_port, self.ray_credential)


def page_rules(maps: KeyMaps) -> Iterator[str]:
    """Yield rules that let keys through to MLflow and to Ray's dashboard."""
    asks = f"{{ path_beg {MLFLOW}/ {RAY}/ }}"
    for path in _BACKENDS:
        yield f"http-request redirect code 308 location {path}/ if {{ path {path} }}"
    yield from look_up(maps, asks)
    yield from answers(f"{asks} !{{ var(txn.raylift_key) -m found }}", 401, Unauthenticated.code, NO_KEY)
    yield from answers(f"{asks} {{ date,sub(txn.raylift_expires) ge 0 }}", 401, Unauthenticated.code, NO_KEY)
    yield from _mlflow_rights()
    yield f"http-request set-var(txn.raylift_ray) var(txn.raylift_key),field(6,:) if {{ path_beg {RAY}/ }}"
    yield from answers(f"{{ path_beg {RAY}/ }} !{{ var(txn.raylift_ray) -m str yes }}", 403, Forbidden.code, _NOT_RAY)
    # Such a page could use the password that the browser remembers, also for reads and WebSockets (cors.py refuses changes).
    other = "{ var(txn.raylift_page) -m found } !raylift_own_page"
    yield from answers(f"{asks} {other}", 403, CROSS_ORIGIN_REFUSED, _OTHER_SITE)
    for path, backend in _BACKENDS.items():
        yield f"use_backend {backend} if {{ path_beg {path}/ }}"


def _mlflow_rights() -> Iterator[str]:
    asks = f"{{ path_beg {MLFLOW}/ }}"
    yield f"http-request set-var(txn.raylift_mlflow) var(txn.raylift_key),field(5,:) if {asks}"
    yield from answers(f"{asks} !{{ var(txn.raylift_mlflow) -m str read write }}", 403, Forbidden.code, _NOT_MLFLOW)
    for reads in ("{ method GET HEAD }", "{ method POST } { path_end /search /graphql }"):
        yield f"http-request set-var(txn.raylift_reads) bool(true) if {asks} {reads}"
    only_reads = "{ var(txn.raylift_mlflow) -m str read } !{ var(txn.raylift_reads) -m found }"
    yield from answers(f"{asks} {only_reads}", 403, Forbidden.code, _NOT_MLFLOW)


def _backend(path: str, host: str, port: int, credential: str) -> str:
    lines = [
        f"backend {_BACKENDS[path]}",
        "    mode http",
        "    timeout server 3600s",
        f"    http-request set-path %[path,regsub(^{path},)]",
        *(_IN_WORKSPACE if path == MLFLOW else ()),
        # The engine answers for its own address only. The origin was compared with the host above.
        f"    http-request set-header Host 127.0.0.1:{port}",
        "    http-request del-header Origin",
        "    http-request del-header Cookie",
        f"    http-request del-header {headers.INGRESS}",
        f'    http-request set-header Authorization "Bearer {credential}"',
        f"    server one {host}:{port}",
    ]
    return "\n" + "".join(f"{line}\n" for line in lines)


def _elsewhere(url: str) -> str:
    return f"\nbackend {_BACKENDS[RAY]}\n    mode http\n    http-request redirect code 307 prefix {url}\n"
