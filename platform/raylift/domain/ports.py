"""TCP ports of the platform, as text: ``8000,20000-20999``."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final
from urllib.parse import urlsplit

_LOCAL: Final = frozenset({"127.0.0.1", "localhost", "::1"})
_DEFAULTS: Final = {"http": 80, "https": 443, "postgresql": 5432}


def refused_ports(internal: str, *, local: Collection[str], reached: str) -> str:
    """Return the ports that sandboxed scripts cannot reach.

    Args:
        internal: ports and ranges of Ray and Serve.
        local: URLs of further parts; those of other machines do not count, since a rule of a port holds for every address.
        reached: URL of MLflow, whose port stays open.
    """
    ranges = [_range(text) for text in internal.split(",") if text]
    ranges += [(port, port) for port in map(_local_port, local) if port is not None]
    open_port = _port(reached)
    texts = [_text(part) for each in ranges for part in _without(each, open_port)]
    return ",".join(dict.fromkeys(texts))


def _range(text: str) -> tuple[int, int]:
    first, _, last = text.partition("-")
    return int(first), int(last or first)


def _text(ports: tuple[int, int]) -> str:
    first, last = ports
    return str(first) if first == last else f"{first}-{last}"


def _without(ports: tuple[int, int], port: int | None) -> list[tuple[int, int]]:
    first, last = ports
    if port is None or not first <= port <= last:
        return [ports]
    return [part for part in ((first, port - 1), (port + 1, last)) if part[0] <= part[1]]


def _local_port(url: str) -> int | None:
    return _port(url) if urlsplit(url).hostname in _LOCAL else None


def _port(url: str) -> int | None:
    parts = urlsplit(url)
    return parts.port or _DEFAULTS.get(parts.scheme.partition("+")[0])
